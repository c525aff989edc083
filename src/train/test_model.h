// A model for tests of training: so small that a step takes milliseconds.
#ifndef LOOPLM_TRAIN_TEST_MODEL_H_
#define LOOPLM_TRAIN_TEST_MODEL_H_

#include <cstdint>

#include "base/rng.h"
#include "model/parameter_set.h"

namespace looplm {

inline ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 64;
  c.hidden_size = 32;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.intermediate_size = 48;
  c.max_positions = 64;
  c.loops = 3;
  return c;
}

// Every value uniform in [-size, size), norms too.
inline void randomize(uint64_t seed, float size, ParameterSet& set) {
  Rng rng(seed);
  for (float& value : set.values()) value = size * (2 * rng.uniform() - 1);
}

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TEST_MODEL_H_
