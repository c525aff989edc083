#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/count_text.h"
#include "eval/joined.h"
#include "experiments/scaling/scaling_analysis.h"

namespace looplm {
namespace {

// Of three constants from the `first` on, those at a bound of the search.
std::string bound_note(const ScalingFit& fit, size_t first) {
  constexpr std::array kNames = {"scale", "shift", "exponent"};
  std::vector<std::string> held;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (fit.at_bound[first + i]) held.emplace_back(kNames[i]);
  }
  if (held.empty()) return "";
  return fmt::format(" ({} at {})", joined(held), held.size() == 1 ? "its bound" : "their bounds");
}

std::vector<std::string> constants_row(const std::string& name, const ScalingFit& fit,
                                       size_t points) {
  const auto term = [&](const PowerTerm& t, size_t first) {
    if (t.scale == 0) return std::string("none");
    return fmt::format("{:.3g} / (x + {:.3g})^{:.3f}{}", t.scale, t.shift, t.exponent,
                       bound_note(fit, first));
  };
  return {name,
          std::to_string(points),
          fmt::format("{:.3f}{}", fit.law.floor, fit.at_bound[0] ? " (at its bound)" : ""),
          term(fit.law.parameters, 1),
          term(fit.law.tokens, 4),
          term(fit.law.loops, 7),
          fmt::format("{:.4f}", fit.r_squared),
          fmt::format("{:.4f}", fit.rms),
          std::to_string(fit.agreeing_starts)};
}

Table constants_table() {
  Table table = {.columns = {"law", "points", "E", "parameters", "tokens", "loops", "R squared",
                             "rms, nats", "starts that agree"}};
  table.caption =
      "Fitted constants. x is the number of parameters, tokens or loops. Where data span little, "
      "a shift and an exponent trade against each other, so single constants mean less than what "
      "the law predicts. A constant at its bound was held by the bounds of the search: the data "
      "ask for another form of that term, or for none.";
  return table;
}

std::vector<std::string> generalisation_row(const std::string& law, const Generalisation& g) {
  const auto [least, most] = std::minmax_element(
      g.scores.begin(), g.scores.end(),
      [](const auto& a, const auto& b) { return a.r_squared_left_out < b.r_squared_left_out; });
  return {law,
          g.what,
          std::to_string(g.scores.size()),
          fmt::format("{:.4f}", g.mean_left_out()),
          fmt::format("{:.4f} to {:.4f}", least->r_squared_left_out, most->r_squared_left_out),
          fmt::format("{:.4f}", g.mean_all()),
          g.paper};
}

Table generalisation_table() {
  Table table = {.columns = {"law", "fitted on", "fits", "R squared of the points left out",
                             "spread", "of all points", "paper"}};
  table.caption =
      "Laws fitted to a part of the measurements. The paper does not say on which points it "
      "computes R squared; both ways are given, and the verdicts are those of the points left out.";
  return table;
}

// What a loop is worth, as measured and as the law has it.
Table loops_table(const std::vector<Stepwise>& laws) {
  Table table = {.columns = {"trained loops", "loop", "nll measured", "fall from the loop before",
                             "the law's fall"},
                 .caption =
                     "Loss after each loop at the ends of the runs, mean over sizes and seeds. The "
                     "law has the same fall for every size, and cannot rise."};
  for (const Stepwise& law : laws) {
    for (int t = 1; t <= law.loops; ++t) {
      const auto i = static_cast<size_t>(t - 1);
      table.rows.push_back(
          {std::to_string(law.loops), std::to_string(t), fmt::format("{:.3f}", law.end_nll[i]),
           t == 1 ? "" : fmt::format("{:+.3f}", law.end_nll[i - 1] - law.end_nll[i]),
           t == 1 ? ""
                  : fmt::format("{:+.3f}", law.fit.law.loops.at(t - 1) - law.fit.law.loops.at(t))});
    }
  }
  return table;
}

// The paper's R squared of the step-wise law by trained depth.
std::string printed_stepwise(int loops) {
  return loops == 2 ? "0.8898" : loops == 4 ? "0.8146" : loops == 8 ? "0.795" : "";
}

Table runs_table(const ScalingRuns& runs) {
  Table table = {.columns = {"parameters", "seed", "loops", "total loss", "nll by loop",
                             "exit by loop", "accuracy, last loop"},
                 .caption = "The looped runs at their ends, on held-out text."};
  for (const RunCurve& run : runs.looped) {
    const CurvePoint& end = run.points.back();
    table.rows.push_back({fmt::format("{:.0f}", run.parameters), std::to_string(run.seed),
                          std::to_string(run.loops), fmt::format("{:.3f}", end.loss),
                          numbers_text(end.nll), numbers_text(end.exit),
                          fmt::format("{:.1f}%", 100 * end.accuracy.back())});
  }
  return table;
}

// The gap by size and depth, with each seed's.
Table gap_table(const ScalingRuns& runs) {
  Table table = {
      .columns = {"loops", "parameters, looped", "accuracy, plain minus looped", "of each seed",
                  "nll, looped minus plain", "of each seed"},
      .caption =
          "Equal effective depth: T loops of L layers against T times L layers read once. Accuracy "
          "in points. The paper's differences (table 18, mean of six tasks, 2 and 4 loops): 170M "
          "2.1 and 3.9, 340M 2.3 and 3.7, 680M 1.5 and 2.6, 1.3B 1.7 and 2.5: smaller in larger "
          "sizes."};
  std::map<std::pair<int, double>, std::vector<const ScalingRuns::Pair*>> sorted;
  for (const ScalingRuns::Pair& pair : runs.pairs) {
    sorted[{pair.depth, pair.looped.parameters}].push_back(&pair);
  }
  for (const auto& [key, pairs] : sorted) {
    std::vector<double> accuracy, nll;
    for (const ScalingRuns::Pair* pair : pairs) {
      accuracy.push_back(pair->accuracy_gap());
      nll.push_back(pair->nll_gap());
    }
    table.rows.push_back(
        {std::to_string(key.first), fmt::format("{:.0f}", key.second),
         fmt::format("{:+.2f}", mean_of(accuracy).value), numbers_text(accuracy, "{:+.2f}"),
         fmt::format("{:+.3f}", mean_of(nll).value), numbers_text(nll, "{:+.3f}")});
  }
  return table;
}

Table dense_table(const ScalingRuns& runs) {
  Table table = {.columns = {"parameters, looped", "seed", "loops", "nll, looped",
                             "parameters, plain", "nll, plain", "accuracy, plain minus looped"},
                 .caption = "Every pair."};
  for (const ScalingRuns::Pair& pair : runs.pairs) {
    table.rows.push_back({fmt::format("{:.0f}", pair.looped.parameters),
                          std::to_string(pair.looped.seed), std::to_string(pair.depth),
                          fmt::format("{:.3f}", pair.looped.points.back().nll.back()),
                          fmt::format("{:.0f}", pair.dense.parameters),
                          fmt::format("{:.3f}", pair.dense.points.back().nll.back()),
                          fmt::format("{:+.2f}", pair.accuracy_gap())});
  }
  return table;
}

std::string size_text(double parameters) { return fmt::format("{:.0f}K", parameters / 1000); }

// What was measured as points, and the law as the line through them.
void add_pair(Figure& figure, const std::string& name, const std::vector<double>& x,
              const std::vector<double>& measured, const std::vector<double>& fitted) {
  figure.add(series_of(name, x, measured, Series::Style::kPoints));
  figure.add(series_of("", x, fitted, Series::Style::kLine));
}

std::set<int> trained_depths(std::span<const RunCurve> runs) {
  std::set<int> depths;
  for (const RunCurve& run : runs) depths.insert(run.loops);
  return depths;
}

// Measured total losses over those of the law, by trained loops.
Figure prediction_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure = figure_of("total-loss-law", "The total-loss law against what was measured",
                            "total loss of the law, nats", "total loss measured, nats");
  double least = 1e300;
  double most = 0;
  for (int loops : trained_depths(runs)) {
    Series& series = figure.add(count_text(loops, "loop"), Series::Style::kPoints);
    for (const RunCurve& run : runs) {
      if (run.loops != loops) continue;
      for (const CurvePoint& p : run.points) {
        series.add(law.loss(run.parameters, p.tokens, loops), p.loss);
        least = std::min({least, series.x.back(), p.loss});
        most = std::max({most, series.x.back(), p.loss});
      }
    }
  }
  figure.add(series_of("equal", {least, most}, {least, most}, Series::Style::kDashed));
  return figure;
}

