// Section 6.3 of arXiv:2510.25741: the theorem's construction, and trained models on paths.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/looped_recipe.h"
#include "experiments/core/seed_summary.h"
#include "experiments/core/study.h"
#include "experiments/reachability/theorem.h"

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

struct ReachabilityResults {
  std::vector<TheoremRow> theorem;
  std::vector<AblationRow> ablation;
  std::vector<TrainedPathsRun> runs;  // may be none
  double beta = 0;
  int paths = 0;             // of the task that was learnt
  int trained_distance = 0;  // of its queries; 0: all distances that were measured
  std::string training;      // what was trained, in a sentence or two
};

StudyReport reachability_report(const ReachabilityResults& results);
// Its part about what models learnt of the task of paths, and their claims. Without runs, a claim
// that says so and nothing else.
void add_trained(const ReachabilityResults& results, StudyReport& report);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_
