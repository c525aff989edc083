#include "experiments/scaling/scaling_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "experiments/scaling/scaling_analysis.h"
#include "experiments/scaling/scaling_claims.h"
#include "experiments/scaling/scaling_figures.h"

namespace looplm {
namespace {

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

Table runs_table(const ScalingRuns& runs) {
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

Table dense_table(const ScalingRuns& runs) {
  Table table;
  table.columns = {"parameters, looped", "loops",      "nll, looped",
                   "parameters, plain",  "nll, plain", "accuracy, plain minus looped"};
  for (const ScalingRuns::Pair& pair : runs.pairs) {
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
  LOOPLM_ASSIGN_OR_RETURN(const ScalingRuns runs, read_runs(settings, results));
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

  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Generalisation> total_ways,
                          leave_outs(settings, points));
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
  report.claims = scaling_claims(settings, {runs, total, points.size(), total_ways, stepwise});

  Document& document = report.document;
  document.title = "Scaling laws of looped models";
  document.paragraph(fmt::format(
      "{} looped models of {} sizes, trained with Stage I (beta {}) for {:.2f} million tokens at a "
      "constant learning rate and measured {} times along the way on held-out text{}.",
      runs.looped.size(), settings.sizes.size(), settings.beta,
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