// Total loss over tokens of the smallest and the largest models: measured, and as the law has it.
Figure token_figure(std::span<const RunCurve> runs, const ScalingLaw& law) {
  Figure figure = figure_of("loss-over-tokens",
                            "Total loss of the smallest and the largest models; lines are the law",
                            "tokens, millions", "total loss, nats");
  std::set<double> sizes;
  for (const RunCurve& run : runs) sizes.insert(run.parameters);
  std::set<std::pair<double, int>> drawn;  // one seed of each
  for (const RunCurve& run : runs) {
    if (run.parameters != *sizes.begin() && run.parameters != *sizes.rbegin()) continue;
    if (!drawn.insert({run.parameters, run.loops}).second) continue;
    std::vector<double> x, measured, fitted;
    for (const CurvePoint& p : run.points) {
      x.push_back(p.tokens / 1e6);
      measured.push_back(p.loss);
      fitted.push_back(law.loss(run.parameters, p.tokens, run.loops));
    }
    add_pair(figure,
             fmt::format("{}, {}", size_text(run.parameters), count_text(run.loops, "loop")), x,
             measured, fitted);
  }
  return figure;
}

// Loss after each loop at the end of the runs trained with `loops`, by size: measured, and as the
// step-wise law has it.
Figure loop_figure(std::span<const RunCurve> runs, int loops, const ScalingLaw& law) {
  Figure figure = figure_of(fmt::format("loss-by-loop-{}", loops),
                            fmt::format("Loss after each loop, trained with {}; lines are the law",
                                        count_text(loops, "loop")),
                            "loop", "nll, nats per token");
  std::set<double> drawn;  // one seed of each size
  for (const RunCurve& run : runs) {
    if (run.loops != loops || !drawn.insert(run.parameters).second) continue;
    const CurvePoint& end = run.points.back();
    std::vector<double> x, fitted;
    for (int t = 1; t <= loops; ++t) {
      x.push_back(t);
      fitted.push_back(law.loss(run.parameters, end.tokens, t));
    }
    add_pair(figure, size_text(run.parameters), x, end.nll, fitted);
  }
  return figure;
}

}  // namespace

