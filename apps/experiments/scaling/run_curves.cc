#include "experiments/scaling/run_curves.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {
namespace {

// Means by loop at the ends of the runs trained with `loops`.
std::vector<double> mean_at_ends(std::span<const RunCurve> runs, int loops,
                                 std::vector<double> CurvePoint::*field) {
  std::vector<double> means(static_cast<size_t>(loops), 0.0);
  int count = 0;
  for (const RunCurve& run : runs) {
    if (run.loops != loops || run.points.empty()) continue;
    for (size_t t = 0; t < means.size(); ++t) means[t] += (run.points.back().*field)[t];
    ++count;
  }
  LOOPLM_CHECK(count > 0, "no run of {} loops", loops);
  for (double& mean : means) mean /= count;
  return means;
}

}  // namespace

std::vector<ScalingPoint> total_points(std::span<const RunCurve> runs, TotalLoss kind) {
  std::vector<ScalingPoint> points;
  for (const RunCurve& run : runs) {
    for (const CurvePoint& p : run.points) {
      points.push_back({run.parameters, p.tokens, static_cast<double>(run.loops),
                        kind == TotalLoss::kObjective ? p.loss : p.expected_nll});
    }
  }
  return points;
}

StepwisePoints stepwise_points(std::span<const RunCurve> runs, int loops, double rise) {
  StepwisePoints result;
  for (const RunCurve& run : runs) {
    if (run.loops != loops || run.points.empty()) continue;
    for (size_t t = 0; t < static_cast<size_t>(loops); ++t) {
      const auto least = std::min_element(
          run.points.begin(), run.points.end(),
          [&](const CurvePoint& a, const CurvePoint& b) { return a.nll[t] < b.nll[t]; });
      const bool rises = run.points.back().nll[t] > least->nll[t] + rise;
      for (auto p = run.points.begin(); p != run.points.end(); ++p) {
        if (rises && p > least) {
          ++result.dropped;
          continue;
        }
        result.points.push_back({run.parameters, p->tokens, static_cast<double>(t + 1), p->nll[t]});
      }
    }
  }
  return result;
}

std::vector<double> mean_end_nll(std::span<const RunCurve> runs, int loops) {
  return mean_at_ends(runs, loops, &CurvePoint::nll);
}

std::vector<double> mean_exit_weights(std::span<const RunCurve> runs, int loops) {
  return mean_at_ends(runs, loops, &CurvePoint::exit);
}

std::vector<double> linked_losses(std::span<const RunCurve> runs, int loops, const ScalingLaw& law,
                                  std::span<const double> exit_weights) {
  LOOPLM_CHECK(static_cast<int>(exit_weights.size()) == loops);
  std::vector<double> losses;
  for (const RunCurve& run : runs) {
    if (run.loops != loops) continue;
    for (const CurvePoint& p : run.points) {
      double sum = 0;
      for (int t = 0; t < loops; ++t) {
        sum += exit_weights[static_cast<size_t>(t)] * law.loss(run.parameters, p.tokens, t + 1);
      }
      losses.push_back(sum);
    }
  }
  return losses;
}

}  // namespace looplm
