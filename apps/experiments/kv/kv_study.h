// What may be kept of earlier positions' keys and values (arXiv:2510.25741, section 5.4.2 and table
// 14).
#ifndef LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_
#define LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_

#include <cstdint>
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

#endif  // LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_
