#include "eval/depth_table.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

// Sums over an example's scored tokens, for one row of the table.
struct Sums {
  double nll = 0;
  double right = 0;
  double loops = 0;
  double exact = 0;
};

struct Figures {
  double mean_loops, nll, accuracy, exact;
  double nll_gain = 0, accuracy_gain = 0;
};

class Aggregator {
 public:
  Aggregator(const std::vector<DepthScores>& scores, const DepthTableOptions& options)
      : options_(options), depths_(static_cast<size_t>(scores.front().loops)) {
    for (const DepthScores& s : scores) {
      LOOPLM_CHECK(static_cast<size_t>(s.loops) == depths_ && s.loops >= options.trained_loops);
      tokens_.push_back(static_cast<double>(s.tokens));
      for (size_t row = 0; row < rows(); ++row) sums_.push_back(sum(s, row));
    }
  }

  size_t rows() const { return depths_ + options_.thresholds.size(); }
  size_t examples() const { return tokens_.size(); }

  // The table's figures over these examples, repeats counted.
  std::vector<Figures> figures(const std::vector<uint32_t>& examples) const {
    std::vector<Sums> total(rows());
    double tokens = 0;
    for (uint32_t e : examples) {
      tokens += tokens_[e];
      for (size_t r = 0; r < rows(); ++r) {
        const Sums& s = sums_[e * rows() + r];
        total[r].nll += s.nll;
        total[r].right += s.right;
        total[r].loops += s.loops;
        total[r].exact += s.exact;
      }
    }
    std::vector<Figures> out;
    std::vector<double> nll, accuracy;  // of the fixed depths
    for (size_t r = 0; r < rows(); ++r) {
      const Sums& s = total[r];
      Figures f = {s.loops / tokens, s.nll / tokens, s.right / tokens,
                   s.exact / static_cast<double>(examples.size())};
      if (r < depths_) {
        nll.push_back(f.nll);
        accuracy.push_back(f.accuracy);
      } else {
        f.nll_gain = interpolate(nll, f.mean_loops) - f.nll;
        f.accuracy_gain = f.accuracy - interpolate(accuracy, f.mean_loops);
      }
      out.push_back(f);
    }
    return out;
  }

 private:
  Sums sum(const DepthScores& s, size_t row) const {
    Sums sums;
    for (int64_t i = 0; i < s.tokens; ++i) {
      const int64_t loops = row < depths_ ? static_cast<int64_t>(row) + 1
                                          : s.exit_loop(i, options_.thresholds[row - depths_],
                                                        options_.trained_loops);
      const size_t cell = s.at(loops - 1, i);
      sums.nll += static_cast<double>(s.nll[cell]);
      sums.right += s.right[cell];
      sums.loops += static_cast<double>(loops);
    }
    sums.exact = sums.right == static_cast<double>(s.tokens) ? 1 : 0;
    return sums;
  }

  const DepthTableOptions& options_;
  size_t depths_;
  std::vector<double> tokens_;  // per example
  std::vector<Sums> sums_;      // (examples, rows)
};

// Puts the interval around a value, from the same figure of every resample.
Estimate estimate(double value, std::vector<double> resampled) {
  if (resampled.empty()) return {value, value, value};
  std::sort(resampled.begin(), resampled.end());
  const auto percentile = [&](double share) {
    const double at = share * static_cast<double>(resampled.size() - 1);
    return resampled[static_cast<size_t>(std::llround(at))];
  };
  return {value, percentile(0.025), percentile(0.975)};
}

}  // namespace

double interpolate(const std::vector<double>& curve, double x) {
  const double last = static_cast<double>(curve.size());
  const double at = std::clamp(x, 1.0, last) - 1;
  const auto below = static_cast<size_t>(at);
  if (below + 1 >= curve.size()) return curve.back();
  const double share = at - static_cast<double>(below);
  return curve[below] * (1 - share) + curve[below + 1] * share;
}

DepthTable depth_table(const std::vector<DepthScores>& scores, const DepthTableOptions& options) {
  LOOPLM_CHECK(!scores.empty());
  const Aggregator aggregator(scores, options);
  std::vector<uint32_t> chosen(aggregator.examples());
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<uint32_t>(i);
  const std::vector<Figures> all = aggregator.figures(chosen);

  std::vector<std::vector<Figures>> resampled;
  for (int64_t n = 0; n < options.resamples; ++n) {
    Rng rng(options.seed, static_cast<uint64_t>(n));
    for (uint32_t& e : chosen) e = rng.below(static_cast<uint32_t>(chosen.size()));
    resampled.push_back(aggregator.figures(chosen));
  }

  DepthTable table;
  table.examples = static_cast<int64_t>(scores.size());
  for (const DepthScores& s : scores) table.tokens += s.tokens;
  table.trained_loops = options.trained_loops;
  const auto depths = static_cast<size_t>(scores.front().loops);
  for (size_t r = 0; r < all.size(); ++r) {
    const auto with_interval = [&](double Figures::*figure) {
      std::vector<double> values;
      for (const std::vector<Figures>& f : resampled) values.push_back(f[r].*figure);
      return estimate(all[r].*figure, std::move(values));
    };
    DepthRow row;
    row.mean_loops = all[r].mean_loops;
    row.nll = with_interval(&Figures::nll);
    row.accuracy = with_interval(&Figures::accuracy);
    row.exact = with_interval(&Figures::exact);
    if (r >= depths) {
      row.threshold = options.thresholds[r - depths];
      row.nll_gain = with_interval(&Figures::nll_gain);
      row.accuracy_gain = with_interval(&Figures::accuracy_gain);
    }
    table.rows.push_back(row);
  }
  return table;
}

}  // namespace looplm