Result<StudyReport> scaling_report(const ScalingSettings& settings, const CellResults& results) {
  LOOPLM_ASSIGN_OR_RETURN(const ScalingRuns runs, read_runs(settings, results));
  const std::vector<ScalingPoint> points = total_points(runs.looped, TotalLoss::kObjective);
  LOOPLM_ASSIGN_OR_RETURN(const ScalingFit total, fit_scaling_law(points, settings.fit));
  ScalingFitOptions no_loops = settings.fit;
  no_loops.loops_term = false;
  LOOPLM_ASSIGN_OR_RETURN(const ScalingFit without_loops, fit_scaling_law(points, no_loops));
  const std::vector<ScalingPoint> expected = total_points(runs.looped, TotalLoss::kExpectedNll);
  LOOPLM_ASSIGN_OR_RETURN(const ScalingFit without_entropy,
                          fit_scaling_law(expected, settings.fit));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Stepwise> stepwise, fit_stepwise(settings, runs));

  Table constants = constants_table();
  constants.rows.push_back(constants_row("total loss", total, points.size()));
  constants.rows.push_back(
      constants_row("total loss, no term of loops", without_loops, points.size()));
  constants.rows.push_back(
      constants_row("total loss without its entropy", without_entropy, expected.size()));
  for (const Stepwise& law : stepwise) {
    constants.rows.push_back(constants_row(fmt::format("step-wise, {} loops", law.loops), law.fit,
                                           law.points.points.size()));
    constants.rows.push_back(
        constants_row(fmt::format("step-wise, {} loops, no term of loops", law.loops),
                      law.without_loops, law.points.points.size()));
  }

  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Generalisation> total_ways,
                          leave_outs(settings, points));
  Table generalisation = generalisation_table();
  for (const Generalisation& way : total_ways) {
    generalisation.rows.push_back(generalisation_row("total loss", way));
  }
  for (const Stepwise& law : stepwise) {
    for (const Generalisation& way : law.leave_outs) {
      generalisation.rows.push_back(
          generalisation_row(fmt::format("step-wise, {} loops", law.loops), way));
    }
  }

  Table links = {
      .columns = {"trained loops", "mean exit probabilities", "R squared of the link",
                  "step-wise R squared", "paper's"},
      .caption =
          "The step-wise law weighted by mean exit probabilities against the total loss that was "
          "measured, whose entropy term is left aside as in the paper."};
  for (const Stepwise& law : stepwise) {
    links.rows.push_back({std::to_string(law.loops), numbers_text(law.exit_weights, "{:.4f}"),
                          fmt::format("{:.4f}", law.link), fmt::format("{:.4f}", law.fit.r_squared),
                          printed_stepwise(law.loops)});
  }

  StudyReport report;
  report.claims =
      scaling_claims(settings, {runs, total, without_loops, points.size(), total_ways, stepwise});

  Document& document = report.document;
  document.title = "Scaling laws of looped models";
  document.paragraph(fmt::format(
      "{} looped models of {} sizes, trained with Stage I (beta {}) for {:.2f} million tokens at a "
      "constant learning rate and measured {} times along the way on held-out text{}.",
      runs.looped.size(), settings.sizes.size(), settings.run.objective.beta,
      static_cast<double>(settings.run.run.steps) * settings.tokens_per_step() / 1e6,
      settings.points,
      settings.seeds.size() == 1 ? "; one seed"
                                 : fmt::format("; {} seeds", settings.seeds.size())));
  document.figure(prediction_figure(runs.looped, total.law));
  document.figure(token_figure(runs.looped, total.law));
  for (const Stepwise& law : stepwise) {
    if (law.loops > 2) document.figure(loop_figure(runs.looped, law.loops, law.fit.law));
  }
  document.table(std::move(constants));
  if (!stepwise.empty()) {
    document.heading("What a loop is worth");
    document.table(loops_table(stepwise));
  }
  document.heading("Predicting what was left out");
  document.table(std::move(generalisation));
  document.heading("From the step-wise law to the total loss");
  document.table(std::move(links));
  document.heading("Plain models of the same effective depth");
  if (!runs.pairs.empty()) {
    document.table(gap_table(runs));
    document.table(dense_table(runs));
  }
  document.heading("Runs");
  document.table(runs_table(runs));
  return report;
}

}  // namespace looplm
