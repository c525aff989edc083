// Quality over mean depth of an exit rule (arXiv:2510.25741, section 5.4.1 and figure 5): its
// threshold is swept, and each point is held against fixed depths of the same mean cost.
#ifndef LOOPLM_EXPERIMENTS_EXITS_EXIT_CURVE_H_
#define LOOPLM_EXPERIMENTS_EXITS_EXIT_CURVE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/bootstrap.h"
#include "eval/depth_scores.h"
#include "experiments/core/estimates.h"

namespace looplm {

// What every number of loops gives, from 1 to those of the scores.
struct FixedDepth {
  Estimate nll;       // nats per scored token
  Estimate accuracy;  // share of scored tokens that are the most likely one
};
std::vector<FixedDepth> fixed_depths(const std::vector<DepthScores>& scores,
                                     const Resampling& resampling);

struct ExitCurveOptions {
  int64_t trained_loops = 0;    // no token runs more
  std::vector<double> targets;  // mean depths to reach, each from 1 to trained_loops
  Resampling resampling;        // of the examples
};

struct ExitPoint {
  double target = 0;
  double threshold = 0;
  double mean_loops = 0;  // reached; see exit_threshold
  Estimate nll;           // nats per scored token
  Estimate accuracy;      // share of scored tokens that are the most likely one
  // Against what a mixture of the two fixed depths beside mean_loops gives: above 0 is better.
  Estimate nll_gain;       // nats
  Estimate accuracy_gain;  // share
};

// The threshold whose mean depth is nearest to `target`. Mean depth moves in steps, one token's
// loop at a time, and larger where a rule's figures are equal.
double exit_threshold(const std::vector<DepthScores>& scores, ExitKind kind, double target,
                      int64_t trained_loops);

// A point per target. Scores must be of one model, with at least trained_loops loops.
std::vector<ExitPoint> exit_curve(const std::vector<DepthScores>& scores, ExitKind kind,
                                  const ExitCurveOptions& options);

// Accuracy of one curve's points less another's at the same targets, of the same examples and
// loops, resampled together. Each is corrected for the depth that it did not quite reach by the
// slope of the fixed depths.
std::vector<Estimate> accuracy_difference(const std::vector<DepthScores>& scores, ExitKind kind,
                                          const std::vector<DepthScores>& reference_scores,
                                          ExitKind reference_kind, const ExitCurveOptions& options);

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

#endif  // LOOPLM_EXPERIMENTS_EXITS_EXIT_CURVE_H_
