#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "experiments/core/estimates.h"
#include "experiments/exits/exit_curve.h"
#include "experiments/prior/prior_study.h"

namespace looplm {
namespace {

// An arm's figures, one entry per seed unless said otherwise.
struct ArmFigures {
  PriorArm arm;
  std::vector<double> expected_nll;  // nats: sum_t p_t nll_t
  std::vector<double> last_nll;      // after the last loop
  std::vector<double> last_accuracy;
  std::vector<double> mean_exit;              // loops
  std::vector<double> early;                  // probability of the first two loops
  std::vector<double> wobble;                 // see wobble_of
  std::vector<std::vector<double>> exit;      // (loops, seeds)
  std::vector<std::vector<double>> accuracy;  // (loops, seeds), fixed depths
  std::vector<double> steps;                  // of validations
  std::vector<std::vector<double>> curve;     // (validations, seeds): nll after the last loop
  std::vector<std::vector<ExitPoint>> exits;  // (seeds)
};

// Adds one seed's value of each row.
void add_seed(std::vector<std::vector<double>>& rows, const std::vector<double>& values) {
  rows.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) rows[i].push_back(values[i]);
}

// How unsteadily the loss falls late: the root mean square of second differences of the last
// loop's nll over the second half of the validations. A straight fall has none.
double wobble_of(const std::vector<double>& nll) {
  double square = 0;
  int count = 0;
  for (size_t i = nll.size() / 2; i + 2 < nll.size(); ++i) {
    const double bend = nll[i] - 2 * nll[i + 1] + nll[i + 2];
    square += bend * bend;
    ++count;
  }
  return count == 0 ? 0 : std::sqrt(square / count);
}

ArmFigures figures_of(const CellResults& results, const PriorArm& arm,
                      const std::vector<int64_t>& seeds) {
  ArmFigures f;
  f.arm = arm;
  for (const int64_t seed : seeds) {
    const Json& json = results.at(fmt::format("{}-{}", arm.id, seed));
    const Json& gate = json.at("gate");
    const std::vector<double> exit = gate.at("exit"), accuracy = json.at("accuracy");
    add_seed(f.exit, exit);
    add_seed(f.accuracy, accuracy);
    f.expected_nll.push_back(gate.at("expected_nll"));
    f.mean_exit.push_back(gate.at("mean_exit"));
    f.early.push_back(exit[0] + (exit.size() > 1 ? exit[1] : 0));
    f.last_nll.push_back(json.at("nll").back());
    f.last_accuracy.push_back(accuracy.back());
    f.exits.push_back(json.at("curve"));
    std::vector<double> learning;
    f.steps.clear();
    for (const Json& validation : json.at("validations")) {
      f.steps.push_back(validation.at("step"));
      learning.push_back(validation.at("nll").back());
    }
    add_seed(f.curve, learning);
    f.wobble.push_back(wobble_of(learning));
  }
  return f;
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> d;
  for (size_t i = 0; i < a.size(); ++i) d.push_back(a[i] - b[i]);
  return d;
}

// A mean of shares; its interval, wide for few seeds, ends where shares do.
Estimate mean_share(const std::vector<double>& shares) {
  Estimate e = mean_of(shares);
  e.low = std::clamp(e.low, 0.0, 1.0);
  e.high = std::clamp(e.high, 0.0, 1.0);
  return e;
}

// The 95% interval of accuracy at each of the targets, over seeds.
std::vector<Estimate> accuracy_at(const ArmFigures& f) {
  std::vector<Estimate> all;
  for (size_t p = 0; p < f.exits[0].size(); ++p) {
    std::vector<double> values;
    for (const std::vector<ExitPoint>& seed : f.exits) values.push_back(seed[p].accuracy.value);
    all.push_back(mean_share(values));
  }
  return all;
}

std::vector<double> depth_at(const ArmFigures& f) {
  std::vector<double> all;
  for (size_t p = 0; p < f.exits[0].size(); ++p) {
    double sum = 0;
    for (const std::vector<ExitPoint>& seed : f.exits) sum += seed[p].mean_loops;
    all.push_back(sum / static_cast<double>(f.exits.size()));
  }
  return all;
}

void learning_figure(const std::vector<ArmFigures>& all, Document& d) {
  Figure figure = figure_of("learning", "Held-out loss after the last loop, while training",
                            "steps", "nll (nats)");
  for (const ArmFigures& f : all) {
    if (f.steps.size() < 2) return;
    Series& s = figure.add(series_of(f.arm.name, f.steps, {}, Series::Style::kLine));
    for (const std::vector<double>& seeds : f.curve) s.y.push_back(mean_of(seeds).value);
  }
  d.figure(std::move(figure));
}

void exits_figure(const std::vector<ArmFigures>& all, Document& d) {
  Figure figure = figure_of("exits", "Mean probability of exiting after each loop");
  for (size_t t = 1; t <= all[0].exit.size(); ++t) {
    figure.column_names.push_back(fmt::format("loop {}", t));
  }
  for (const ArmFigures& f : all) {
    figure.row_names.push_back(f.arm.name);
    std::vector<double> row;
    for (const std::vector<double>& seeds : f.exit) row.push_back(mean_of(seeds).value);
    figure.cells.push_back(std::move(row));
  }
  d.figure(std::move(figure));
}

void frontier_figure(const std::vector<ArmFigures>& all, Document& d) {
  Figure figure = figure_of("frontier", "Accuracy over mean depth, exits by each model's own gate",
                            "mean loops per token", "accuracy (%)");
  for (const ArmFigures& f : all) {
    figure.add(estimate_series(f.arm.name, depth_at(f), accuracy_at(f), 100));
  }
  d.figure(std::move(figure));
}

void loss_table(const std::vector<ArmFigures>& all, Document& d) {
  Table table = {
      .columns = {"prior", "expected nll", "nll after the last loop", "last accuracy", "mean exit",
                  "exit after 1 or 2 loops", "late wobble"},
      .caption =
          "Expected nll: the losses of all loops weighted by the gate's exit distribution, Stage "
          "I's loss without its prior, in nats on held-out sums. Late wobble: root mean square of "
          "the second differences of the validation loss in the second half."};
  for (const ArmFigures& f : all) {
    table.rows.push_back({f.arm.name, number_text(mean_of(f.expected_nll), 3),
                          number_text(mean_of(f.last_nll), 3),
                          percent_text(mean_share(f.last_accuracy)),
                          fmt::format("{:.2f}", mean_of(f.mean_exit).value),
                          fmt::format("{:.0f}%", 100 * mean_of(f.early).value),
                          fmt::format("{:.4f}", mean_of(f.wobble).value)});
  }
  d.table(std::move(table));
}

void depth_table_of(const std::vector<ArmFigures>& all, Document& d) {
  Table table = {.columns = {"prior"}};
  for (size_t t = 1; t <= all[0].accuracy.size(); ++t) {
    table.columns.push_back(fmt::format("{} loops", t));
  }
  for (const ArmFigures& f : all) {
    std::vector<std::string> row = {f.arm.name};
    for (const std::vector<double>& seeds : f.accuracy) {
      row.push_back(percent_text(mean_share(seeds)));
    }
    table.rows.push_back(std::move(row));
  }
  d.table(std::move(table));
}

// Spearman's rank correlation.
double rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const auto ranks = [](const std::vector<double>& v) {
    std::vector<double> r;
    for (double a : v) {
      r.push_back(
          static_cast<double>(std::count_if(v.begin(), v.end(), [a](double b) { return b < a; })));
    }
    return r;
  };
  const std::vector<double> a = ranks(x), b = ranks(y);
  const double mean = static_cast<double>(a.size() - 1) / 2;
  double product = 0, square_a = 0, square_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += (a[i] - mean) * (b[i] - mean);
    square_a += (a[i] - mean) * (a[i] - mean);
    square_b += (b[i] - mean) * (b[i] - mean);
  }
  return square_a == 0 || square_b == 0 ? 0 : product / std::sqrt(square_a * square_b);
}

