#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/reachability/reachability_study.h"

namespace looplm {
namespace {

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
      c.must_right_fewer += row.right_with_one_loop_fewer;
    }
  }
  return c;
}

// Diameters with the same bound in one line.
Table theorem_table(const std::vector<TheoremRow>& rows) {
  Table table = {
      .columns = {"nodes", "graphs", "hidden edges", "diameter", "bound", "loops needed",
                  "graphs run", "right at the bound", "right one loop before"},
      .caption =
          "The construction against a breadth-first search, all pairs of nodes. The bound is "
          "ceil(log2 diameter) + 1."};
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
    found->right_with_one_loop_fewer += row.right_with_one_loop_fewer;
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
                          fmt::format("{}", m.right),
                          fmt::format("{}", m.right_with_one_loop_fewer)});
  }
  return table;
}

// "16 nodes: every diameter from 1 to 15; 300 nodes: 18 of 299 diameters (1, 2, 3, 4, ...)".
std::string diameters_text(const std::vector<TheoremRow>& rows) {
  std::map<int, std::set<int>> by_nodes;
  for (const TheoremRow& row : rows) {
    if (row.family == GraphFamily::kLayered) by_nodes[row.nodes].insert(row.diameter);
  }
  std::string text;
  for (const auto& [nodes, diameters] : by_nodes) {
    text += fmt::format("{}{} nodes: ", text.empty() ? "" : "; ", nodes);
    if (static_cast<int>(diameters.size()) == nodes - 1) {
      text += fmt::format("every diameter from 1 to {}", nodes - 1);
    } else {
      text += fmt::format("{} of {} diameters ({})", diameters.size(), nodes - 1,
                          fmt::join(diameters, ", "));
    }
  }
  return text;
}

Figure theorem_figure(const std::vector<TheoremRow>& rows) {
  Figure figure = figure_of("loops-by-diameter", "Loops that the construction needs",
                            "diameter of the combined graph",
                            "loops (most of all graphs; shares drawn a little apart)");
  figure.log_x = true;
  std::map<double, std::map<int, int>> most;  // by share, diameter
  std::map<int, int> bound;
  for (const TheoremRow& row : rows) {
    if (row.family != GraphFamily::kLayered) continue;
    int& loops = most[row.hidden_share][row.diameter];
    loops = std::max(loops, row.most_loops);
    bound[row.diameter] = row.bound;
  }
  const auto add = [&](const std::string& name, const std::map<int, int>& points,
                       Series::Style style, double offset) {
    Series& s = figure.add(name, style);
    for (const auto& [x, y] : points) s.add(x, y + offset);
  };
  double highest = 0;
  for (const auto& [diameter, loops] : bound) highest = std::max<double>(highest, loops);
  figure.y_range = {-0.3, highest + 0.5};
  add("bound", bound, Series::Style::kDashed, 0);
  // Where shares need as many loops, one would hide the others.
  constexpr double kApart = 0.16;
  double offset = -kApart * static_cast<double>(most.size() - 1) / 2;
  for (const auto& [share, points] : most) {
    add(fmt::format("{:.0f}% hidden edges", 100 * share), points, Series::Style::kPoints, offset);
    offset += kApart;
  }
  return figure;
}

Table ablation_table(const std::vector<AblationRow>& rows) {
  Table table = {.columns = {"matrices", "graphs right", "pairs right"},
                 .caption = "What the construction needs, on random graphs at the bound."};
  for (const AblationRow& row : rows) {
    table.rows.push_back(
        {row.what, fmt::format("{} of {}", row.right, row.graphs), percent(row.pairs_right)});
  }
  return table;
}

}  // namespace

StudyReport reachability_report(const ReachabilityResults& results) {
  StudyReport report;
  Document& d = report.document;
  d.title = "Reachability in O(log D) loops";
  const Counts c = count(results.theorem);
  Claim theorem = {
      "a one-layer transformer of hidden size 2n, looped ceil(log2 D) + 1 times, decides "
      "reachability in hidden plus context graph (theorem of section 6.3)"};
  theorem.verdict = graded(c.graphs > 0 && c.right == c.graphs, c.right > 0);
  theorem.finding = fmt::format(
      "with Q corrected and self-loops: {} of {} graphs right for all pairs (up to {} nodes, "
      "diameter {}); of {} graphs whose edges are all hidden, one loop fewer is right for {}",
      c.right, c.graphs, c.most_nodes, c.most_diameter, c.must_graphs, c.must_right_fewer);
  report.claims.push_back(theorem);
  for (const AblationRow& row : results.ablation) {
    if (row.what != "as printed") continue;
    Claim printed = {"the matrices as printed (Q = [[0,0],[0,I]], no self-loops) do it"};
    printed.verdict = graded(row.right == row.graphs, false);
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
      "path of D edges with all other nodes hung in between its layers), with {}; and random ones. "
      "A loop first doubles what is known of the context, then adds the hidden edges: "
      "so context alone needs ceil(log2 D) loops, hidden edges alone exactly one more.",
      results.beta, diameters_text(results.theorem)));
  d.figure(theorem_figure(results.theorem));
  d.table(ablation_table(results.ablation));
  add_trained(results, report);
  d.heading("The construction, in numbers");
  d.table(theorem_table(results.theorem));
  return report;
}

}  // namespace looplm
