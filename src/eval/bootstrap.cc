#include "eval/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/rng.h"

namespace looplm {

void for_each_resample(size_t count, const Resampling& resampling,
                       const std::function<void(std::span<const uint32_t> chosen)>& visit) {
  std::vector<uint32_t> chosen(count);
  std::iota(chosen.begin(), chosen.end(), 0U);
  visit(chosen);
  for (int64_t n = 0; n < resampling.resamples; ++n) {
    Rng rng(resampling.seed, static_cast<uint64_t>(n));
    for (uint32_t& i : chosen) i = rng.below(static_cast<uint32_t>(count));
    visit(chosen);
  }
}

Estimate percentile_interval(double value, std::vector<double> resampled) {
  std::erase_if(resampled, [](double x) { return std::isnan(x); });
  if (resampled.empty()) return {value, value, value};
  std::sort(resampled.begin(), resampled.end());
  const auto percentile = [&](double share) {
    const double at = share * static_cast<double>(resampled.size() - 1);
    return resampled[static_cast<size_t>(std::llround(at))];
  };
  return {value, percentile(0.025), percentile(0.975)};
}

Estimate bootstrap(size_t count, const Resampling& resampling,
                   const std::function<double(std::span<const uint32_t> chosen)>& figure) {
  std::optional<double> value;
  std::vector<double> resampled;
  for_each_resample(count, resampling, [&](std::span<const uint32_t> chosen) {
    const double now = figure(chosen);
    if (value) resampled.push_back(now);
    if (!value) value = now;
  });
  return percentile_interval(*value, std::move(resampled));
}

Estimate bootstrap_mean(std::span<const double> values, const Resampling& resampling) {
  if (values.empty()) return {std::nan(""), std::nan(""), std::nan("")};
  return bootstrap(values.size(), resampling, [&](std::span<const uint32_t> chosen) {
    double sum = 0;
    for (const uint32_t i : chosen) sum += values[i];
    return sum / static_cast<double>(chosen.size());
  });
}

}  // namespace looplm
