#include "experiments/exits/exit_curve.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "eval/task_run.h"
#include "model/exit_distribution.h"

namespace looplm {
namespace {

double mean_depth(const std::vector<DepthScores>& scores, const ExitOptions& exit, int64_t loops) {
  double sum = 0, tokens = 0;
  for (const DepthScores& s : scores) {
    for (int64_t i = 0; i < s.tokens; ++i) {
      sum += static_cast<double>(s.exit_loop(i, exit, loops));
    }
    tokens += static_cast<double>(s.tokens);
  }
  return sum / tokens;
}

enum : size_t { kNll, kAccuracy };  // metrics of text_outcomes()

// A rule at the thresholds of all targets, after the fixed depths.
Outcomes rule_outcomes(const std::vector<DepthScores>& scores, ExitKind kind,
                       const ExitCurveOptions& options) {
  LOOPLM_CHECK(!scores.empty() && options.trained_loops <= scores.front().loops);
  ExitRequest rule;
  rule.kind = kind;
  for (const double target : options.targets) {
    rule.thresholds.push_back(exit_threshold(scores, kind, target, options.trained_loops));
  }
  return text_outcomes(
      scores, depth_settings(depths_to(options.trained_loops), {rule}, {}, options.trained_loops),
      options.trained_loops);
}

}  // namespace

double exit_threshold(const std::vector<DepthScores>& scores, ExitKind kind, double target,
                      int64_t trained_loops) {
  LOOPLM_CHECK(kind != ExitKind::kFixed, "a fixed depth has no threshold");
  // Each token and loop has a threshold at which the rule's mind changes there. Between neighbours
  // of those the mean depth is constant, so they are all that need be tried; it is monotone.
  std::vector<double> candidates = exit_figures(scores, kind, trained_loops);
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  if (candidates.empty()) return 1;  // one loop, whatever the threshold
  // Between neighbours rather than on them: equality is at the mercy of rounding.
  std::vector<double> tried = {candidates.front() / 2};
  for (size_t i = 0; i + 1 < candidates.size(); ++i) {
    tried.push_back((candidates[i] + candidates[i + 1]) / 2);
  }
  const bool deeper_with_threshold = kind == ExitKind::kGate || kind == ExitKind::kMargin;
  tried.push_back(deeper_with_threshold ? 1.0 : candidates.back() * 2 + 1);
  const auto depth = [&](size_t i) {
    return mean_depth(scores, {.kind = kind, .threshold = tried[i]}, trained_loops);
  };
  size_t low = 0, high = tried.size() - 1;  // the depth at `low` is on the shallow side
  if (!deeper_with_threshold) std::swap(low, high);
  while (std::max(low, high) - std::min(low, high) > 1) {
    const size_t middle = (low + high) / 2;
    (depth(middle) <= target ? low : high) = middle;
  }
  return std::abs(depth(low) - target) <= std::abs(depth(high) - target) ? tried[low] : tried[high];
}

std::vector<FixedDepth> fixed_depths(const std::vector<DepthScores>& scores,
                                     const Resampling& resampling) {
  LOOPLM_CHECK(!scores.empty());
  const int64_t loops = scores.front().loops;
  std::vector<FixedDepth> depths;
  for (const OutcomeRow& row :
       outcome_table(text_outcomes(scores, depth_settings(depths_to(loops), {}, {}, loops), loops),
                     {loops, resampling.resamples, resampling.seed})
           .rows) {
    depths.push_back({row.values[kNll], row.values[kAccuracy]});
  }
  return depths;
}

std::vector<ExitPoint> exit_curve(const std::vector<DepthScores>& scores, ExitKind kind,
                                  const ExitCurveOptions& options) {
  const OutcomeTable table =
      outcome_table(rule_outcomes(scores, kind, options),
                    {options.trained_loops, options.resampling.resamples, options.resampling.seed});
  std::vector<ExitPoint> points;
  for (size_t p = 0; p < options.targets.size(); ++p) {
    const OutcomeRow& row = table.rows[static_cast<size_t>(options.trained_loops) + p];
    points.push_back({options.targets[p], row.setting.exit.threshold, row.mean_loops,
                      row.values[kNll], row.values[kAccuracy], row.gains[kNll].value(),
                      row.gains[kAccuracy].value()});
  }
  return points;
}

std::vector<Estimate> accuracy_difference(const std::vector<DepthScores>& scores, ExitKind kind,
                                          const std::vector<DepthScores>& reference_scores,
                                          ExitKind reference_kind,
                                          const ExitCurveOptions& options) {
  LOOPLM_CHECK(scores.size() == reference_scores.size());
  const Outcomes ours = rule_outcomes(scores, kind, options);
  const Outcomes theirs = rule_outcomes(reference_scores, reference_kind, options);
  std::vector<std::vector<double>> values(options.targets.size());
  for_each_resample(scores.size(), options.resampling, [&](std::span<const uint32_t> chosen) {
    const std::vector<OutcomeFigures> a = outcome_figures(ours, chosen);
    const std::vector<OutcomeFigures> b = outcome_figures(theirs, chosen);
    for (size_t p = 0; p < values.size(); ++p) {
      // Both gains are over the same fixed depths, each at its own mean.
      const size_t row = static_cast<size_t>(options.trained_loops) + p;
      values[p].push_back(a[row].gains[kAccuracy].value() - b[row].gains[kAccuracy].value());
    }
  });
  std::vector<Estimate> differences;
  for (std::vector<double>& v : values) {
    const double value = v.front();
    v.erase(v.begin());
    differences.push_back(percentile_interval(value, std::move(v)));
  }
  return differences;
}

GateFigures gate_figures(const std::vector<DepthScores>& scores, int64_t loops) {
  GateFigures f;
  f.exit.resize(static_cast<size_t>(loops));
  f.gate.resize(static_cast<size_t>(loops));
  std::vector<float> logits(static_cast<size_t>(loops));
  std::vector<double> log_p(static_cast<size_t>(loops));
  double tokens = 0;
  for (const DepthScores& s : scores) {
    LOOPLM_CHECK(s.loops >= loops);
    for (int64_t i = 0; i < s.tokens; ++i) {
      for (int64_t t = 0; t < loops; ++t) logits[static_cast<size_t>(t)] = s.gate[s.at(t, i)];
      exit_log_probabilities(logits, log_p);
      for (int64_t t = 0; t < loops; ++t) {
        const auto at = static_cast<size_t>(t);
        const double p = std::exp(log_p[at]);
        f.exit[at] += p;
        f.gate[at] += sigmoid(static_cast<double>(logits[at]));
        f.expected_nll += p * static_cast<double>(s.nll[s.at(t, i)]);
        f.mean_exit += p * static_cast<double>(t + 1);
      }
      ++tokens;
    }
  }
  for (double& x : f.exit) x /= tokens;
  for (double& x : f.gate) x /= tokens;
  f.expected_nll /= tokens;
  f.mean_exit /= tokens;
  return f;
}

}  // namespace looplm
