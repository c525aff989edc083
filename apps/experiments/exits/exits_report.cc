#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "experiments/core/estimates.h"
#include "experiments/exits/exit_curve.h"
#include "experiments/exits/exits_study.h"
#include "infer/exit_rule.h"

namespace looplm {
namespace {

// A rule's curve over the seeds.
struct Curve {
  std::string id;
  std::string name;
  std::vector<ExitPoint> points;
};

// A rule's curve, under its name of today or of before.
const Json& curve_of(const Json& curves, ExitKind kind) {
  for (const auto& [name, curve] : curves.items()) {
    Result<ExitKind> named = exit_kind_from_name(name);
    if (named.ok() && *named == kind) return curve;
  }
  return curves.at(exit_kind_name(kind));
}

std::vector<ExitPoint> average_curves(const std::vector<std::vector<ExitPoint>>& curves) {
  std::vector<ExitPoint> mean = curves[0];
  for (size_t p = 0; p < mean.size(); ++p) {
    const auto over = [&](Estimate ExitPoint::*figure) {
      std::vector<Estimate> all;
      for (const std::vector<ExitPoint>& c : curves) all.push_back(c[p].*figure);
      return over_seeds(all);
    };
    mean[p].nll = over(&ExitPoint::nll);
    mean[p].accuracy = over(&ExitPoint::accuracy);
    mean[p].nll_gain = over(&ExitPoint::nll_gain);
    mean[p].accuracy_gain = over(&ExitPoint::accuracy_gain);
    mean[p].mean_loops = 0;
    for (const std::vector<ExitPoint>& c : curves) {
      mean[p].mean_loops += c[p].mean_loops / static_cast<double>(curves.size());
    }
  }
  return mean;
}

class Report {
 public:
  Report(const CellResults& results, const std::vector<int64_t>& seeds)
      : results_(results), seeds_(seeds), trunk_(cell("trunk", seeds.front())) {
    for (const ExitRuleInfo& rule : exit_rules()) {
      if (rule.kind == ExitKind::kFixed || rule.kind == ExitKind::kGate) continue;
      curves_.push_back({rule.name, rule.title, over_seeds_of("trunk", [&](const Json& cell) {
                           return curve_of(cell.at("curves"), rule.kind);
                         })});
    }
    curves_.push_back({"stage1", "Stage I gate", over_seeds_of("trunk", [](const Json& cell) {
                         return cell.at("curves").at("stage1");
                       })});
    const auto own_curve = [](const Json& cell) { return cell.at("curve"); };
    curves_.push_back({"stage2", "Stage II gate", over_seeds_of("stage2", own_curve)});
    curves_.push_back(
        {"forward", "Stage II, next loop's gain", over_seeds_of("forward", own_curve)});
  }

  StudyReport write() {
    StudyReport report;
    Document& d = report.document;
    d.title = "Exits: which rule knows when a token has had loops enough";
    d.paragraph(fmt::format(
        "{}, trained in Stage I, answer{} {} held-out sums, no two of them the same; the most "
        "common answer alone would get {:.1f}%. Each rule's threshold is swept so that its mean "
        "depth reaches the same values; **gain** is the accuracy over what a mixture of the two "
        "neighbouring fixed depths gives at that mean depth, in points. Intervals are 95%, {}.",
        seeds_.size() == 1 ? "One trunk" : fmt::format("{} trunks", seeds_.size()),
        seeds_.size() == 1 ? "s" : "", trunk_.at("examples").get<int64_t>(),
        100 * trunk_.at("guess").get<double>(),
        seeds_.size() == 1
            ? "over examples (bootstrap)"
            : "over seeds (of the trunk and the gates taught from it; Student's t)"));
    accuracy_figure(d);
    gain_table(d);
    gain_figure(d);
    over_table(d);
    gates(d);
    report.claims = claims();
    return report;
  }

 private:
  const Json& cell(const std::string& label, int64_t seed) const {
    return results_.at(fmt::format("{}-{}", label, seed));
  }

  // Of the curves that the cells of this label hold.
  template <typename CurveOf>
  std::vector<ExitPoint> over_seeds_of(const std::string& label, const CurveOf& curve_of) const {
    std::vector<std::vector<ExitPoint>> curves;
    for (const int64_t seed : seeds_) curves.push_back(curve_of(cell(label, seed)));
    return average_curves(curves);
  }

  // Of the estimates that they hold.
  template <typename EstimateOf>
  Estimate estimate_over_seeds(const std::string& label, const EstimateOf& estimate_of) const {
    std::vector<Estimate> all;
    for (const int64_t seed : seeds_) all.push_back(estimate_of(cell(label, seed)));
    return over_seeds(all);
  }

  const Curve& curve(const std::string& id) const {
    for (const Curve& c : curves_) {
      if (c.id == id) return c;
    }
    LOOPLM_CHECK(false, "no curve {}", id);
    return curves_[0];
  }

