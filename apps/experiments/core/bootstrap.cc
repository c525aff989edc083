#include "experiments/core/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace looplm {

Estimate bootstrap_mean(std::span<const double> values, uint64_t seed, int resamples) {
  if (values.empty()) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, nan};
  }
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (double v : values) sum += v;
  std::vector<double> means;
  for (int r = 0; r < resamples; ++r) {
    Rng rng(seed, static_cast<uint64_t>(r));
    double drawn = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      drawn += values[rng.below(static_cast<uint32_t>(values.size()))];
    }
    means.push_back(drawn / n);
  }
  std::sort(means.begin(), means.end());
  const auto at = [&](double share) {
    return means[static_cast<size_t>(std::lround(share * static_cast<double>(means.size() - 1)))];
  };
  return {sum / n, at(0.025), at(0.975)};
}

}  // namespace looplm
