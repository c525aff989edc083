// Random initial parameters.
#ifndef LOOPLM_MODEL_INITIALIZE_H_
#define LOOPLM_MODEL_INITIALIZE_H_

#include <cstdint>
#include <span>
#include <string>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "model/parameters.h"
#include "tensor/dtype.h"

namespace looplm {

// Element first + i of a parameter into out[i]: normal with mean 0 and deviation initializer_range
// for embedding, head, projections and the gate's weight, 1 for norm scales, 0 for the gate's bias,
// as Hugging Face's Ouro code initialises (which also zeroes the padding token's embedding; looplm
// does not). The embedding has a deviation of its own when embedding_initializer_range is set.
//
// `index` is the parameter's place in parameter_specs(config). A value depends on the seed, that
// index and the element alone, so threads, chunks and shards do not matter. With a deviation of
// 0.02 and a normed state of width E the first gate logits have deviation 0.02 sqrt(E), 0.9 for
// Ouro: exit probabilities start near 1/2 per loop.
void fill_initial(const ModelConfig& config, const ParameterSpec& spec, int64_t index,
                  uint64_t seed, int64_t first, std::span<float> out);

// All of it, for save_checkpoint.
ParameterFill initial_fill(const ModelConfig& config, uint64_t seed);

// A fresh model directory: config.json and weights (F32 or BF16), streamed, so that memory stays
// at a few megabytes; see save_checkpoint for what happens to an existing directory.
Status write_random_checkpoint(const ModelConfig& config, uint64_t seed, DType dtype,
                               const std::string& directory, ThreadPool& pool);

}  // namespace looplm

#endif  // LOOPLM_MODEL_INITIALIZE_H_
