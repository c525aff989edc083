#include "eval/outcomes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numbers>

#include <fmt/format.h>

#include "base/check.h"
#include "base/count_text.h"

namespace looplm {
namespace {

// The value at `x` of a curve given at some points, in ascending order, linearly between.
std::optional<double> between(const std::vector<std::pair<double, double>>& curve, double x) {
  const auto above = std::lower_bound(
      curve.begin(), curve.end(), x, [](const auto& point, double at) { return point.first < at; });
  if (above == curve.end()) return std::nullopt;
  if (above->first == x) return above->second;
  if (above == curve.begin()) return std::nullopt;
  const auto below = above - 1;
  const double share = (x - below->first) / (above->first - below->first);
  return below->second * (1 - share) + above->second * share;
}

// In short, where that says it all.
std::string threshold_text(double threshold, bool two_decimals) {
  const std::string text =
      two_decimals ? fmt::format("{:.2f}", threshold) : fmt::format("{:.3g}", threshold);
  double said = 0;
  std::from_chars(text.data(), text.data() + text.size(), said);
  return said == threshold ? text : fmt::format("{}", threshold);
}

}  // namespace

double MetricColumn::value(std::span<const double> sums) const {
  if (form == Form::kMacroF1) {
    double total = 0, occurring = 0;
    for (size_t c = 0; c < classes; ++c) {
      const double hits = sums[numerator + 3 * c];
      const double both = sums[numerator + 3 * c + 1] + sums[numerator + 3 * c + 2];
      if (both == 0) continue;
      total += 2 * hits / both;
      ++occurring;
    }
    return total / occurring;
  }
  const double ratio = sums[numerator] / sums[denominator];
  if (form == Form::kExpRatio) return std::exp(ratio);
  if (form == Form::kBitsRatio) return ratio / std::numbers::ln2;
  return ratio;
}

std::string DepthSetting::name() const {
  if (fixed()) return count_text(exit.max_loops, "loop");
  return fmt::format("{} {}", exit_kind_name(exit.kind),
                     threshold_text(exit.threshold, exit.kind == ExitKind::kGate));
}

const OutcomeRow* OutcomeTable::fixed(int64_t loops) const {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const OutcomeRow& r) {
    return r.setting.fixed() && r.setting.exit.max_loops == loops;
  });
  return row == rows.end() ? nullptr : &*row;
}

std::vector<OutcomeFigures> outcome_figures(const Outcomes& outcomes,
                                            std::span<const uint32_t> questions) {
  const size_t settings = outcomes.settings().size(), width = outcomes.width();
  std::vector<double> sums(settings * width);
  for (const uint32_t q : questions) {
    // A question's settings stand one after the other.
    const double* from = outcomes.at(q, 0).data();
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += from[i];
  }
  const std::vector<MetricColumn>& metrics = outcomes.metrics();
  std::vector<OutcomeFigures> all(settings);
  std::vector<std::vector<std::pair<double, double>>> curves(metrics.size());
  for (size_t s = 0; s < settings; ++s) {
    const std::span<const double> of_setting = std::span(sums).subspan(s * width, width);
    OutcomeFigures& f = all[s];
    f.mean_loops = of_setting[Outcomes::kLoops] / of_setting[Outcomes::kTokens];
    for (size_t m = 0; m < metrics.size(); ++m) {
      f.values.push_back(metrics[m].value(of_setting));
      if (outcomes.settings()[s].fixed()) curves[m].emplace_back(f.mean_loops, f.values[m]);
    }
  }
  for (auto& curve : curves) std::sort(curve.begin(), curve.end());
  for (size_t s = 0; s < settings; ++s) {
    for (size_t m = 0; m < metrics.size(); ++m) {
      std::optional<double> gain;
      if (!outcomes.settings()[s].fixed()) {
        if (const auto fixed = between(curves[m], all[s].mean_loops)) {
          gain = metrics[m].lower_is_better ? *fixed - all[s].values[m] : all[s].values[m] - *fixed;
        }
      }
      all[s].gains.push_back(gain);
    }
  }
  return all;
}

OutcomeTable outcome_table(const Outcomes& outcomes, std::span<const uint32_t> questions,
                           const OutcomeTableOptions& options) {
  LOOPLM_CHECK(!questions.empty());
  std::vector<std::vector<OutcomeFigures>> drawn;  // all questions, then each resample
  std::vector<uint32_t> of(questions.size());
  for_each_resample(questions.size(), {options.resamples, options.seed}, [&](auto chosen) {
    for (size_t i = 0; i < of.size(); ++i) of[i] = questions[chosen[i]];
    drawn.push_back(outcome_figures(outcomes, of));
  });
  const std::vector<OutcomeFigures>& all = drawn.front();

  OutcomeTable table;
  table.questions = static_cast<int64_t>(questions.size());
  double tokens = 0;
  for (const uint32_t q : questions) tokens += outcomes.at(q, 0)[Outcomes::kTokens];
  table.tokens = std::llround(tokens);
  table.trained_loops = options.trained_loops;
  table.metrics = outcomes.metrics();
  for (size_t s = 0; s < all.size(); ++s) {
    OutcomeRow row;
    row.setting = outcomes.settings()[s];
    row.mean_loops = all[s].mean_loops;
    for (size_t m = 0; m < table.metrics.size(); ++m) {
      std::vector<double> values, gains;
      for (const std::vector<OutcomeFigures>& f : std::span(drawn).subspan(1)) {
        values.push_back(f[s].values[m]);
        if (f[s].gains[m]) gains.push_back(*f[s].gains[m]);
      }
      row.values.push_back(percentile_interval(all[s].values[m], std::move(values)));
      row.gains.emplace_back();
      if (all[s].gains[m]) {
        row.gains.back() = percentile_interval(*all[s].gains[m], std::move(gains));
      }
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

OutcomeTable outcome_table(const Outcomes& outcomes, const OutcomeTableOptions& options) {
  std::vector<uint32_t> questions(outcomes.questions());
  for (size_t q = 0; q < questions.size(); ++q) questions[q] = static_cast<uint32_t>(q);
  return outcome_table(outcomes, questions, options);
}

std::vector<OutcomeCategory> outcome_categories(const Outcomes& outcomes,
                                                const std::vector<std::string>& categories,
                                                const OutcomeTableOptions& options) {
  LOOPLM_CHECK(categories.size() == outcomes.questions());
  std::vector<OutcomeCategory> result;
  std::map<std::string, std::vector<uint32_t>> members;
  std::vector<std::string> order;
  for (size_t q = 0; q < categories.size(); ++q) {
    std::vector<uint32_t>& list = members[categories[q]];
    if (list.empty()) order.push_back(categories[q]);
    list.push_back(static_cast<uint32_t>(q));
  }
  for (const std::string& name : order) {
    OutcomeCategory category = {name, outcome_table(outcomes, members[name], options), {}, {}};
    const OutcomeRow* first = category.table.fixed(1);
    const OutcomeRow* last = category.table.fixed(options.trained_loops);
    if (first != nullptr && last != nullptr && !first->values.empty()) {
      const double a = first->values[0].value, b = last->values[0].value;
      const double gained = category.table.metrics[0].lower_is_better ? a - b : b - a;
      category.absolute = gained;
      category.gain = gained == 0 ? 0 : gained / a;
    }
    result.push_back(std::move(category));
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
    return std::pair(a.gain.value_or(-INFINITY), a.absolute.value_or(-INFINITY)) >
           std::pair(b.gain.value_or(-INFINITY), b.absolute.value_or(-INFINITY));
  });
  return result;
}

}  // namespace looplm
