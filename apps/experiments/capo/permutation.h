// Random permutations as functions: position of one index without listing the others.
#ifndef LOOPLM_EXPERIMENTS_CAPO_PERMUTATION_H_
#define LOOPLM_EXPERIMENTS_CAPO_PERMUTATION_H_

#include <cstdint>

namespace looplm {

// Where `index` (below `size`) goes in a permutation of 0 .. size - 1 that (seed, stream) choose.
// size: 1 to 2^60.
uint64_t permuted(uint64_t seed, uint64_t stream, uint64_t index, uint64_t size);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_PERMUTATION_H_