  // The point whose target is nearest to this mean depth.
  size_t near(double depth) const {
    const std::vector<ExitPoint>& points = curves_[0].points;
    size_t best = 0;
    for (size_t p = 0; p < points.size(); ++p) {
      if (std::abs(points[p].target - depth) < std::abs(points[best].target - depth)) best = p;
    }
    return best;
  }

  // A point that the rule did reach: near the mean depth that was asked for.
  static bool reached(const ExitPoint& p) { return std::abs(p.mean_loops - p.target) < 0.1; }

  std::vector<Estimate> over(const std::string& label, const std::string& reference) const {
    std::vector<Estimate> mean;
    for (size_t p = 0; p < curves_[0].points.size(); ++p) {
      mean.push_back(estimate_over_seeds(
          label, [&](const Json& gate) { return gate.at("over_" + reference).at(p); }));
    }
    return mean;
  }

  void accuracy_figure(Document& d) const {
    Figure figure =
        figure_of("accuracy", "Accuracy over mean depth", "mean loops per token", "accuracy (%)");
    for (const Curve& c : curves_) {
      Series series;
      series.name = c.name;
      for (const ExitPoint& p : c.points) {
        if (reached(p)) series.add(p.mean_loops, 100 * p.accuracy.value);
      }
      if (!series.x.empty()) figure.add(std::move(series));
    }
    // The last, so that a rule has one colour in all figures.
    Series& line = figure.add("static", Series::Style::kDashed);
    for (size_t t = 0; t < trunk_.at("static").size(); ++t) {
      const Estimate fixed =
          estimate_over_seeds("trunk", [&](const Json& trunk) { return trunk.at("static").at(t); });
      line.add(static_cast<double>(t + 1), 100 * fixed.value);
    }
    d.figure(std::move(figure));
  }

  void gain_table(Document& d) const {
    d.heading("Gain over fixed depths");
    Table table = {
        .columns = {"rule"},
        .caption =
            "Points of accuracy at equal mean depth. -: no threshold of the rule comes near (a "
            "difference needs two loops; a gate may give many tokens one and the same word)."};
    std::vector<size_t> shown;
    for (const double depth : {1.5, 2.0, 2.5, 3.0, 3.5}) {
      const size_t p = near(depth);
      if (!shown.empty() && shown.back() == p) continue;
      shown.push_back(p);
      table.columns.push_back(fmt::format("{:g} loops", curves_[0].points[p].target));
    }
    for (const Curve& c : curves_) {
      std::vector<std::string> row = {c.name};
      for (const size_t p : shown) {
        row.push_back(reached(c.points[p]) ? points_text(c.points[p].accuracy_gain) : "-");
      }
      table.rows.push_back(std::move(row));
    }
    d.table(std::move(table));
  }

  void gain_figure(Document& d) const {
    Figure figure = figure_of("gain", "Gain over fixed depths of the same mean",
                              "mean loops per token", "accuracy gain (points)");
    for (const Curve& c : curves_) {
      std::vector<double> x;
      std::vector<Estimate> y;
      for (const ExitPoint& p : c.points) {
        if (!reached(p)) continue;
        x.push_back(p.mean_loops);
        y.push_back(p.accuracy_gain);
      }
      if (!x.empty()) figure.add(estimate_series(c.name, x, y, 100));
    }
    d.figure(std::move(figure));
  }

  void over_table(Document& d) const {
    d.heading("Gates against each other");
    d.paragraph(
        "Accuracy of a Stage II gate less that of another rule at the same mean depth, in "
        "points, of the same trunk and the same examples.");
    Table table = {.columns = {"mean loops", "Stage II over Stage I",
                               "next loop's gain over Stage I", "Stage II over hidden difference"}};
    const std::vector<Estimate> paper = over("stage2", "stage1");
    const std::vector<Estimate> forward = over("forward", "stage1");
    const std::vector<Estimate> hidden = over("stage2", "hidden");
    for (size_t p = 0; p < paper.size(); ++p) {
      const double target = curves_[0].points[p].target;
      table.rows.push_back({fmt::format("{:g}", target), points_text(paper[p]),
                            points_text(forward[p]), target < 2 ? "" : points_text(hidden[p])});
    }
    d.table(std::move(table));
    const size_t middle = near(2.5);
    d.paragraph(fmt::format(
        "An ablation that is not in the paper: the label looks at the gain of the loop to come, "
        "which is what the gate decides about, and not at that of the loop that has run. At "
        "{:g} loops such a gate is {} points over the Stage I gate; the paper's label gives {}.",
        curves_[0].points[middle].target, points_text(forward[middle]),
        points_text(paper[middle])));
  }

