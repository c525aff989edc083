// The kv study's report, from the results of its cells.
#ifndef LOOPLM_EXPERIMENTS_KV_KV_REPORT_H_
#define LOOPLM_EXPERIMENTS_KV_KV_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "eval/bootstrap.h"
#include "experiments/core/study.h"

namespace looplm {

Result<StudyReport> kv_report(const CellResults& results, const std::vector<int64_t>& seeds,
                              int64_t resamples);

// Sums of `values` over sums of `weights`, less the same of `base` (empty: nothing less), with a
// bootstrap interval over indices, which all share.
Estimate paired_mean(const std::vector<double>& values, const std::vector<double>& weights,
                     const std::vector<double>& base, int64_t resamples);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_KV_KV_REPORT_H_
