#include "experiments/capo/permutation.h"

#include <bit>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {

// A Feistel network over the smallest even number of bits that holds `size` is a bijection of that
// power of two; walking on until the value is below `size` makes it one of 0 .. size - 1 (Black and
// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The walk takes under four steps on
// average, since the power is at most four times the size.
uint64_t permuted(uint64_t seed, uint64_t stream, uint64_t index, uint64_t size) {
  LOOPLM_CHECK(index < size && size <= uint64_t{1} << 60, "index {} of {}", index, size);
  constexpr uint64_t kRounds = 6;
  const int half = (std::bit_width(size - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t value = index;
  do {
    uint64_t left = value >> half;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (philox(seed, stream, (round << 32) | right)[0] & mask);
      left = right;
      right = mixed;
    }
    value = (left << half) | right;
  } while (value >= size);
  return value;
}

}  // namespace looplm