  void gates(Document& d) const {
    d.heading("What the gates say");
    d.paragraph(
        "Mean probability of exiting after each loop. The paper's label cannot fall below "
        "sigmoid(-k gamma) = 0.44, so its gate never says more than 0.56 where another loop "
        "does not help; and it looks back, at the gain of the loop that has just run.");
    Table table = {.columns = {"gate"}};
    const size_t loops = trunk_.at("gate").at("exit").size();
    for (size_t t = 1; t <= loops; ++t) table.columns.push_back(fmt::format("exit {}", t));
    for (size_t t = 1; t <= loops; ++t) table.columns.push_back(fmt::format("lambda {}", t));
    table.columns.emplace_back("mean exit");
    const auto add = [&](const std::string& name, const Json& gate) {
      std::vector<std::string> row = {name};
      for (const char* key : {"exit", "gate"}) {
        for (const Json& p : gate.at(key)) row.push_back(fmt::format("{:.3f}", p.get<double>()));
      }
      row.push_back(fmt::format("{:.2f}", gate.at("mean_exit").get<double>()));
      table.rows.push_back(std::move(row));
    };
    const std::string first = std::to_string(seeds_[0]);
    add("Stage I, seed " + first, trunk_.at("gate"));
    add("Stage II, seed " + first, cell("stage2", seeds_[0]).at("gate"));
    add("next loop's gain, seed " + first, cell("forward", seeds_[0]).at("gate"));
    d.table(std::move(table));
  }

  std::vector<Claim> claims() const {
    const std::vector<ExitPoint>& stage2 = curve("stage2").points;
    const std::vector<ExitPoint>& stage1 = curve("stage1").points;
    const std::vector<ExitPoint>& hidden = curve("difference").points;
    const std::vector<Estimate> over_stage1 = over("stage2", "stage1");
    const std::vector<Estimate> over_hidden = over("stage2", "hidden");
    const size_t middle = near(2.5);
    std::vector<Claim> all;

    const Estimate gain = stage2[middle].accuracy_gain;
    int ahead = 0, reached_at = 0;
    for (const ExitPoint& point : stage2) {
      if (!reached(point)) continue;
      ++reached_at;
      ahead += point.accuracy_gain.low > 0;
    }
    all.push_back(
        {"A trained gate beats fixed depth at equal mean cost (66% at 2.5 rounds; the static line "
         "lies near 63.6%)",
         graded(gain.low > 0 && 2 * ahead > reached_at, ahead > 0 && gain.high >= 0),
         fmt::format("At {:.2f} loops {:.1f}%: {} points over static; clearly above it at {} of {} "
                     "mean depths. Stage I's gate there: {}",
                     stage2[middle].mean_loops, 100 * stage2[middle].accuracy.value,
                     points_text(gain), ahead, reached_at,
                     points_text(stage1[middle].accuracy_gain))});

    int above = 0, not_below = 0, counted = 0;
    for (size_t p = 0; p < stage2.size(); ++p) {
      if (!reached(stage2[p]) || !reached(stage1[p])) continue;
      ++counted;
      above += over_stage1[p].low > 0;
      not_below += over_stage1[p].high >= 0;
    }
    const Estimate step = over_stage1[middle];
    all.push_back(
        {"Stage II's gate is 2 to 3 points above Stage I's at most operating points (66 against "
         "64% at 2.5 rounds)",
         graded(counted > 0 && 2 * above > counted,
                step.low > 0 || (above > 0 && not_below == counted)),
         fmt::format("{} points at 2.5 loops; clearly above at {} of {} mean depths, clearly below "
                     "at {}",
                     points_text(step), above, counted, counted - not_below)});

    std::string best_name = "none";
    double best = -1;
    for (const Curve& c : curves_) {
      if (c.id == "forward" || !reached(c.points[middle])) continue;
      if (c.points[middle].accuracy_gain.value > best) {
        best = c.points[middle].accuracy_gain.value;
        best_name = c.name;
      }
    }
    all.push_back({"The trained gate is the best rule at every budget",
                   graded(best_name == "Stage II gate", false),
                   fmt::format("At 2.5 loops the best is: {} ({:+.1f} points over static; the "
                               "Stage II gate {:+.1f})",
                               best_name, 100 * best, 100 * gain.value)});

    double most = 0;
    int compared = 0;
    for (size_t p = 0; p < stage2.size(); ++p) {
      if (stage2[p].target < 2 || stage2[p].target > 3 || !reached(hidden[p])) continue;
      most = std::abs(over_hidden[p].value) > std::abs(most) ? over_hidden[p].value : most;
      ++compared;
    }
    all.push_back(
        {"Exiting by hidden difference is within 1 to 2 points of the trained gate at 2 "
         "to 3 rounds",
         compared == 0 ? Verdict::kNotTested : graded(std::abs(most) <= 0.025, most < 0),
         fmt::format("The trained gate less hidden difference is at most {:+.1f} points "
                     "there",
                     100 * most)});
    return all;
  }

  const CellResults& results_;
  const std::vector<int64_t>& seeds_;
  const Json& trunk_;
  std::vector<Curve> curves_;
};

}  // namespace

Result<StudyReport> exits_report(const CellResults& results, const std::vector<int64_t>& seeds) {
  return Report(results, seeds).write();
}

}  // namespace looplm
