// The prior study's report, from the results of its cells.
#ifndef LOOPLM_EXPERIMENTS_PRIOR_PRIOR_REPORT_H_
#define LOOPLM_EXPERIMENTS_PRIOR_PRIOR_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/study.h"

namespace looplm {

struct PriorArm {
  enum class Kind { kUniform, kGeometric, kPoisson };
  std::string id;    // in names of cells, before "-SEED"
  std::string name;  // for people
  Kind kind = Kind::kUniform;
  double parameter = 0;   // the geometric's, or the Poisson-lognormal's mean
  std::string objective;  // lines of a run file's [objective]
};

// The first arm is the uniform one.
Result<StudyReport> prior_report(const CellResults& results, const std::vector<PriorArm>& arms,
                                 const std::vector<int64_t>& seeds);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_PRIOR_PRIOR_REPORT_H_