// Accuracy under the gate's exits of one arm less another's at target p, seed by seed, where both
// reach that mean depth with every seed.
std::optional<Estimate> lead_of(const ArmFigures& f, const ArmFigures& other, size_t p) {
  std::vector<double> leads;
  for (size_t s = 0; s < f.exits.size(); ++s) {
    const ExitPoint& a = f.exits[s][p];
    const ExitPoint& b = other.exits[s][p];
    if (std::abs(a.mean_loops - a.target) > 0.1 || std::abs(b.mean_loops - b.target) > 0.1) {
      return std::nullopt;
    }
    leads.push_back(a.accuracy.value - b.accuracy.value);
  }
  return mean_of(leads);
}

void lead_table(const std::vector<ArmFigures>& all, Document& d) {
  const ArmFigures& uniform = all[0];
  Table table = {.columns = {"mean loops"},
                 .caption =
                     "The uniform prior's accuracy under its gate's exits less another's at the "
                     "same mean depth, "
                     "points, seed by seed. -: a gate does not reach that depth with every seed."};
  for (const ArmFigures& f : all) {
    if (&f != &uniform) table.columns.push_back("over " + f.arm.name);
  }
  for (size_t p = 0; p < uniform.exits[0].size(); ++p) {
    std::vector<std::string> row = {fmt::format("{:g}", uniform.exits[0][p].target)};
    for (const ArmFigures& f : all) {
      if (&f == &uniform) continue;
      const std::optional<Estimate> lead = lead_of(uniform, f, p);
      row.push_back(lead ? points_text(*lead) : "-");
    }
    table.rows.push_back(std::move(row));
  }
  d.table(std::move(table));
}

