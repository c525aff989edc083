// The theorem held against a breadth-first search, over many graphs.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_THEOREM_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_THEOREM_H_

#include <functional>
#include <vector>

#include "base/json.h"
#include "experiments/reachability/construction.h"

namespace looplm {

struct TheoremSettings {
  std::vector<int> nodes = {16, 64};
  std::vector<int> graphs = {4, 1};  // for each of nodes: per diameter and share
  int all_diameters_up_to = 64;      // nodes; of larger graphs, those around powers of two
  int random_graphs = 20;            // of each number of nodes, besides
  double degree = 1.5;               // edges per node
  std::vector<double> hidden_shares = {0, 0.5, 1};
  double beta = 1000;
  int ablation_nodes = 16;
  int ablation_graphs = 40;
};

// Graphs of one kind and diameter.
struct TheoremRow {
  int nodes = 0;
  GraphFamily family = GraphFamily::kLayered;
  double hidden_share = 0;
  int diameter = 0;
  int bound = 0;  // ceil(log2 diameter) + 1
  int graphs = 0;
  int right = 0;  // with all pairs right after `bound` loops
  int right_with_one_loop_fewer = 0;
  int least_loops = 0;  // that a graph needed, of those that were right
  int most_loops = 0;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TheoremRow, nodes, family, hidden_share, diameter, bound, graphs,
                                   right, right_with_one_loop_fewer, least_loops, most_loops)

// The diameters of layered graphs that are tried.
std::vector<int> theorem_diameters(int nodes, int all_up_to);

// Layered graphs of every diameter, then random ones as they come, for every share of hidden edges.
// `progress` hears the share done, and stops the measurement by returning false (the rows so far
// come back).
std::vector<TheoremRow> measure_theorem(const TheoremSettings& settings, int nodes, int graphs,
                                        const std::function<bool(double)>& progress);

// One way to choose the matrices, on random graphs.
struct AblationRow {
  std::string what;
  ConstructionOptions options;
  int graphs = 0;
  int right = 0;           // graphs with all pairs right
  double pairs_right = 0;  // share, over all graphs
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(AblationRow, what, graphs, right, pairs_right)
std::vector<AblationRow> measure_ablation(const TheoremSettings& settings);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_THEOREM_H_
