// Pairs of bf16, and their dot product.
#ifndef LOOPLM_KERNELS_CPU_ISA_DOT_PAIRS_H_
#define LOOPLM_KERNELS_CPU_ISA_DOT_PAIRS_H_

#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

#if defined(__AVX512BF16__) || defined(LOOPLM_EMULATE_BF16_DOT)
constexpr bool kBf16Dot = true;
#else
constexpr bool kBf16Dot = false;
#endif

// Both halves of 32-bit pairs of bf16, as floats.
[[maybe_unused]] LOOPLM_INLINE V upper_of_pairs(VI pairs) {
  const VI bits = pairs & static_cast<int32_t>(0xffff0000u);
  V v;
  memcpy(&v, &bits, sizeof(v));
  return v;
}
[[maybe_unused]] LOOPLM_INLINE V lower_of_pairs(VI pairs) {
  const VI bits = pairs << 16;
  V v;
  memcpy(&v, &bits, sizeof(v));
  return v;
}
// sum + a.odd * b.odd, then + a.even * b.even: what VDPBF16PS does.
[[maybe_unused]] LOOPLM_INLINE V dot_pairs([[maybe_unused]] uint32_t a, VI b, V sum) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a))),
                          reinterpret_cast<__m512bh>(b));
#else
  const VI pair = static_cast<int32_t>(a) - VI{};
  sum = fma(upper_of_pairs(pair), upper_of_pairs(b), sum);
  return fma(lower_of_pairs(pair), lower_of_pairs(b), sum);
#endif
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_DOT_PAIRS_H_
