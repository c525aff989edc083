// What a model's exit gate does on scored texts.
#ifndef LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_
#define LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "eval/depth_scores.h"
#include "experiments/core/estimates.h"
#include "experiments/exits/exit_curve.h"

namespace looplm {

// Means over scored tokens.
struct GateFigures {
  std::vector<double> exit;  // per loop, of the exit distribution over `loops`
  std::vector<double> gate;  // per loop, of lambda
  double expected_nll = 0;   // nats: sum_t p_t nll_t, Stage I's loss without its prior
  double mean_exit = 0;      // loops
};

GateFigures gate_figures(const std::vector<DepthScores>& scores, int64_t loops);

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GateFigures, exit, gate, expected_nll, mean_exit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ExitPoint, target, threshold, mean_loops, nll, accuracy,
                                   nll_gain, accuracy_gain)

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_
