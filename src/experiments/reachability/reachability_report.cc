#include "experiments/reachability/reachability_report.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace looplm {
namespace {

// Accuracy from which a distance counts as learnt, and a difference that counts.
constexpr double kLearnt = 0.9;
constexpr double kDifference = 0.05;

constexpr const char* kConjecture =
    "(conjecture, appendix B.5; ours, trained) at equal arithmetic, tied layers learn the repeated "
    "step from fewer examples than layers of their own";

std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

std::string range(int least, int most) {
  return least == most ? fmt::format("{}", least) : fmt::format("{}-{}", least, most);
}

struct Counts {
  int graphs = 0, right = 0;
  int must_graphs = 0, must_right_fewer = 0;  // layered graphs whose edges are all hidden
  int most_nodes = 0, most_diameter = 0;
};

Counts count(const std::vector<TheoremRow>& rows) {
  Counts c;
  for (const TheoremRow& row : rows) {
    c.graphs += row.graphs;
    c.right += row.right;
    c.most_nodes = std::max(c.most_nodes, row.nodes);
    c.most_diameter = std::max(c.most_diameter, row.diameter);
    if (row.family == GraphFamily::kLayered && row.hidden_share == 1) {
      c.must_graphs += row.graphs;
      c.must_right_fewer += row.right_fewer;
    }
  }
  return c;
}

// Diameters with the same bound in one line.
Table theorem_table(const std::vector<TheoremRow>& rows) {
  Table table;
  table.columns = {"nodes",
                   "graphs",
                   "hidden edges",
                   "diameter",
                   "bound",
                   "loops needed",
                   "graphs run",
                   "right at the bound",
                   "right one loop before"};
  std::vector<TheoremRow> merged;
  std::vector<int> last_diameter;
  for (const TheoremRow& row : rows) {
    const auto same = [&](const TheoremRow& m) {
      return m.nodes == row.nodes && m.family == row.family && m.hidden_share == row.hidden_share &&
             m.bound == row.bound;
    };
    const auto found = std::ranges::find_if(merged, same);
    if (found == merged.end()) {
      merged.push_back(row);
      last_diameter.push_back(row.diameter);
      continue;
    }
    found->graphs += row.graphs;
    found->right += row.right;
    found->right_fewer += row.right_fewer;
    found->least_loops = std::min(found->least_loops, row.least_loops);
    found->most_loops = std::max(found->most_loops, row.most_loops);
    last_diameter[static_cast<size_t>(found - merged.begin())] = row.diameter;
  }
  for (size_t i = 0; i < merged.size(); ++i) {
    const TheoremRow& m = merged[i];
    table.rows.push_back({fmt::format("{}", m.nodes), graph_family_name(m.family),
                          fmt::format("{:.0f}%", 100 * m.hidden_share),
                          range(m.diameter, last_diameter[i]), fmt::format("{}", m.bound),
                          range(m.least_loops, m.most_loops), fmt::format("{}", m.graphs),
                          fmt::format("{}", m.right), fmt::format("{}", m.right_fewer)});
  }
  table.caption =
      "The construction against a breadth-first search, all pairs of nodes. The bound is "
      "ceil(log2 diameter) + 1.";
  return table;
}

Figure theorem_figure(const std::vector<TheoremRow>& rows) {
  Figure figure;
  figure.name = "loops-by-diameter";
  figure.title = "Loops that the construction needs";
  figure.x_label = "diameter of the combined graph";
  figure.y_label = "loops (most of all graphs)";
  figure.log_x = true;
  std::map<double, std::map<int, int>> most;  // by share, diameter
  std::map<int, int> bound;
  for (const TheoremRow& row : rows) {
    if (row.family != GraphFamily::kLayered) continue;
    int& loops = most[row.hidden_share][row.diameter];
    loops = std::max(loops, row.most_loops);
    bound[row.diameter] = row.bound;
  }
  const auto series = [](const std::string& name, const std::map<int, int>& points) {
    Series s;
    s.name = name;
    for (const auto& [x, y] : points) {
      s.x.push_back(x);
      s.y.push_back(y);
    }
    return s;
  };
  figure.series.push_back(series("bound", bound));
  figure.series.back().style = Series::Style::kDashed;
  for (const auto& [share, points] : most) {
    figure.series.push_back(series(fmt::format("{:.0f}% hidden edges", 100 * share), points));
    figure.series.back().style = Series::Style::kPoints;
  }
  return figure;
}

Table ablation_table(const std::vector<AblationRow>& rows) {
  Table table;
  table.columns = {"matrices", "graphs right", "pairs right"};
  for (const AblationRow& row : rows) {
    table.rows.push_back(
        {row.what, fmt::format("{} of {}", row.right, row.graphs), percent(row.pairs_right)});
  }
  table.caption = "What the construction needs, on random graphs at the bound.";
  return table;
}

Figure distance_figure(const std::vector<TrainedPaths>& shapes, int paths) {
  Figure figure;
  figure.name = "accuracy-by-distance";
  figure.title = "Trained models: which end can be reached";
  figure.x_label = "edges to the end of the path";
  figure.y_label = "accuracy (best and worst seed)";
  figure.y_range = {0, 1.02};
  const size_t length = shapes.front().runs.front().trained().size();
  for (const TrainedPaths& shape : shapes) {
    Series s;
    s.name = shape.shape.name();
    for (size_t d = 1; d <= length; ++d) {
      const SeedSummary summary = shape.at(shape.shape.loops, d);
      s.x.push_back(static_cast<double>(d));
      s.y.push_back(summary.mean);
      s.low.push_back(summary.low);
      s.high.push_back(summary.high);
    }
    figure.series.push_back(std::move(s));
  }
  Series guess;
  guess.name = "a guess among the ends";
  guess.x = {1, static_cast<double>(length)};
  guess.y = {1.0 / paths, 1.0 / paths};
  guess.style = Series::Style::kDashed;
  figure.series.push_back(std::move(guess));
  return figure;
}

Figure loops_figure(const TrainedPaths& shape) {
  Figure figure;
  figure.name = "loops-" + shape.shape.name();
  figure.title = fmt::format("{} (trained with {} loops): accuracy by loops run",
                             shape.shape.name(), shape.shape.loops);
  figure.x_label = "edges to the end of the path";
  figure.y_label = "loops";
  const auto& first = shape.runs.front().accuracy;
  for (size_t t = 0; t < first.size(); ++t) {
    figure.row_names.push_back(fmt::format("{}", t + 1));
    std::vector<double> row;
    for (size_t d = 1; d <= first[t].size(); ++d) {
      row.push_back(shape.at(static_cast<int>(t) + 1, d).mean);
    }
    figure.cells.push_back(std::move(row));
  }
  for (size_t d = 1; d <= first[0].size(); ++d) {
    figure.column_names.push_back(fmt::format("{}", d));
  }
  return figure;
}

Figure curve_figure(const std::vector<TrainedPaths>& shapes) {
  Figure figure;
  figure.name = "learning-curves";
  figure.title = "Trained models: learning curves";
  figure.x_label = "steps";
  figure.y_label = "accuracy, all distances";
  figure.y_range = {0, 1.02};
  for (const TrainedPaths& shape : shapes) {
    for (const TrainedPathsRun& run : shape.runs) {
      Series s;
      s.name = fmt::format("{}, seed {}", shape.shape.name(), run.seed);
      s.x = run.curve_steps;
      s.y = run.curve;
      s.style = Series::Style::kLine;
      figure.series.push_back(std::move(s));
    }
  }
  return figure;
}

// The farthest distance up to which all are learnt, mean over seeds; 0: none.
size_t reach(const TrainedPaths& shape) {
  const size_t length = shape.runs.front().trained().size();
  size_t d = 0;
  while (d < length && shape.at(shape.shape.loops, d + 1).mean >= kLearnt) ++d;
  return d;
}

Table trained_table(const std::vector<TrainedPaths>& shapes) {
  Table table;
  table.columns = {"layers x loops", "parameters", "depth",       "seeds",
                   "all distances",  "far half",   "learnt up to"};
  const size_t length = shapes.front().runs.front().trained().size();
  for (const TrainedPaths& shape : shapes) {
    table.rows.push_back(
        {shape.shape.name(), fmt::format("{}", shape.runs.front().parameters),
         fmt::format("{}", shape.shape.depth()), fmt::format("{}", shape.runs.size()),
         percent_text(shape.mean_over(1, length)),
         percent_text(shape.mean_over(length / 2 + 1, length)), fmt::format("{}", reach(shape))});
  }
  table.caption = fmt::format(
      "Accuracy after the trained loops, mean over seeds with the worst and the best; a distance "
      "counts as learnt from {:.0f}% on.",
      100 * kLearnt);
  return table;
}

// A looped shape against a plain one in the far half of distances. Models that only guess among the
// ends have not learnt the task, and say nothing.
Claim compare(const std::string& claim, const TrainedPaths& looped, const TrainedPaths& plain,
              double guess) {
  const size_t length = looped.runs.front().trained().size();
  const size_t far = length / 2 + 1;
  const SeedSummary a = looped.mean_over(far, length), b = plain.mean_over(far, length);
  Claim c;
  c.claim = claim;
  const bool far_learnt = a.mean > guess + kDifference;
  c.verdict = far_learnt && a.low >= b.high + kDifference   ? Verdict::kReproduced
              : far_learnt && a.mean > b.mean + kDifference ? Verdict::kPartly
                                                            : Verdict::kNotReproduced;
  c.finding = fmt::format("distances {} to {}: {} {}, {} {}; learnt up to {} and {}{}", far, length,
                          looped.shape.name(), percent_text(a), plain.shape.name(), percent_text(b),
                          reach(looped), reach(plain),
                          far_learnt ? "" : "; the looped model does no better than a guess");
  return c;
}

void add_trained(const ReachabilityResults& results, StudyReport& report) {
  const std::vector<TrainedPaths> shapes = by_shape(results.runs);
  Document& d = report.document;
  d.heading("Trained models");
  d.paragraph(results.training);
  d.table(trained_table(shapes));
  d.figure(distance_figure(shapes, results.paths));
  for (const TrainedPaths& shape : shapes) {
    if (shape.shape.loops > 1) d.figure(loops_figure(shape));
  }
  d.figure(curve_figure(shapes));
  for (const TrainedPaths& looped : shapes) {
    if (looped.shape.loops == 1) continue;
    for (const TrainedPaths& plain : shapes) {
      if (plain.shape.loops > 1) continue;
      if (plain.shape.layers == looped.shape.layers) {
        report.claims.push_back(compare(
            "(ours, trained) at equal parameters, loops reach farther than one reading of the "
            "same layers",
            looped, plain, 1.0 / results.paths));
      } else if (plain.shape.layers == looped.shape.depth()) {
        report.claims.push_back(compare(kConjecture, looped, plain, 1.0 / results.paths));
      }
    }
  }
}

}  // namespace

