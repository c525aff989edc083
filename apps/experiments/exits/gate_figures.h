// What a model's exit gate does on scored texts.
#ifndef LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_
#define LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "eval/depth_scores.h"
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

OrderedJson gate_json(const GateFigures& figures);
OrderedJson curve_json(const std::vector<ExitPoint>& points);
std::vector<ExitPoint> curve_from(const Json& json);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_GATE_FIGURES_H_
