// Means with 95% intervals.
#ifndef LOOPLM_EXPERIMENTS_CORE_BOOTSTRAP_H_
#define LOOPLM_EXPERIMENTS_CORE_BOOTSTRAP_H_

#include <cstdint>
#include <span>

#include "eval/depth_table.h"

namespace looplm {

// The mean, and the 2.5 and 97.5 percentiles of the means of `resamples` draws with replacement.
// NaN of nothing.
Estimate bootstrap_mean(std::span<const double> values, uint64_t seed = 1, int resamples = 2000);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_BOOTSTRAP_H_
