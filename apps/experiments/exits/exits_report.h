// The exits study's report, from the results of its cells.
#ifndef LOOPLM_EXPERIMENTS_EXITS_EXITS_REPORT_H_
#define LOOPLM_EXPERIMENTS_EXITS_EXITS_REPORT_H_

#include <cstdint>
#include <vector>

#include "experiments/core/study.h"

namespace looplm {

Result<StudyReport> exits_report(const CellResults& results, const std::vector<int64_t>& seeds);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_EXITS_REPORT_H_
