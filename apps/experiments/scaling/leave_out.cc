#include "experiments/scaling/leave_out.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {
namespace {

std::vector<LeaveOut> choices(std::span<const ScalingPoint> points, double ScalingPoint::*field,
                              int keep, const char* what) {
  std::set<double> seen;
  for (const ScalingPoint& p : points) seen.insert(p.*field);
  const std::vector<double> values(seen.begin(), seen.end());
  LOOPLM_CHECK(keep >= 1 && keep <= static_cast<int>(values.size()), "{} of {} {}", keep,
               values.size(), what);
  std::vector<LeaveOut> all;
  // The marks of chosen values, from the one with the first values chosen on.
  std::vector<bool> chosen(values.size(), false);
  std::fill(chosen.begin(), chosen.begin() + keep, true);
  do {
    std::vector<double> kept;
    LeaveOut choice;
    choice.fitted_on = what;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!chosen[i]) continue;
      choice.fitted_on += fmt::format("{} {:.0f}", kept.empty() ? "" : ",", values[i]);
      kept.push_back(values[i]);
    }
    for (const ScalingPoint& p : points) {
      choice.fitted.push_back(std::binary_search(kept.begin(), kept.end(), p.*field));
    }
    all.push_back(std::move(choice));
  } while (std::prev_permutation(chosen.begin(), chosen.end()));
  return all;
}

}  // namespace

std::vector<LeaveOut> leave_out_sizes(std::span<const ScalingPoint> points, int keep) {
  return choices(points, &ScalingPoint::parameters, keep, "parameters");
}

std::vector<LeaveOut> leave_out_loops(std::span<const ScalingPoint> points, int keep) {
  return choices(points, &ScalingPoint::loops, keep, "loops");
}

LeaveOut leave_out_late_tokens(std::span<const ScalingPoint> points, double share) {
  double most = 0;
  for (const ScalingPoint& p : points) most = std::max(most, p.tokens);
  LeaveOut choice;
  choice.fitted_on = fmt::format("the first {:.0f}% of tokens", 100 * share);
  for (const ScalingPoint& p : points) choice.fitted.push_back(p.tokens <= share * most);
  return choice;
}

Result<LeaveOutScore> score_leave_out(std::span<const ScalingPoint> points, const LeaveOut& choice,
                                      const ScalingFitOptions& options) {
  LOOPLM_CHECK(choice.fitted.size() == points.size());
  std::vector<ScalingPoint> fitted;
  std::vector<ScalingPoint> left_out;
  for (size_t i = 0; i < points.size(); ++i) {
    (choice.fitted[i] ? fitted : left_out).push_back(points[i]);
  }
  const Result<ScalingFit> fit = fit_scaling_law(fitted, options);
  if (!fit.ok()) return fit.status().with_context(choice.fitted_on);
  return LeaveOutScore{choice.fitted_on, r_squared(fit.value().law, points),
                       r_squared(fit.value().law, left_out)};
}

}  // namespace looplm
