#include "experiments/core/seed_summary.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {

SeedSummary summarize_seeds(const std::vector<double>& values) {
  LOOPLM_CHECK(!values.empty());
  SeedSummary summary;
  summary.mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  summary.low = *std::min_element(values.begin(), values.end());
  summary.high = *std::max_element(values.begin(), values.end());
  summary.values = values;
  return summary;
}

SeedSummary difference(const SeedSummary& a, const SeedSummary& b) {
  LOOPLM_CHECK(a.values.size() == b.values.size());
  std::vector<double> values;
  std::ranges::transform(a.values, b.values, std::back_inserter(values), std::minus<>());
  return summarize_seeds(values);
}

Estimate paired_gain(const SeedSummary& a, const SeedSummary& b) {
  return mean_of(difference(a, b).values);
}

bool is_ahead(const SeedSummary& a, const SeedSummary& b) {
  constexpr double kNoticeable = 0.04;
  const Estimate gain = paired_gain(a, b);
  return a.values.size() > 1 && gain.low > 0 && gain.value >= kNoticeable;
}

std::string percent_text(const SeedSummary& summary) {
  if (summary.values.size() == 1) return fmt::format("{:.1f}%", 100 * summary.mean);
  return fmt::format("{:.1f}% [{:.1f}, {:.1f}]", 100 * summary.mean, 100 * summary.low,
                     100 * summary.high);
}

void add_point(Series& series, double x, const SeedSummary& summary, double scale) {
  series.x.push_back(x);
  series.y.push_back(scale * summary.mean);
  series.low.push_back(scale * summary.low);
  series.high.push_back(scale * summary.high);
}

}  // namespace looplm
