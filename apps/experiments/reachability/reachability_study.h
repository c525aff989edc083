// Section 6.3 of arXiv:2510.25741: the theorem's construction, and trained models on paths.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_

#include <string>
#include <vector>

#include "experiments/core/study.h"
#include "experiments/reachability/theorem.h"
#include "experiments/reachability/trained_paths.h"

namespace looplm {

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
