// What a model says about the scored tokens of texts, after every loop.
#ifndef LOOPLM_EVAL_DEPTH_SCORES_H_
#define LOOPLM_EVAL_DEPTH_SCORES_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "looplm/generate.h"
#include "looplm/model.h"
#include "looplm/status.h"

#include "eval/examples.h"
#include "infer/exit_rule.h"

namespace looplm {

// Of one text. Everything but `loops` and `tokens` is (loops, tokens), and stands at the position
// that predicts the token.
struct DepthScores {
  int64_t loops = 0;
  int64_t tokens = 0;          // scored
  std::vector<float> nll;      // nats
  std::vector<uint8_t> right;  // whether the most likely token is the one
  std::vector<int32_t> best;   // the most likely token; of equals the lowest id
  std::vector<float> gate;     // gate logits; 0 for a model without a gate
  // In double, as decoding sees them, so that exits are its exits whatever the threshold.
  std::vector<double> difference;  // |h_t - h_{t-1}|, h the normed state; after the first loop 0
  std::vector<double> norm;        // |h_t|
  std::vector<double> margin;      // probability of the most likely token less the second's
  std::vector<double> entropy;     // of the next token, nats
  size_t at(int64_t loop, int64_t token) const {
    return static_cast<size_t>(loop * tokens + token);
  }

  // What an exit rule sees after `loop` (from 0). Figures that were not recorded are 0.
  LoopFigures figures(int64_t loop, int64_t token) const;
  // Loops (from 1) that decoding runs for a token: the first, from min_loops on, after which the
  // rule has enough, and max_loops (0: trained_loops) if there is none before.
  int64_t exit_loop(int64_t token, const ExitOptions& exit, int64_t trained_loops) const;
};

// The numbers that decide whether a token exits before `trained_loops` (ExitRule::figure), of all
// tokens and loops, ascending; those that no threshold reaches left out.
std::vector<double> exit_figures(std::span<const DepthScores> scores, ExitKind kind,
                                 int64_t trained_loops);

struct ScoreOptions {
  // Positions per pass. Results do not depend on it.
  int64_t pass_lanes = 256;
  // Positions' states kept at once. A larger share of texts that begin alike is read once.
  uint64_t state_bytes = uint64_t{256} << 20;
  // Called after each pass with the share of the work that is done, above 0 and at most 1.
  std::function<void(double share)> progress{};
};

// One forward of `loops` loops over the text. Every loop attends to its own keys and values, so row
// t is what a model of t loops would say.
Result<DepthScores> score_depths(Model& model, const EvalExample& example, int64_t loops);

// The same numbers for many texts at once, in their order. What texts have in common from their
// beginning is read once, and passes are filled with positions of different texts. Errors name the
// example by its number, from 1.
Result<std::vector<DepthScores>> score_depths(Model& model, std::span<const EvalExample> examples,
                                              int64_t loops, const ScoreOptions& options = {});

}  // namespace looplm

#endif  // LOOPLM_EVAL_DEPTH_SCORES_H_
