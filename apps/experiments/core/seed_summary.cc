#include "experiments/core/seed_summary.h"

#include <algorithm>
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

bool is_above(const SeedSummary& a, const SeedSummary& b) {
  constexpr double kNoticeable = 0.04;
  return a.mean - b.mean >= kNoticeable;
}

bool is_above_in_pairs(const SeedSummary& a, const SeedSummary& b) {
  if (!is_above(a, b) || a.values.size() < 2 || a.values.size() != b.values.size()) return false;
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (a.values[i] <= b.values[i]) return false;
  }
  return true;
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
