#include "experiments/scaling/scaling_analysis.h"

#include <algorithm>

#include <fmt/format.h>

namespace looplm {
namespace {

std::vector<double> numbers(const Json& list) { return list.get<std::vector<double>>(); }

Result<RunCurve> read_curve(const CellResults& results, const ScalingRun& run) {
  const auto found = results.find(run.id());
  if (found == results.end()) return not_found(fmt::format("no result of cell {}", run.id()));
  const Json& cell = found->second;
  RunCurve curve;
  curve.parameters = cell.at("parameters").get<double>();
  curve.loops = run.loops;
  for (const Json& v : cell.at("validations")) {
    CurvePoint point;
    point.tokens = v.at("step").get<double>() * cell.at("tokens_per_step").get<double>();
    point.loss = v.at("loss").get<double>();
    point.nll = numbers(v.at("nll"));
    point.exit = numbers(v.at("exit"));
    point.accuracy = numbers(v.at("accuracy"));
    for (size_t t = 0; t < point.nll.size(); ++t)
      point.expected_nll += point.exit[t] * point.nll[t];
    curve.points.push_back(std::move(point));
  }
  if (curve.points.empty()) {
    return invalid_argument(fmt::format("cell {} has no validations", run.id()));
  }
  return curve;
}

Result<Generalisation> generalise(std::span<const ScalingPoint> points,
                                  const std::vector<LeaveOut>& choices, std::string what,
                                  std::string paper, const ScalingFitOptions& options) {
  Generalisation result{std::move(what), {}, std::move(paper)};
  for (const LeaveOut& choice : choices) {
    LOOPLM_ASSIGN_OR_RETURN(LeaveOutScore score, score_leave_out(points, choice, options));
    result.scores.push_back(std::move(score));
  }
  return result;
}

}  // namespace

Result<ScalingRuns> read_runs(const ScalingSettings& settings, const CellResults& results) {
  ScalingRuns runs;
  for (uint64_t seed : settings.seeds) {
    for (const ScalingSize& size : settings.sizes) {
      for (int loops : settings.loops) {
        LOOPLM_ASSIGN_OR_RETURN(RunCurve curve, read_curve(results, {size, loops, 1, seed}));
        const bool compared =
            std::find(settings.dense.begin(), settings.dense.end(), loops) != settings.dense.end();
        if (compared && loops > 1) {
          LOOPLM_ASSIGN_OR_RETURN(RunCurve dense, read_curve(results, {size, 1, loops, seed}));
          runs.pairs.push_back({curve, std::move(dense), loops});
        }
        runs.looped.push_back(std::move(curve));
      }
    }
  }
  return runs;
}

Result<std::vector<Generalisation>> leave_outs(const ScalingSettings& settings,
                                               std::span<const ScalingPoint> points) {
  std::vector<Generalisation> ways;
  const auto add_way = [&](const std::vector<LeaveOut>& choices, std::string what,
                           std::string paper) -> Status {
    LOOPLM_ASSIGN_OR_RETURN(Generalisation way, generalise(points, choices, std::move(what),
                                                           std::move(paper), settings.fit));
    ways.push_back(std::move(way));
    return {};
  };
  const int sizes = static_cast<int>(settings.sizes.size());
  const int depths = static_cast<int>(settings.loops.size());
  LOOPLM_RETURN_IF_ERROR(add_way(leave_out_sizes(points, settings.kept_sizes),
                                 fmt::format("{} of {} sizes", settings.kept_sizes, sizes),
                                 "0.9542 (3 of 5)"));
  for (double share : settings.kept_tokens) {
    const std::string paper = share == 0.25   ? "0.9385"
                              : share == 0.5  ? "0.9609"
                              : share == 0.75 ? "0.962"
                                              : "";
    const LeaveOut choice = leave_out_late_tokens(points, share);
    LOOPLM_RETURN_IF_ERROR(add_way({choice}, choice.fitted_on, paper));
  }
  LOOPLM_RETURN_IF_ERROR(add_way(leave_out_loops(points, settings.kept_loops),
                                 fmt::format("{} of {} loops", settings.kept_loops, depths),
                                 "0.9581"));
  return ways;
}

Result<std::vector<Stepwise>> fit_stepwise(const ScalingSettings& settings,
                                           const ScalingRuns& runs) {
  std::vector<Stepwise> laws;
  for (int loops : settings.loops) {
    if (loops < 2) continue;
    Stepwise law;
    law.loops = loops;
    law.points = stepwise_points(runs.looped, loops, settings.rise);
    auto fit = fit_scaling_law(law.points.points, settings.fit);
    if (!fit.ok()) {
      return fit.status().with_context(fmt::format("step-wise law of {} loops", loops));
    }
    law.fit = std::move(fit).value();
    law.exit_weights = mean_exit_weights(runs.looped, loops);
    std::vector<RunCurve> same_depth;
    for (const RunCurve& run : runs.looped) {
      if (run.loops == loops) same_depth.push_back(run);
    }
    std::vector<double> observed;
    for (const ScalingPoint& p : total_points(same_depth, TotalLoss::kObjective)) {
      observed.push_back(p.loss);
    }
    law.link = r_squared(linked_losses(same_depth, loops, law.fit.law, law.exit_weights), observed);
    laws.push_back(std::move(law));
  }
  return laws;
}

std::vector<DenseGap> dense_gaps(const ScalingSettings& settings, const ScalingRuns& runs) {
  std::vector<DenseGap> gaps;
  for (int depth : settings.dense) {
    DenseGap gap;
    gap.depth = depth;
    for (const ScalingRuns::Pair& pair : runs.pairs) {
      if (pair.depth != depth) continue;
      const CurvePoint& looped = pair.looped.points.back();
      const CurvePoint& dense = pair.dense.points.back();
      gap.accuracy += 100 * (dense.accuracy.back() - looped.accuracy.back());
      gap.nll += looped.nll.back() - dense.nll.back();
      gap.wins += dense.nll.back() < looped.nll.back();
      ++gap.pairs;
    }
    if (gap.pairs == 0) continue;
    gap.accuracy /= gap.pairs;
    gap.nll /= gap.pairs;
    gaps.push_back(gap);
  }
  return gaps;
}

}  // namespace looplm
