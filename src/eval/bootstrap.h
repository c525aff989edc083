// 95% intervals by the bootstrap: a figure's percentiles over resamples of what it was measured on.
#ifndef LOOPLM_EVAL_BOOTSTRAP_H_
#define LOOPLM_EVAL_BOOTSTRAP_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace looplm {

// A figure with its 95% interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

struct Resampling {
  int64_t resamples = 1000;  // 0: no intervals
  uint64_t seed = 1;
};

// Calls `visit` with 0, 1, ..., count - 1, and then with each resample: as many of these numbers,
// drawn with replacement. Resample n is a function of (seed, n, count) alone, so that figures
// which are measured apart can be compared in pairs.
void for_each_resample(size_t count, const Resampling& resampling,
                       const std::function<void(std::span<const uint32_t> chosen)>& visit);

// The value with the 2.5 and 97.5 percentiles of its resamples, those that are not a number left
// out; without resamples they are the value.
Estimate percentile_interval(double value, std::vector<double> resampled);

// Both together, of one figure.
Estimate bootstrap(size_t count, const Resampling& resampling,
                   const std::function<double(std::span<const uint32_t> chosen)>& figure);

// Of a mean; NaN of nothing.
Estimate bootstrap_mean(std::span<const double> values,
                        const Resampling& resampling = {.resamples = 2000});

}  // namespace looplm

#endif  // LOOPLM_EVAL_BOOTSTRAP_H_
