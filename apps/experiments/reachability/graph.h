// Directed graphs split into a hidden part (of the weights) and a context part (of the input), and
// what a breadth-first search says about them.
#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_GRAPH_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

struct Edge {
  int from = 0;
  int to = 0;
  bool hidden = false;  // of the hidden graph, else of the context graph
  bool operator==(const Edge&) const = default;
};

struct SplitGraph {
  int nodes = 0;
  std::vector<Edge> edges;  // no loops, none twice
};

// Distances in the combined graph: (nodes, nodes), row s; -1 where t cannot be reached from s.
std::vector<int> distances(const SplitGraph& graph);
// The longest of the finite distances; 0 for a graph without edges.
int diameter(const std::vector<int>& distances);

enum class GraphFamily {
  kPath,     // one path through all nodes: diameter nodes - 1
  kCycle,    // the path closed
  kLayered,  // a path of `diameter` edges; every other node hangs in between its layers
  kRandom,   // edges drawn one by one, `degree` per node on average; diameter as it comes
};
NLOHMANN_JSON_SERIALIZE_ENUM(GraphFamily, {{GraphFamily::kPath, "path"},
                                           {GraphFamily::kCycle, "cycle"},
                                           {GraphFamily::kLayered, "layered"},
                                           {GraphFamily::kRandom, "random"}})
inline std::string graph_family_name(GraphFamily family) { return Json(family); }

struct GraphOptions {
  GraphFamily family = GraphFamily::kLayered;
  int nodes = 16;
  int diameter = 4;           // of kLayered only: 1 .. nodes - 1
  double degree = 1.5;        // edges per node, of kLayered (beyond the path) and kRandom
  double hidden_share = 0.5;  // chance of an edge to be hidden
  uint64_t seed = 1;
};

Status check(const GraphOptions& options);

// The graph with this index: a pure function of the options and the index. Names of nodes are
// shuffled.
SplitGraph make_graph(const GraphOptions& options, uint64_t index);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_GRAPH_H_
