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

// `even` in the lower halves, `odd` in the upper ones; both are rounded.
LOOPLM_INLINE VI pairs_of(VI even, VI odd) { return (even >> 16 & 0xffff) | odd; }

// Pairs of neighbouring lanes, the even one in the lower half.
typedef uint32_t PairsOfVector __attribute__((vector_size(kVectorBytes / 2)));
LOOPLM_INLINE PairsOfVector pairs_of(VI high) {
  typedef uint64_t Both __attribute__((vector_size(kVectorBytes)));
  const Both both = reinterpret_cast<Both>(high);
  return __builtin_convertvector((both >> 16 & 0xffffu) | (both >> 32 & 0xffff0000u),
                                 PairsOfVector);
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_BF16_ROUNDING_H_
