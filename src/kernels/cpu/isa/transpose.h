// Squares of 32-bit words turned in registers.
#ifndef LOOPLM_KERNELS_CPU_ISA_TRANSPOSE_H_
#define LOOPLM_KERNELS_CPU_ISA_TRANSPOSE_H_

#include <utility>

#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

template <bool kSecondHalf, int... kLane>
LOOPLM_INLINE VI interleaved(VI a, VI b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(
      a, b, (kLane / 2 + (kSecondHalf ? kLanes / 2 : 0) + (kLane % 2 != 0 ? kLanes : 0))...);
}

// Word by word of both, from the first half of their lanes or from the second.
template <bool kSecondHalf>
LOOPLM_INLINE VI interleaved(VI a, VI b) {
  return interleaved<kSecondHalf>(a, b, std::make_integer_sequence<int, kLanes>());
}

// Exchanges rows and lanes. A word's row and lane are one number of twice as many bits; each round
// turns it by one bit, so that half of all turns exchange the two.
LOOPLM_INLINE void transpose_square(VI (&x)[kLanes]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    VI turned[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      turned[2 * i] = interleaved<false>(x[i], x[i + kLanes / 2]);
      turned[2 * i + 1] = interleaved<true>(x[i], x[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) x[i] = turned[i];
  }
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_TRANSPOSE_H_
