// Rounding of fp32 to bf16, as operands of products are rounded.
#ifndef LOOPLM_KERNELS_CPU_ISA_BF16_ROUNDING_H_
#define LOOPLM_KERNELS_CPU_ISA_BF16_ROUNDING_H_

#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// Rounds to bf16, ties to even. Rows come from normalised or activated states, where NaN is a fault
// that shows up anyway, but it must not turn into infinity silently.
LOOPLM_INLINE uint32_t bf16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// An odd last term is paired with zero.
LOOPLM_INLINE uint32_t pair_bits(const float* source, int64_t i, int64_t terms, int64_t stride) {
  const uint32_t even = bf16_bits(source[i * stride]);
  const uint32_t odd = i + 1 < terms ? bf16_bits(source[(i + 1) * stride]) : 0;
  return even | (odd << 16);
}

// Each value rounded, in the upper halves of the words.
LOOPLM_INLINE VI rounded_to_bf16(V values) {
  VI x;
  memcpy(&x, &values, sizeof(x));
  const VI nan = (x & 0x7fffffff) > 0x7f800000;
  const VI rounded = x + 0x7fff + ((x >> 16) & 1);
  return ((nan & (x | 0x400000)) | (~nan & rounded)) & static_cast<int32_t>(0xffff0000u);
}
LOOPLM_INLINE VI rounded_to_bf16(const float* source) { return rounded_to_bf16(load(source)); }

// Pairs of neighbouring lanes, the even one in the lower half, of what is rounded.
typedef uint32_t PairsOfVector __attribute__((vector_size(kVectorBytes / 2)));
LOOPLM_INLINE PairsOfVector pairs_of(VI high) {
  typedef uint64_t Both __attribute__((vector_size(kVectorBytes)));
  const Both both = reinterpret_cast<Both>(high);
  return __builtin_convertvector((both >> 16 & 0xffffu) | (both >> 32 & 0xffff0000u),
                                 PairsOfVector);
}

#if defined(__AVX512BF16__)
// Rounds both, `lower` first. The instruction takes subnormal values as zero; the caller leaves
// them out.
LOOPLM_INLINE __m512i rounded_by_instruction(V lower, V upper) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(upper, lower));
}
LOOPLM_INLINE bool any_subnormal(V a, V b) {
  constexpr int kSubnormal = 0x20;
  return (_mm512_fpclass_ps_mask(a, kSubnormal) | _mm512_fpclass_ps_mask(b, kSubnormal)) != 0;
}
#endif

// Words of `even` rounded in the lower halves and `odd` in the upper ones.
LOOPLM_INLINE VI rounded_pairs(V even, V odd) {
#if defined(__AVX512BF16__)
  if (__builtin_expect(!any_subnormal(even, odd), 1)) {
    const __m512i even_then_odd = rounded_by_instruction(even, odd);
    typedef uint16_t Halves __attribute__((vector_size(kVectorBytes)));
    constexpr Halves kBesideEachOther = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                         21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                         11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return reinterpret_cast<VI>(
        _mm512_permutexvar_epi16(reinterpret_cast<__m512i>(kBesideEachOther), even_then_odd));
  }
#endif
  return (rounded_to_bf16(even) >> 16 & 0xffff) | rounded_to_bf16(odd);
}

// Rounds 2 * kLanes values that lie one after another to as many of bf16.
LOOPLM_INLINE void round_two_vectors(const float* source, uint32_t* out) {
#if defined(__AVX512BF16__)
  const V first = load(source), second = load(source + kLanes);
  if (__builtin_expect(!any_subnormal(first, second), 1)) {
    const __m512i rounded = rounded_by_instruction(first, second);
    memcpy(out, &rounded, sizeof(rounded));
    return;
  }
#endif
  for (int half = 0; half < 2; ++half) {
    const PairsOfVector pairs = pairs_of(rounded_to_bf16(source + half * kLanes));
    memcpy(out + half * kLanes / 2, &pairs, sizeof(pairs));
  }
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_BF16_ROUNDING_H_
