#include "experiments/exits/exit_curve.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

// Sums over the scored tokens of one example.
struct Sums {
  double loops = 0;
  double nll = 0;
  double right = 0;
};

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

// A rule's sums per example, and those of the fixed depths, which every resample needs.
class Curve {
 public:
  Curve(const std::vector<DepthScores>& scores, ExitKind kind, const ExitCurveOptions& options)
      : loops_(static_cast<size_t>(options.trained_loops)) {
    LOOPLM_CHECK(!scores.empty() && options.trained_loops <= scores.front().loops);
    for (const double target : options.targets) {
      ExitOptions exit;
      exit.kind = kind;
      exit.threshold = exit_threshold(scores, kind, target, options.trained_loops);
      thresholds_.push_back(exit.threshold);
      for (const DepthScores& s : scores)
        rule_.push_back(
            sum(s, [&](int64_t token) { return s.exit_loop(token, exit, options.trained_loops); }));
    }
    for (const DepthScores& s : scores) {
      tokens_.push_back(static_cast<double>(s.tokens));
      for (size_t t = 1; t <= loops_; ++t) {
        fixed_.push_back(sum(s, [&](int64_t) { return static_cast<int64_t>(t); }));
      }
    }
  }

  size_t points() const { return thresholds_.size(); }
  size_t examples() const { return tokens_.size(); }

  struct Figures {
    double threshold, loops, nll, accuracy, nll_gain, accuracy_gain;
  };
  // Over these examples, repeats counted.
  std::vector<Figures> figures(const std::vector<uint32_t>& chosen) const {
    double tokens = 0;
    for (uint32_t e : chosen) tokens += tokens_[e];
    std::vector<double> nll(loops_), accuracy(loops_);
    for (size_t t = 0; t < loops_; ++t) {
      for (uint32_t e : chosen) {
        nll[t] += fixed_[e * loops_ + t].nll / tokens;
        accuracy[t] += fixed_[e * loops_ + t].right / tokens;
      }
    }
    std::vector<Figures> all;
    for (size_t p = 0; p < points(); ++p) {
      Sums total;
      for (uint32_t e : chosen) {
        const Sums& s = rule_[p * examples() + e];
        total.loops += s.loops;
        total.nll += s.nll;
        total.right += s.right;
      }
      Figures f = {
          thresholds_[p], total.loops / tokens, total.nll / tokens, total.right / tokens, 0, 0};
      f.nll_gain = interpolate(nll, f.loops) - f.nll;
      f.accuracy_gain = f.accuracy - interpolate(accuracy, f.loops);
      all.push_back(f);
    }
    return all;
  }

 private:
  template <typename Depth>
  static Sums sum(const DepthScores& s, Depth depth) {
    Sums sums;
    for (int64_t i = 0; i < s.tokens; ++i) {
      const int64_t loops = depth(i);
      sums.loops += static_cast<double>(loops);
      sums.nll += static_cast<double>(s.nll[s.at(loops - 1, i)]);
      sums.right += s.right[s.at(loops - 1, i)];
    }
    return sums;
  }

  size_t loops_;
  std::vector<double> thresholds_;
  std::vector<double> tokens_;  // (examples)
  std::vector<Sums> rule_;      // (points, examples)
  std::vector<Sums> fixed_;     // (examples, loops)
};

// Calls visit with everybody and then with each resample.
template <typename Visit>
void resample(size_t examples, const ExitCurveOptions& options, Visit visit) {
  std::vector<uint32_t> chosen(examples);
  for (size_t i = 0; i < examples; ++i) chosen[i] = static_cast<uint32_t>(i);
  visit(chosen);
  for (int64_t n = 0; n < options.resamples; ++n) {
    Rng rng(options.seed, static_cast<uint64_t>(n));
    for (uint32_t& e : chosen) e = rng.below(static_cast<uint32_t>(examples));
    visit(chosen);
  }
}

