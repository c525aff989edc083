#include "experiments/reachability/graph.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/shuffle.h"

namespace looplm {
namespace {

constexpr int kMaxNodes = 4096;

uint32_t bound(int n) { return static_cast<uint32_t>(n); }
int draw_below(Rng& rng, int n) { return static_cast<int>(rng.below(bound(n))); }

using EdgeSet = std::set<std::pair<int, int>>;

// Nodes 0 .. diameter are the path. Edges lead from one layer to the next alone, so no path is
// longer than it.
void add_layered(const GraphOptions& o, Rng& rng, EdgeSet& edges) {
  std::vector<std::vector<int>> layers(static_cast<size_t>(o.diameter) + 1);
  for (int node = 0; node < o.nodes; ++node) {
    const int layer = node <= o.diameter ? node : draw_below(rng, o.diameter + 1);
    layers[static_cast<size_t>(layer)].push_back(node);
  }
  for (int node = 0; node < o.diameter; ++node) edges.insert({node, node + 1});
  const int extra = static_cast<int>(o.degree * o.nodes) - o.diameter;
  for (int i = 0; i < extra; ++i) {
    const auto layer = static_cast<size_t>(draw_below(rng, o.diameter));
    const std::vector<int>&from = layers[layer], &to = layers[layer + 1];
    edges.insert({from[rng.below(static_cast<uint32_t>(from.size()))],
                  to[rng.below(static_cast<uint32_t>(to.size()))]});
  }
}

void add_random(const GraphOptions& o, Rng& rng, EdgeSet& edges) {
  const int wanted = static_cast<int>(o.degree * o.nodes);
  for (int i = 0; i < wanted; ++i) {
    const int from = draw_below(rng, o.nodes);
    const int to = draw_below(rng, o.nodes);
    if (from != to) edges.insert({from, to});
  }
}

}  // namespace

std::vector<int> distances(const SplitGraph& graph) {
  const auto n = static_cast<size_t>(graph.nodes);
  std::vector<std::vector<int>> next(n);
  for (const Edge& e : graph.edges) next[static_cast<size_t>(e.from)].push_back(e.to);
  std::vector<int> all(n * n, -1);
  std::vector<int> queue;
  for (size_t s = 0; s < n; ++s) {
    int* row = all.data() + s * n;
    row[s] = 0;
    queue.assign(1, static_cast<int>(s));
    for (size_t i = 0; i < queue.size(); ++i) {
      const int u = queue[i];
      for (int v : next[static_cast<size_t>(u)]) {
        if (row[v] >= 0) continue;
        row[v] = row[u] + 1;
        queue.push_back(v);
      }
    }
  }
  return all;
}

int diameter(const std::vector<int>& distances) {
  return distances.empty() ? 0 : std::max(0, *std::ranges::max_element(distances));
}

Status check(const GraphOptions& o) {
  if (o.nodes < 2 || o.nodes > kMaxNodes) {
    return invalid_argument(fmt::format("nodes is {}; expected 2 to {}", o.nodes, kMaxNodes));
  }
  if (o.family == GraphFamily::kLayered && (o.diameter < 1 || o.diameter >= o.nodes)) {
    return invalid_argument(fmt::format("diameter is {}; expected 1 to {}, one less than the nodes",
                                        o.diameter, o.nodes - 1));
  }
  if (!(o.degree >= 0 && o.degree <= o.nodes)) {
    return invalid_argument(fmt::format("degree is {}; expected 0 to {}", o.degree, o.nodes));
  }
  if (!(o.hidden_share >= 0 && o.hidden_share <= 1)) {
    return invalid_argument(fmt::format("hidden_share is {}; expected 0 to 1", o.hidden_share));
  }
  return {};
}

SplitGraph make_graph(const GraphOptions& options, uint64_t index) {
  LOOPLM_CHECK(check(options).ok());
  Rng rng(options.seed, index);
  EdgeSet edges;
  switch (options.family) {
    case GraphFamily::kPath:
    case GraphFamily::kCycle:
      for (int node = 0; node + 1 < options.nodes; ++node) edges.insert({node, node + 1});
      if (options.family == GraphFamily::kCycle) edges.insert({options.nodes - 1, 0});
      break;
    case GraphFamily::kLayered:
      add_layered(options, rng, edges);
      break;
    case GraphFamily::kRandom:
      add_random(options, rng, edges);
      break;
  }
  std::vector<int> name(static_cast<size_t>(options.nodes));
  std::iota(name.begin(), name.end(), 0);
  shuffle(name, rng);
  SplitGraph graph;
  graph.nodes = options.nodes;
  for (const auto& [from, to] : edges) {
    const bool hidden = static_cast<double>(rng.uniform()) < options.hidden_share;
    graph.edges.push_back({name[static_cast<size_t>(from)], name[static_cast<size_t>(to)], hidden});
  }
  return graph;
}

}  // namespace looplm
