// How many lanes a pass may have before it costs more than one lane's.
#ifndef LOOPLM_INFER_KNEE_H_
#define LOOPLM_INFER_KNEE_H_

#include "model/weights.h"

namespace looplm {

// The most lanes, up to 64, whose matrix products take at most 1.25 times as long as one lane's, of
// powers of two and the numbers half way between; at least 1. Measured on the model's own matrices,
// at most 128 MiB of them, which takes about as long as reading them twenty times.
int64_t measure_knee(const ModelWeights& weights, Device& device);

}  // namespace looplm

#endif  // LOOPLM_INFER_KNEE_H_