// The first value, with the central 95% of the others around it.
Estimate estimate(const std::vector<double>& values) {
  Estimate e = {values[0], values[0], values[0]};
  if (values.size() < 2) return e;
  std::vector<double> others(values.begin() + 1, values.end());
  std::sort(others.begin(), others.end());
  const double last = static_cast<double>(others.size() - 1);
  e.low = others[static_cast<size_t>(std::llround(0.025 * last))];
  e.high = others[static_cast<size_t>(std::llround(0.975 * last))];
  return e;
}

}  // namespace

double exit_threshold(const std::vector<DepthScores>& scores, ExitKind kind, double target,
                      int64_t trained_loops) {
  // Each token and loop has a threshold at which the rule's mind changes there. Between neighbours
  // of those the mean depth is constant, so they are all that need be tried; it is monotone.
  std::vector<double> candidates;
  for (const DepthScores& s : scores) {
    for (int64_t i = 0; i < s.tokens; ++i) {
      double log_survival = 0;
      for (int64_t t = 0; t < trained_loops; ++t) {
        const size_t cell = s.at(t, i);
        switch (kind) {
          case ExitKind::kFixed:
            break;
          case ExitKind::kGate:
            log_survival -= std::log1p(std::exp(static_cast<double>(s.gate[cell])));
            candidates.push_back(-std::expm1(log_survival));
            break;
          case ExitKind::kHiddenDifference:
            candidates.push_back(static_cast<double>(s.difference[cell]));
            break;
          case ExitKind::kRelativeDifference:
            candidates.push_back(static_cast<double>(s.difference[cell] / s.norm[cell]));
            break;
          case ExitKind::kMargin:
            candidates.push_back(static_cast<double>(s.margin[cell]));
            break;
          case ExitKind::kEntropy:
            candidates.push_back(static_cast<double>(s.entropy[cell]));
            break;
        }
      }
    }
  }
  LOOPLM_CHECK(!candidates.empty(), "a fixed depth has no threshold");
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
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

std::vector<ExitPoint> exit_curve(const std::vector<DepthScores>& scores, ExitKind kind,
                                  const ExitCurveOptions& options) {
  const Curve curve(scores, kind, options);
  std::vector<std::vector<double>> values(4 * curve.points());
  std::vector<ExitPoint> points;
  resample(curve.examples(), options, [&](const std::vector<uint32_t>& chosen) {
    const std::vector<Curve::Figures> all = curve.figures(chosen);
    for (size_t p = 0; p < all.size(); ++p) {
      if (points.size() == p) {
        points.push_back({options.targets[p], all[p].threshold, all[p].loops, {}, {}, {}, {}});
      }
      values[4 * p].push_back(all[p].nll);
      values[4 * p + 1].push_back(all[p].accuracy);
      values[4 * p + 2].push_back(all[p].nll_gain);
      values[4 * p + 3].push_back(all[p].accuracy_gain);
    }
  });
  for (size_t p = 0; p < points.size(); ++p) {
    points[p].nll = estimate(values[4 * p]);
    points[p].accuracy = estimate(values[4 * p + 1]);
    points[p].nll_gain = estimate(values[4 * p + 2]);
    points[p].accuracy_gain = estimate(values[4 * p + 3]);
  }
  return points;
}

std::vector<Estimate> accuracy_difference(const std::vector<DepthScores>& scores, ExitKind kind,
                                          const std::vector<DepthScores>& reference_scores,
                                          ExitKind reference_kind,
                                          const ExitCurveOptions& options) {
  const Curve curve(scores, kind, options);
  const Curve reference(reference_scores, reference_kind, options);
  LOOPLM_CHECK(curve.examples() == reference.examples());
  std::vector<std::vector<double>> values(curve.points());
  resample(curve.examples(), options, [&](const std::vector<uint32_t>& chosen) {
    const std::vector<Curve::Figures> ours = curve.figures(chosen);
    const std::vector<Curve::Figures> theirs = reference.figures(chosen);
    for (size_t p = 0; p < values.size(); ++p) {
      // Both gains are over the same fixed depths, each at its own mean.
      values[p].push_back(ours[p].accuracy_gain - theirs[p].accuracy_gain);
    }
  });
  std::vector<Estimate> differences;
  for (const std::vector<double>& v : values) differences.push_back(estimate(v));
  return differences;
}

}  // namespace looplm
