// What the runs of the study of scaling measured, and the points that its laws are fitted to.
#ifndef LOOPLM_EXPERIMENTS_SCALING_RUN_CURVES_H_
#define LOOPLM_EXPERIMENTS_SCALING_RUN_CURVES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "experiments/scaling/scaling_law.h"

namespace looplm {

// A place along a run, measured on held-out text.
struct CurvePoint {
  double tokens = 0;             // read so far
  double loss = 0;               // of the objective: expected nll less beta times entropy
  double expected_nll = 0;       // sum over loops of exit probability times nll, mean over tokens
  std::vector<double> nll;       // after each loop
  std::vector<double> exit;      // mean exit probabilities, which sum to 1
  std::vector<double> accuracy;  // after each loop
};

// One training run.
struct RunCurve {
  double parameters = 0;
  int loops = 0;  // trained with
  std::vector<CurvePoint> points;
  uint64_t seed = 0;
};

// Which loss is the total one.
enum class TotalLoss { kObjective, kExpectedNll };

// One point of the total-loss law per place of each run.
std::vector<ScalingPoint> total_points(std::span<const RunCurve> runs, TotalLoss kind);

struct StepwisePoints {
  std::vector<ScalingPoint> points;  // loops: after which the loss was measured
  // Left out: those after a curve's least loss, where the curve ends more than `rise` above it.
  int dropped = 0;
};

// Points of the step-wise law, of the runs trained with `loops`. In small models the loss of
// shallow loops rises again while deeper ones fall, since the objective gives shallow loops up for
// a lower total; no sum of falling powers describes that, and the paper leaves such points out.
StepwisePoints stepwise_points(std::span<const RunCurve> runs, int loops, double rise);

// Mean nll after each loop at the ends of the runs trained with `loops`.
std::vector<double> mean_end_nll(std::span<const RunCurve> runs, int loops);

// Mean exit probabilities at the ends of the runs trained with `loops`.
std::vector<double> mean_exit_weights(std::span<const RunCurve> runs, int loops);

// The link between the laws: total losses of the runs trained with `loops`, predicted as the sum of
// exit weights times step-wise losses, in the order of total_points.
std::vector<double> linked_losses(std::span<const RunCurve> runs, int loops, const ScalingLaw& law,
                                  std::span<const double> exit_weights);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_RUN_CURVES_H_