StudyReport reachability_report(const ReachabilityResults& results) {
  StudyReport report;
  Document& d = report.document;
  d.title = "Reachability in O(log D) loops";
  const Counts c = count(results.theorem);
  Claim theorem;
  theorem.claim =
      "a one-layer transformer of hidden size 2n, looped ceil(log2 D) + 1 times, decides "
      "reachability in hidden plus context graph (theorem of section 6.3)";
  theorem.verdict = c.graphs > 0 && c.right == c.graphs ? Verdict::kReproduced
                    : c.right > 0                       ? Verdict::kPartly
                                                        : Verdict::kNotReproduced;
  theorem.finding = fmt::format(
      "with Q corrected and self-loops: {} of {} graphs right for all pairs (up to {} nodes, "
      "diameter {}); of {} graphs whose edges are all hidden, one loop fewer is right for {}",
      c.right, c.graphs, c.most_nodes, c.most_diameter, c.must_graphs, c.must_right_fewer);
  report.claims.push_back(theorem);
  for (const AblationRow& row : results.ablation) {
    if (row.what != "as printed") continue;
    Claim printed;
    printed.claim = "the matrices as printed (Q = [[0,0],[0,I]], no self-loops) do it";
    printed.verdict = row.right == row.graphs ? Verdict::kReproduced : Verdict::kNotReproduced;
    printed.finding = fmt::format(
        "{} of {} random graphs right: K^T Q is zero, so attention is "
        "uniform; a misprint of the paper",
        row.right, row.graphs);
    report.claims.push_back(printed);
  }

  d.heading("The theorem's construction");
  d.paragraph(fmt::format(
      "One layer, one head, in plain double-precision matrices with the paper's formula, beta = "
      "{}. An unreached node's weight must be exactly 0, since LN(x) = 1 where x > 0 turns any "
      "positive one into a 1; exp(-beta) is 0 in double from beta = 746 on. Graphs are layered (a "
      "path of D edges with all other nodes hung in between its layers) for every diameter tried, "
      "and random. A loop first doubles what is known of the context, then adds the hidden edges: "
      "so context alone needs ceil(log2 D) loops, hidden edges alone exactly one more.",
      results.beta));
  d.figure(theorem_figure(results.theorem));
  d.table(ablation_table(results.ablation));
  if (results.runs.empty()) {
    report.claims.push_back(
        {kConjecture, Verdict::kNotTested, "no models were trained in this run"});
  } else {
    add_trained(results, report);
  }
  d.heading("The construction, in numbers");
  d.table(theorem_table(results.theorem));
  return report;
}

}  // namespace looplm
