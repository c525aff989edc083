// Stage I under a uniform prior over exits, and under priors that favour stopping early
// (arXiv:2510.25741, appendix A).
#ifndef LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_
#define LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/study.h"
#include "train/objective.h"

namespace looplm {

struct PriorArm {
  std::string id;    // in names of cells, before "-SEED"
  std::string name;  // for people
  ExitPrior prior{};
};

// The first arm is the uniform one.
Result<StudyReport> prior_report(const CellResults& results, const std::vector<PriorArm>& arms,
                                 const std::vector<int64_t>& seeds);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_
