#include "experiments/scaling/scaling_analysis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "eval/joined.h"

namespace looplm {
namespace {

Result<RunCurve> read_curve(const CellResults& results, const ScalingRun& run) {
  const auto found = results.find(run.id());
  if (found == results.end()) return not_found(fmt::format("no result of cell {}", run.id()));
  const Json& cell = found->second;
  RunCurve curve;
  curve.parameters = cell.at("parameters");
  curve.loops = run.loops;
  curve.seed = run.seed;
  for (const Json& v : cell.at("validations")) {
    CurvePoint point;
    point.tokens = v.at("step").get<double>() * cell.at("tokens_per_step").get<double>();
    point.loss = v.at("loss");
    point.nll = v.at("nll").get<std::vector<double>>();
    point.exit = v.at("exit").get<std::vector<double>>();
    point.accuracy = v.at("accuracy").get<std::vector<double>>();
    for (size_t t = 0; t < point.nll.size(); ++t)
      point.expected_nll += point.exit[t] * point.nll[t];
    curve.points.push_back(std::move(point));
  }
  if (curve.points.empty()) {
    return invalid_argument(fmt::format("cell {} has no validations", run.id()));
  }
  return curve;
}

// What the paper has for a share of the tokens, of the three that it tried.
std::string of_share(double share, const std::array<const char*, 3>& paper) {
  return share == 0.25 ? paper[0] : share == 0.5 ? paper[1] : share == 0.75 ? paper[2] : "";
}

// R squared of the paper, as it prints them.
struct PaperGeneralisation {
  const char* sizes = "";
  std::array<const char*, 3> tokens = {"", "", ""};  // the first 25, 50 and 75%
  const char* loops = "";
};

PaperGeneralisation paper_stepwise(int loops) {
  if (loops == 2) return {"0.8815", {"0.8686", "0.8882", "0.8896"}, ""};
  if (loops == 4) return {"0.797", {"0.793", "0.813", "0.8142"}, "0.8118 (3 of 4)"};
  return {};
}

// Which choices a law's points allow, and what becomes of one that leaves too few.
struct Ways {
  int kept_sizes, sizes;
  int kept_loops, loops;
  std::string loops_named;
  bool pass_over = false;  // else an error
};

Result<std::vector<Generalisation>> generalise(const ScalingSettings& settings, const Ways& ways,
                                               std::span<const ScalingPoint> points,
                                               const PaperGeneralisation& paper) {
  std::vector<Generalisation> all;
  const auto add = [&](const std::vector<LeaveOut>& choices, std::string what,
                       std::string in_paper) -> Status {
    Generalisation way{std::move(what), {}, std::move(in_paper)};
    for (const LeaveOut& choice : choices) {
      Result<LeaveOutScore> score = score_leave_out(points, choice, settings.fit);
      if (!score.ok() && ways.pass_over) continue;
      LOOPLM_RETURN_IF_ERROR(score.status());
      if (std::isnan(score->r_squared_left_out)) continue;  // nothing was left out
      way.scores.push_back(std::move(*score));
    }
    if (!way.scores.empty()) all.push_back(std::move(way));
    return {};
  };
  if (ways.kept_sizes < ways.sizes) {
    LOOPLM_RETURN_IF_ERROR(add(leave_out_sizes(points, ways.kept_sizes),
                               fmt::format("{} of {} sizes", ways.kept_sizes, ways.sizes),
                               paper.sizes));
  }
  for (double share : settings.kept_tokens) {
    const LeaveOut choice = leave_out_late_tokens(points, share);
    LOOPLM_RETURN_IF_ERROR(add({choice}, choice.fitted_on, of_share(share, paper.tokens)));
  }
  if (ways.kept_loops >= 2 && ways.kept_loops < ways.loops) {
    LOOPLM_RETURN_IF_ERROR(add(
        leave_out_loops(points, ways.kept_loops),
        fmt::format("{} of {} {}", ways.kept_loops, ways.loops, ways.loops_named), paper.loops));
  }
  return all;
}

}  // namespace

Result<ScalingRuns> read_runs(const ScalingSettings& settings, const CellResults& results) {
  ScalingRuns runs;
  for (uint64_t seed : settings.seeds) {
    for (const ModelSize& size : settings.sizes) {
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
  const Ways ways = {settings.kept_sizes, static_cast<int>(settings.sizes.size()),
                     settings.kept_loops, static_cast<int>(settings.loops.size()), "trained loops"};
  return generalise(settings, ways, points,
                    {"0.9542 (3 of 5)", {"0.9385", "0.9609", "0.962"}, "0.9581 (2 of 3)"});
}

Result<std::vector<Generalisation>> leave_outs_stepwise(const ScalingSettings& settings, int loops,
                                                        std::span<const ScalingPoint> points) {
  const Ways ways = {.kept_sizes = settings.kept_sizes,
                     .sizes = static_cast<int>(settings.sizes.size()),
                     .kept_loops = loops - 1,
                     .loops = loops,
                     .loops_named = "loops",
                     .pass_over = true};
  return generalise(settings, ways, points, paper_stepwise(loops));
}

bool loops_matter(const ScalingFit& with, const ScalingFit& without) {
  constexpr double kWorth = 1.1;
  return without.rms >= kWorth * with.rms;
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
    ScalingFitOptions without = settings.fit;
    without.loops_term = false;
    LOOPLM_ASSIGN_OR_RETURN(law.without_loops, fit_scaling_law(law.points.points, without));
    LOOPLM_ASSIGN_OR_RETURN(law.leave_outs,
                            leave_outs_stepwise(settings, loops, law.points.points));
    law.end_nll = mean_end_nll(runs.looped, loops);
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
    std::vector<double> sizes, points;
    for (const ScalingRuns::Pair& pair : runs.pairs) {
      if (pair.depth != depth) continue;
      sizes.push_back(std::log2(pair.looped.parameters));
      points.push_back(pair.accuracy_gap());
      gap.accuracy += points.back();
      gap.nll += pair.nll_gap();
      gap.wins += pair.nll_gap() > 0;
      ++gap.pairs;
    }
    if (gap.pairs == 0) continue;
    gap.accuracy /= gap.pairs;
    gap.nll /= gap.pairs;
    const auto [smallest, largest] = std::minmax_element(sizes.begin(), sizes.end());
    if (gap.pairs >= 3 && *smallest < *largest) gap.by_size = slope_of(sizes, points);
    gaps.push_back(gap);
  }
  return gaps;
}

std::string numbers_text(const std::vector<double>& values, const char* format) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(fmt::format(fmt::runtime(format), value));
  return joined(texts);
}

}  // namespace looplm
