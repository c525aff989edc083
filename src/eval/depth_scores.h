// What a model says about the scored tokens of one text, after every loop.
#ifndef LOOPLM_EVAL_DEPTH_SCORES_H_
#define LOOPLM_EVAL_DEPTH_SCORES_H_

#include <cstdint>
#include <vector>

#include "looplm/model.h"
#include "looplm/status.h"

#include "eval/examples.h"

namespace looplm {

struct DepthScores {
  int64_t loops = 0;
  int64_t tokens = 0;          // scored
  std::vector<float> nll;      // (loops, tokens): nats
  std::vector<uint8_t> right;  // (loops, tokens): whether the most likely token is the one
  std::vector<float> gate;     // (loops, tokens): gate logits at the position that predicts
  size_t at(int64_t loop, int64_t token) const {
    return static_cast<size_t>(loop * tokens + token);
  }

  // Loops (from 1) that q-exit runs for a token: the first t <= trained_loops at which the exit
  // probabilities sum to at least the threshold, and trained_loops if none before.
  int64_t exit_loop(int64_t token, double threshold, int64_t trained_loops) const;
};

// One forward of `loops` loops over the text. Every loop attends to its own keys and values, so row
// t is what a model of t loops would say.
Result<DepthScores> score_depths(Model& model, const EvalExample& example, int64_t loops);

}  // namespace looplm

#endif  // LOOPLM_EVAL_DEPTH_SCORES_H_