std::vector<Claim> claims_of(const std::vector<ArmFigures>& all) {
  const ArmFigures& uniform = all[0];
  std::vector<const ArmFigures*> geometric;
  for (const ArmFigures& f : all) {
    if (f.arm.prior.kind == ExitPrior::Kind::kGeometric) geometric.push_back(&f);
  }
  std::vector<Claim> claims;

  int above = 0, clearly = 0, compared = 0;
  std::string parts;
  for (const ArmFigures& f : all) {
    if (&f == &uniform) continue;
    const Estimate more = mean_of(difference(f.last_nll, uniform.last_nll));
    ++compared;
    above += more.value > 0;
    clearly += more.low > 0;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : "; ", f.arm.name, number_text(more, 3));
  }
  claims.push_back(
      {"The uniform prior gives the lowest loss (about 2.275 to 2.30 against 2.30 to "
       "2.35 of geometric priors, read off the figure)",
       graded(clearly == compared, 2 * above > compared),
       fmt::format("nll after the last loop, above the uniform prior's, same seeds: {}", parts)});

  if (geometric.size() > 1) {
    std::vector<double> parameters, losses;
    for (const ArmFigures* f : geometric) {
      parameters.push_back(f->arm.prior.parameter);
      losses.push_back(mean_of(f->last_nll).value);
    }
    const double rho = rank_correlation(parameters, losses);
    claims.push_back({"Geometric priors do worse as their parameter grows",
                      graded(rho > 0.85, rho > 0.3),
                      fmt::format("Rank correlation of parameter and nll after the last loop: "
                                  "{:.2f}; from {:.3f} to {:.3f} nats",
                                  rho, losses.front(), losses.back())});
  }
  if (!geometric.empty()) {
    const ArmFigures& steepest = *geometric.back();
    const double early = mean_of(steepest.early).value;
    const double uniform_early = mean_of(uniform.early).value;
    claims.push_back({"Large parameters put nearly all mass on one or two loops",
                      graded(early > 0.9, early > uniform_early),
                      fmt::format("{}: {:.0f}% of exits after one or two loops; uniform: {:.0f}%",
                                  steepest.arm.name, 100 * early, 100 * uniform_early)});
  }

  int points = 0, ahead = 0, behind = 0;
  for (const ArmFigures& f : all) {
    if (&f == &uniform || f.arm.prior.kind == ExitPrior::Kind::kPoissonLognormal) continue;
    for (size_t p = 0; p < uniform.exits[0].size(); ++p) {
      const std::optional<Estimate> lead = lead_of(uniform, f, p);
      if (!lead) continue;
      ++points;
      ahead += lead->low > 0;
      behind += lead->high < 0;
    }
  }
  claims.push_back(
      {"At equal mean depth the uniform prior's models are strictly better",
       points == 0 ? Verdict::kNotTested : graded(ahead == points, ahead > 0 && behind == 0),
       fmt::format("Of {} pairs of mean depth and geometric prior clearly ahead at "
                   "{}, clearly behind at {}",
                   points, ahead, behind)});

  int steadier = 0;
  for (const ArmFigures* f : geometric) {
    steadier += mean_of(uniform.wobble).value <= mean_of(f->wobble).value;
  }
  if (!geometric.empty() && uniform.steps.size() > 4) {
    const int count = static_cast<int>(geometric.size());
    claims.push_back({"Its loss also falls most smoothly; geometric priors oscillate late",
                      graded(steadier == count, 2 * steadier > count),
                      fmt::format("Late wobble {:.4f}, as low as or lower than {} of {} geometric "
                                  "priors",
                                  mean_of(uniform.wobble).value, steadier, count)});
  }
  return claims;
}

}  // namespace

Result<StudyReport> prior_report(const CellResults& results, const std::vector<PriorArm>& arms,
                                 const std::vector<int64_t>& seeds) {
  std::vector<ArmFigures> all;
  for (const PriorArm& arm : arms) all.push_back(figures_of(results, arm, seeds));
  StudyReport report;
  report.claims = claims_of(all);
  Document& d = report.document;
  d.title = "Priors: what Stage I pulls the exits towards";
  d.paragraph(fmt::format(
      "The same small model learns sums in Stage I under each prior, with the same weight of the "
      "KL term, data and steps; {} seeds. A uniform prior is the entropy of the paper's equation 4 "
      "but for a constant. Intervals are 95% over seeds (Student's t).",
      seeds.size()));
  d.heading("Loss");
  loss_table(all, d);
  learning_figure(all, d);
  d.heading("Depth");
  exits_figure(all, d);
  d.paragraph("Accuracy at fixed depths:");
  depth_table_of(all, d);
  d.heading("Quality over mean depth");
  frontier_figure(all, d);
  lead_table(all, d);
  return report;
}

}  // namespace looplm
