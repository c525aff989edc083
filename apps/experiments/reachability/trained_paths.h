// Results of the models that were trained on paths.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_PATHS_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_PATHS_H_

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/seed_summary.h"

namespace looplm {

struct TrainedPathsRun {
  LoopedShape shape;
  uint64_t seed = 0;
  int64_t parameters = 0;
  std::vector<std::vector<double>> accuracy;  // row t after t + 1 loops, column d at distance d + 1
  std::vector<double> curve_steps;            // of the learning curve
  std::vector<double> curve;                  // accuracy on held-out answers, trained loops

  // After as many loops as it was trained with.
  const std::vector<double>& trained() const {
    return accuracy[static_cast<size_t>(shape.loops - 1)];
  }
  // Of the learning curve, the first step from which on it stays at `share` of its last value.
  double steps_to(double share) const;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrainedPathsRun, shape, seed, parameters, accuracy, curve_steps,
                                   curve)

// Runs of one shape over seeds.
struct TrainedPaths {
  LoopedShape shape;
  std::vector<TrainedPathsRun> runs;

  SeedSummary at(int loops, size_t distance) const;  // loops and distance from 1
  SeedSummary mean_over(int loops, size_t first_distance, size_t last_distance) const;
  SeedSummary mean_over(size_t first_distance, size_t last_distance) const {
    return mean_over(shape.loops, first_distance, last_distance);
  }
};

// In the order in which shapes come first.
std::vector<TrainedPaths> by_shape(const std::vector<TrainedPathsRun>& runs);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_TRAINED_PATHS_H_
