#include "experiments/scaling/scaling_report.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "experiments/scaling/leave_out.h"
#include "experiments/scaling/run_curves.h"
#include "experiments/scaling/scaling_figures.h"
#include "experiments/scaling/scaling_law.h"

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
    curve.points.push_back(std::move(point));
  }
  if (curve.points.empty()) {
    return invalid_argument(fmt::format("cell {} has no validations", run.id()));
  }
  return curve;
}

struct Runs {
  std::vector<RunCurve> looped;
  // Same size, seed and effective depth: the looped run and the plain one.
  struct Pair {
    RunCurve looped;
    RunCurve dense;
    int depth = 0;  // loops of the one, times the layers of the other
  };
  std::vector<Pair> pairs;
};

Result<Runs> read_runs(const ScalingSettings& settings, const CellResults& results) {
  Runs runs;
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

std::vector<std::string> constants_row(const std::string& name, const ScalingFit& fit,
                                       size_t points) {
  const auto term = [](const PowerTerm& t) {
    return fmt::format("{:.3g} / (x + {:.3g})^{:.3f}", t.scale, t.shift, t.exponent);
  };
  return {name,
          std::to_string(points),
          fmt::format("{:.3f}", fit.law.floor),
          term(fit.law.parameters),
          term(fit.law.tokens),
          term(fit.law.loops),
          fmt::format("{:.4f}", fit.r_squared),
          fmt::format("{:.4f}", fit.rms),
          std::to_string(fit.agreeing_starts)};
}

Table constants_table() {
  Table table;
  table.columns = {"law",   "points",    "E",         "parameters",       "tokens",
                   "loops", "R squared", "rms, nats", "starts that agree"};
  table.caption =
      "Fitted constants. x is the number of parameters, tokens or loops. Where data span little, "
      "a shift and an exponent trade against each other, so single constants mean less than what "
      "the law predicts.";
  return table;
}

// Scores of one way to leave out.
struct Generalisation {
  std::string what;
  std::vector<LeaveOutScore> scores;
  std::string paper;

  double mean_all() const {
    double sum = 0;
    for (const LeaveOutScore& s : scores) sum += s.r_squared_all;
    return sum / static_cast<double>(scores.size());
  }
  double mean_left_out() const {
    double sum = 0;
    for (const LeaveOutScore& s : scores) sum += s.r_squared_left_out;
    return sum / static_cast<double>(scores.size());
  }
};

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

std::vector<std::string> generalisation_row(const std::string& law, const Generalisation& g) {
  const auto [least, most] = std::minmax_element(
      g.scores.begin(), g.scores.end(),
      [](const auto& a, const auto& b) { return a.r_squared_all < b.r_squared_all; });
  return {law,
          g.what,
          std::to_string(g.scores.size()),
          fmt::format("{:.4f}", g.mean_all()),
          fmt::format("{:.4f} to {:.4f}", least->r_squared_all, most->r_squared_all),
          fmt::format("{:.4f}", g.mean_left_out()),
          g.paper};
}

Table generalisation_table() {
  Table table;
  table.columns = {
      "law",  "fitted on", "fits", "R squared of all points", "spread", "of the points left out",
      "paper"};
  table.caption =
      "Laws fitted to a part of the measurements. The paper does not say on which points it "
      "computes R squared; both ways are given.";
  return table;
}

// The paper's R squared of the step-wise law by trained depth.
std::string paper_stepwise(int loops) {
  switch (loops) {
    case 2:
      return "0.8898";
    case 4:
      return "0.8146";
    case 8:
      return "0.795";
    default:
      return "";
  }
}

struct Stepwise {
  int loops = 0;
  StepwisePoints points;
  ScalingFit fit;
  std::vector<double> exit_weights;
  double link = 0;  // R squared of linked losses
};

Result<std::vector<Stepwise>> fit_stepwise(const ScalingSettings& settings, const Runs& runs) {
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

Verdict by_r_squared(double value, double well, double partly) {
  return value >= well     ? Verdict::kReproduced
         : value >= partly ? Verdict::kPartly
                           : Verdict::kNotReproduced;
}

Claim total_claim(const ScalingFit& fit, size_t points) {
  return {"The total loss follows a law of parameters, tokens and trained loops: R squared 0.9596.",
          by_r_squared(fit.r_squared, 0.95, 0.85),
          fmt::format("R squared {:.4f} on {} points (rms {:.3f} nats).", fit.r_squared, points,
                      fit.rms)};
}

Claim generalisation_claim(const std::vector<Generalisation>& all) {
  Claim claim;
  claim.claim =
      "The law fitted to some sizes, to the first tokens, or to some loops predicts the rest (mean "
      "R squared 0.9542 for 3 of 5 sizes, 0.9385, 0.9609 and 0.962 for 25, 50 and 75% of tokens, "
      "0.9581 for loops).";
  double least = 1;
  for (const Generalisation& g : all) {
    least = std::min(least, g.mean_all());
    claim.finding +=
        fmt::format("{}{}: {:.3f}", claim.finding.empty() ? "" : "; ", g.what, g.mean_all());
  }
  claim.finding += ".";
  claim.verdict = by_r_squared(least, 0.9, 0.7);
  return claim;
}

Claim stepwise_claim(const std::vector<Stepwise>& laws) {
  Claim claim;
  claim.claim =
      "The loss after each loop follows the same kind of law, fitted for each trained depth: R "
      "squared 0.8898 (2 loops), 0.8146 (4), 0.795 (8), and it falls with the loop (gamma > 0).";
  double least = 1;
  bool falls = true;
  for (const Stepwise& law : laws) {
    least = std::min(least, law.fit.r_squared);
    const double gain = law.fit.law.loops.at(1) - law.fit.law.loops.at(law.loops);
    falls = falls && gain > 0.01;
    claim.finding += fmt::format(
        "{}{} loops: R squared {:.4f}, the law's gain from loop 1 to {} is {:.3f} nats ({} points "
        "left out)",
        claim.finding.empty() ? "" : "; ", law.loops, law.fit.r_squared, law.loops, gain,
        law.points.dropped);
  }
  claim.finding += ".";
  claim.verdict = falls ? by_r_squared(least, 0.79, 0.6) : Verdict::kNotReproduced;
  return claim;
}

Claim link_claim(const std::vector<Stepwise>& laws) {
  Claim claim;
  claim.claim =
      "Weighting the step-wise law by the mean exit probabilities ({0.0004, 0.0855, 0.3793, "
      "0.5348}) predicts the total loss, the entropy left aside: R squared 0.961.";
  const Stepwise& deepest = laws.back();
  std::string weights;
  for (double weight : deepest.exit_weights) {
    weights += fmt::format("{}{:.3f}", weights.empty() ? "" : ", ", weight);
  }
  claim.finding = fmt::format("R squared {:.4f} for {} loops, with mean exit probabilities {{{}}}.",
                              deepest.link, deepest.loops, weights);
  claim.verdict = by_r_squared(deepest.link, 0.9, 0.7);
  return claim;
}

// Means over sizes and seeds of plain minus looped accuracy, in points, by depth.
struct DenseGap {
  int depth = 0;
  int wins = 0;  // pairs in which the plain model has the lower nll
  int pairs = 0;
  double accuracy = 0;
  double nll = 0;
};

std::vector<DenseGap> dense_gaps(const ScalingSettings& settings, const Runs& runs) {
  std::vector<DenseGap> gaps;
  for (int depth : settings.dense) {
    DenseGap gap;
    gap.depth = depth;
    for (const Runs::Pair& pair : runs.pairs) {
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

Claim dense_claim(const std::vector<DenseGap>& gaps) {
  Claim claim;
  claim.claim =
      "At equal effective depth the plain model with its own weights in every layer always wins, "
      "by "
      "more with more loops (table 18: 1.5 to 2.3 points with 2, 2.5 to 3.9 with 4).";
  if (gaps.empty()) {
    claim.finding = "No plain models were trained.";
    return claim;
  }
  int wins = 0;
  int pairs = 0;
  bool grows = true;
  for (size_t i = 0; i < gaps.size(); ++i) {
    wins += gaps[i].wins;
    pairs += gaps[i].pairs;
    if (i > 0 && gaps[i].nll <= gaps[i - 1].nll) grows = false;
    claim.finding += fmt::format(
        "{} loops against {} times the layers: {:+.2f} points of next-token accuracy and {:.3f} "
        "nats for the plain model. ",
        gaps[i].depth, gaps[i].depth, gaps[i].accuracy, gaps[i].nll);
  }
  claim.finding += fmt::format("The plain model wins {} of {} pairs.", wins, pairs);
  claim.verdict = wins == pairs && grows ? Verdict::kReproduced
                  : 2 * wins > pairs     ? Verdict::kPartly
                                         : Verdict::kNotReproduced;
  return claim;
}

// Whether the last loop's loss falls with the number of trained loops, size by size.
Claim loops_claim(const ScalingSettings& settings, const Runs& runs) {
  Claim claim;
  claim.claim =
      "Looped models improve with trained loops, but in the larger sizes (778M, 1.36B) it flattens "
      "or turns.";
  const auto [fewest, most] = std::minmax_element(settings.loops.begin(), settings.loops.end());
  std::set<double> sizes;
  for (const RunCurve& run : runs.looped) sizes.insert(run.parameters);
  int better = 0;
  double gain = 0;
  int count = 0;
  for (size_t i = 0; i < settings.sizes.size(); ++i) {
    // Runs stand by seed, size and loops; sizes differ a little in the gate alone.
    for (size_t s = 0; s < settings.seeds.size(); ++s) {
      const size_t first = (s * settings.sizes.size() + i) * settings.loops.size();
      const RunCurve* shallow = nullptr;
      const RunCurve* deep = nullptr;
      for (size_t k = first; k < first + settings.loops.size(); ++k) {
        if (runs.looped[k].loops == *fewest) shallow = &runs.looped[k];
        if (runs.looped[k].loops == *most) deep = &runs.looped[k];
      }
      const double difference = shallow->points.back().nll.back() - deep->points.back().nll.back();
      better += difference > 0;
      gain += difference;
      ++count;
    }
  }
  claim.finding = fmt::format(
      "With {} loops the last loop's loss is {:.3f} nats below that of {} on average; lower in {} "
      "of {} sizes and seeds. The paper's larger sizes are out of reach here.",
      *most, gain / count, *fewest, better, count);
  claim.verdict = better == count      ? Verdict::kReproduced
                  : 2 * better > count ? Verdict::kPartly
                                       : Verdict::kNotReproduced;
  return claim;
}

Table runs_table(const Runs& runs) {
  Table table;
  table.columns = {"parameters",  "loops",        "total loss",
                   "nll by loop", "exit by loop", "accuracy, last loop"};
  for (const RunCurve& run : runs.looped) {
    const CurvePoint& end = run.points.back();
    const auto list = [](const std::vector<double>& values) {
      std::string text;
      for (double value : values) text += fmt::format("{}{:.3f}", text.empty() ? "" : ", ", value);
      return text;
    };
    table.rows.push_back({fmt::format("{:.0f}", run.parameters), std::to_string(run.loops),
                          fmt::format("{:.3f}", end.loss), list(end.nll), list(end.exit),
                          fmt::format("{:.1f}%", 100 * end.accuracy.back())});
  }
  table.caption = "The looped runs at their ends, on held-out text.";
  return table;
}

Table dense_table(const Runs& runs) {
  Table table;
  table.columns = {"parameters, looped", "loops",      "nll, looped",
                   "parameters, plain",  "nll, plain", "accuracy, plain minus looped"};
  for (const Runs::Pair& pair : runs.pairs) {
    const CurvePoint& looped = pair.looped.points.back();
    const CurvePoint& dense = pair.dense.points.back();
    table.rows.push_back(
        {fmt::format("{:.0f}", pair.looped.parameters), std::to_string(pair.depth),
         fmt::format("{:.3f}", looped.nll.back()), fmt::format("{:.0f}", pair.dense.parameters),
         fmt::format("{:.3f}", dense.nll.back()),
         fmt::format("{:+.2f}", 100 * (dense.accuracy.back() - looped.accuracy.back()))});
  }
  table.caption =
      "Equal effective depth: T loops of L layers against T times L layers read once. Accuracy in "
      "points. The paper's differences (table 18, mean of six tasks, 2 and 4 loops): 170M 2.1 and "
      "3.9, 340M 2.3 and 3.7, 680M 1.5 and 2.6, 1.3B 1.7 and 2.5.";
  return table;
}

}  // namespace

Result<StudyReport> scaling_report(const ScalingSettings& settings, const CellResults& results) {
  LOOPLM_ASSIGN_OR_RETURN(Runs runs, read_runs(settings, results));
  for (RunCurve& run : runs.looped) {
    for (CurvePoint& point : run.points) {
      for (size_t t = 0; t < point.nll.size(); ++t) {
        point.expected_nll += point.exit[t] * point.nll[t];
      }
    }
  }
  const std::vector<ScalingPoint> points = total_points(runs.looped, TotalLoss::kObjective);
  LOOPLM_ASSIGN_OR_RETURN(const ScalingFit total, fit_scaling_law(points, settings.fit));
  const std::vector<ScalingPoint> expected = total_points(runs.looped, TotalLoss::kExpectedNll);
  LOOPLM_ASSIGN_OR_RETURN(const ScalingFit without_entropy,
                          fit_scaling_law(expected, settings.fit));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Stepwise> stepwise, fit_stepwise(settings, runs));

  Table constants = constants_table();
  constants.rows.push_back(constants_row("total loss", total, points.size()));
  constants.rows.push_back(
      constants_row("total loss without its entropy", without_entropy, expected.size()));
  for (const Stepwise& law : stepwise) {
    constants.rows.push_back(constants_row(fmt::format("step-wise, {} loops", law.loops), law.fit,
                                           law.points.points.size()));
  }

  std::vector<Generalisation> total_ways;
  const auto add_way = [&](const std::vector<LeaveOut>& choices, std::string what,
                           std::string paper) -> Status {
    LOOPLM_ASSIGN_OR_RETURN(Generalisation way, generalise(points, choices, std::move(what),
                                                           std::move(paper), settings.fit));
    total_ways.push_back(std::move(way));
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
  Table generalisation = generalisation_table();
  for (const Generalisation& way : total_ways) {
    generalisation.rows.push_back(generalisation_row("total loss", way));
  }

  Table links;
  links.columns = {"trained loops", "mean exit probabilities", "R squared of the link",
                   "step-wise R squared", "paper's"};
  for (const Stepwise& law : stepwise) {
    std::string weights;
    for (double weight : law.exit_weights) {
      weights += fmt::format("{}{:.4f}", weights.empty() ? "" : ", ", weight);
    }
    links.rows.push_back({std::to_string(law.loops), weights, fmt::format("{:.4f}", law.link),
                          fmt::format("{:.4f}", law.fit.r_squared), paper_stepwise(law.loops)});
  }
  links.caption =
      "The step-wise law weighted by mean exit probabilities against the total loss that was "
      "measured, whose entropy term is left aside as in the paper.";

  StudyReport report;
  const std::vector<DenseGap> gaps = dense_gaps(settings, runs);
  report.claims = {total_claim(total, points.size()), generalisation_claim(total_ways)};
  if (!stepwise.empty()) {
    report.claims.push_back(stepwise_claim(stepwise));
    report.claims.push_back(link_claim(stepwise));
  }
  report.claims.push_back(dense_claim(gaps));
  report.claims.push_back(loops_claim(settings, runs));

  Document& document = report.document;
  document.title = "Scaling laws of looped models";
  document.paragraph(fmt::format(
      "{} looped models of {} sizes, trained with Stage I (beta {}) for {:.2f} million tokens at a "
      "constant learning rate and measured {} times along the way on held-out text{}.",
      runs.looped.size(), sizes, settings.beta,
      static_cast<double>(settings.steps) * settings.tokens_per_step() / 1e6, settings.points,
      settings.seeds.size() == 1 ? "; one seed"
                                 : fmt::format("; {} seeds", settings.seeds.size())));
  document.figure(prediction_figure(runs.looped, total.law));
  document.figure(token_figure(runs.looped, total.law));
  for (const Stepwise& law : stepwise) {
    if (law.loops > 2) document.figure(loop_figure(runs.looped, law.loops, law.fit.law));
  }
  document.table(std::move(constants));
  document.heading("Predicting what was left out");
  document.table(std::move(generalisation));
  document.heading("From the step-wise law to the total loss");
  document.table(std::move(links));
  document.heading("Plain models of the same effective depth");
  document.table(dense_table(runs));
  document.heading("Runs");
  document.table(runs_table(runs));
  return report;
}

}  // namespace looplm
