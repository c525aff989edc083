// Loops that do nothing but one thing at full speed: what the machine can do, to state other speeds
// against.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kChains = 24;
#else
// Enough to hide 4 cycles of latency at 2 per cycle, within 16 registers.
constexpr int kChains = 12;
#endif

// Keeps the compiler from dropping or shortening a computation.
template <typename T>
LOOPLM_INLINE void keep(T& value) {
  asm volatile("" : "+m"(value));
}

uint64_t read_bytes(const void* data, int64_t bytes) {
  typedef uint64_t Word __attribute__((vector_size(kVectorBytes)));
  const char* p = static_cast<const char*>(data);
  constexpr int kAtOnce = 8;
  Word sum[kAtOnce] = {};
  for (int64_t i = 0; i + kAtOnce * kVectorBytes <= bytes; i += kAtOnce * kVectorBytes) {
#pragma GCC unroll 8
    for (int k = 0; k < kAtOnce; ++k) {
      Word word;
      memcpy(&word, p + i + k * kVectorBytes, sizeof(word));
      sum[k] ^= word;
    }
  }
  uint64_t total = 0;
  for (int k = 0; k < kAtOnce; ++k) {
    for (int i = 0; i < kVectorBytes / 8; ++i) total ^= sum[k][i];
  }
  return total;
}

double multiply_adds(int64_t rounds) {
  V sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = set1(static_cast<float>(i));
  V a = set1(0.999f);
  V b = set1(0.001f);
  keep(a);
  keep(b);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], a, b);
  }
  for (int i = 0; i < kChains; ++i) keep(sum[i]);
  return 2.0 * kLanes * kChains * static_cast<double>(rounds);
}

#if defined(__AVX512BF16__)
double bf16_dots(int64_t rounds) {
  V sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = V{};
  __m512i bits = _mm512_set1_epi32(0x3c003c00);
  keep(bits);
  const __m512bh a = reinterpret_cast<__m512bh>(bits);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
  }
  for (int i = 0; i < kChains; ++i) keep(sum[i]);
  return 4.0 * kLanes * kChains * static_cast<double>(rounds);
}
#endif

#if defined(__AVX512VNNI__)
double int8_dots(int64_t rounds) {
  // Named sums and the instruction itself: GCC 12 copies and spills an array of integer sums, which
  // halves the rate.
  __m512i a = _mm512_set1_epi8(3);
  keep(a);
  __m512i s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a;
  __m512i t0 = a, t1 = a, t2 = a, t3 = a, t4 = a, t5 = a, t6 = a, t7 = a;
#define LOOPLM_DOT(s) asm("vpdpbusd %1, %1, %0" : "+v"(s) : "v"(a))
  for (int64_t r = 0; r < rounds; ++r) {
    LOOPLM_DOT(s0);
    LOOPLM_DOT(s1);
    LOOPLM_DOT(s2);
    LOOPLM_DOT(s3);
    LOOPLM_DOT(s4);
    LOOPLM_DOT(s5);
    LOOPLM_DOT(s6);
    LOOPLM_DOT(s7);
    LOOPLM_DOT(t0);
    LOOPLM_DOT(t1);
    LOOPLM_DOT(t2);
    LOOPLM_DOT(t3);
    LOOPLM_DOT(t4);
    LOOPLM_DOT(t5);
    LOOPLM_DOT(t6);
    LOOPLM_DOT(t7);
  }
#undef LOOPLM_DOT
  asm volatile("" : : "v"(s0));
  asm volatile("" : : "v"(s1));
  asm volatile("" : : "v"(s2));
  asm volatile("" : : "v"(s3));
  asm volatile("" : : "v"(s4));
  asm volatile("" : : "v"(s5));
  asm volatile("" : : "v"(s6));
  asm volatile("" : : "v"(s7));
  asm volatile("" : : "v"(t0));
  asm volatile("" : : "v"(t1));
  asm volatile("" : : "v"(t2));
  asm volatile("" : : "v"(t3));
  asm volatile("" : : "v"(t4));
  asm volatile("" : : "v"(t5));
  asm volatile("" : : "v"(t6));
  asm volatile("" : : "v"(t7));
  return 8.0 * kLanes * 16 * static_cast<double>(rounds);
}
#endif

}  // namespace

void add_peak_loops(KernelTable& table) {
  table.read_bytes = read_bytes;
  table.multiply_adds = multiply_adds;
#if defined(__AVX512BF16__)
  table.bf16_dots = bf16_dots;
#endif
#if defined(__AVX512VNNI__)
  table.int8_dots = int8_dots;
#endif
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
