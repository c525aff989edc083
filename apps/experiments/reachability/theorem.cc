#include "experiments/reachability/theorem.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace looplm {
namespace {

void add(TheoremRow& row, const ConstructionRun& run) {
  row.bound = run.bound;
  ++row.graphs;
  row.right += run.pairs_right == 1;
  row.right_with_one_loop_fewer += run.pairs_right_fewer == 1;
  if (run.loops_right < 0) return;
  row.least_loops = row.right == 1 ? run.loops_right : std::min(row.least_loops, run.loops_right);
  row.most_loops = std::max(row.most_loops, run.loops_right);
}

}  // namespace

std::vector<int> theorem_diameters(int nodes, int all_up_to) {
  std::vector<int> diameters;
  for (int d = 1; d < nodes; ++d) {
    const bool at_power = (d & (d - 1)) == 0 || ((d - 1) & (d - 2)) == 0;
    if (nodes <= all_up_to || at_power || d == nodes - 1) diameters.push_back(d);
  }
  return diameters;
}

std::vector<TheoremRow> measure_theorem(const TheoremSettings& settings, int nodes, int graphs,
                                        const std::function<bool(double)>& progress) {
  const ConstructionOptions options = {.beta = settings.beta};
  const std::vector<int> diameters = theorem_diameters(nodes, settings.all_diameters_up_to);
  const double steps = static_cast<double>(settings.hidden_shares.size() * (diameters.size() + 1));
  double done = 0;
  std::vector<TheoremRow> rows;
  for (double share : settings.hidden_shares) {
    GraphOptions graph;
    graph.nodes = nodes;
    graph.degree = settings.degree;
    graph.hidden_share = share;
    for (int d : diameters) {
      graph.diameter = d;
      TheoremRow row = {nodes, GraphFamily::kLayered, share, d};
      for (int i = 0; i < graphs; ++i) {
        add(row, run_construction(make_graph(graph, static_cast<uint64_t>(i)), options));
      }
      rows.push_back(row);
      if (!progress(++done / steps)) return rows;
    }
    graph.family = GraphFamily::kRandom;
    std::map<int, TheoremRow> by_diameter;
    for (int i = 0; i < settings.random_graphs; ++i) {
      const ConstructionRun run =
          run_construction(make_graph(graph, static_cast<uint64_t>(i)), options);
      TheoremRow& row =
          by_diameter
              .try_emplace(run.diameter, TheoremRow{nodes, graph.family, share, run.diameter})
              .first->second;
      add(row, run);
    }
    for (const auto& [d, row] : by_diameter) rows.push_back(row);
    if (!progress(++done / steps)) return rows;
  }
  return rows;
}

std::vector<AblationRow> measure_ablation(const TheoremSettings& settings) {
  const double far_below = 1.0 / (2 * settings.ablation_nodes);
  std::vector<AblationRow> rows = {
      {"corrected Q, self-loops", {.beta = settings.beta}},
      {"as printed", {.query = QueryMatrix::kPrinted, .self_loops = SelfLoops::kNone}},
      {"Q as printed, self-loops", {.query = QueryMatrix::kPrinted}},
      {"corrected Q, no self-loops", {.self_loops = SelfLoops::kNone}},
      {"corrected, beta 30", {.beta = 30}},
      {"corrected, beta 744: exp(-744) is above 0 in double", {.beta = 744}},
      {"corrected, beta 746: exp(-746) is 0 in double", {.beta = 746}},
      {fmt::format("corrected, beta 30, LN(x) = 1 where x > {}", far_below),
       {.beta = 30, .threshold = far_below}},
  };
  GraphOptions graph;
  graph.family = GraphFamily::kRandom;
  graph.nodes = settings.ablation_nodes;
  graph.degree = settings.degree;
  for (AblationRow& row : rows) {
    for (int i = 0; i < settings.ablation_graphs; ++i) {
      const ConstructionRun run =
          run_construction(make_graph(graph, static_cast<uint64_t>(i)), row.options);
      ++row.graphs;
      row.right += run.pairs_right == 1;
      row.pairs_right += run.pairs_right / settings.ablation_graphs;
    }
  }
  return rows;
}

}  // namespace looplm
