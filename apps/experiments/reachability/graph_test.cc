#include "experiments/reachability/graph.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

namespace looplm {
namespace {

// Floyd and Warshall's way, to hold the search against.
std::vector<int> all_pairs(const SplitGraph& graph) {
  const int n = graph.nodes, far = 1 << 20;
  std::vector<int> d(static_cast<size_t>(n * n), far);
  const auto at = [&](int i, int j) -> int& { return d[static_cast<size_t>(i * n + j)]; };
  for (int i = 0; i < n; ++i) at(i, i) = 0;
  for (const Edge& e : graph.edges) at(e.from, e.to) = 1;
  for (int k = 0; k < n; ++k) {
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) at(i, j) = std::min(at(i, j), at(i, k) + at(k, j));
    }
  }
  for (int& x : d) x = x >= far ? -1 : x;
  return d;
}

TEST(Graph, DistancesAreThoseOfFloydAndWarshall) {
  for (GraphFamily family :
       {GraphFamily::kPath, GraphFamily::kCycle, GraphFamily::kLayered, GraphFamily::kRandom}) {
    for (uint64_t i = 0; i < 20; ++i) {
      const SplitGraph g =
          make_graph({.family = family, .nodes = 5 + static_cast<int>(i), .diameter = 4}, i);
      EXPECT_EQ(distances(g), all_pairs(g)) << graph_family_name(family);
    }
  }
}

TEST(Graph, EdgesAreDistinctAndFamiliesHaveTheirDiameters) {
  for (int nodes : {2, 9, 31}) {
    for (int d = 1; d < nodes; ++d) {
      const SplitGraph g = make_graph({.nodes = nodes, .diameter = d}, 3);
      EXPECT_EQ(diameter(distances(g)), d);
      std::set<std::pair<int, int>> seen;
      for (const Edge& e : g.edges) {
        EXPECT_TRUE(e.from >= 0 && e.from < nodes && e.to >= 0 && e.to < nodes && e.from != e.to);
        EXPECT_TRUE(seen.insert({e.from, e.to}).second);
      }
    }
    const GraphOptions path = {.family = GraphFamily::kPath, .nodes = nodes};
    EXPECT_EQ(diameter(distances(make_graph(path, 1))), nodes - 1);
    const SplitGraph cycle = make_graph({.family = GraphFamily::kCycle, .nodes = nodes}, 1);
    EXPECT_EQ(cycle.edges.size(), static_cast<size_t>(nodes));
    EXPECT_THAT(distances(cycle), testing::Each(testing::Ge(0)));
  }
  EXPECT_EQ(diameter(distances({.nodes = 3, .edges = {}})), 0);
}

TEST(Graph, HiddenEdgesAreAShareAndNamesAreShuffled) {
  int hidden = 0, edges = 0;
  std::map<int, int> first;  // names of the path's first node
  for (uint64_t i = 0; i < 400; ++i) {
    const SplitGraph g =
        make_graph({.family = GraphFamily::kPath, .nodes = 8, .hidden_share = 0.25, .seed = 5}, i);
    std::set<int> to;
    for (const Edge& e : g.edges) {
      hidden += e.hidden;
      ++edges;
      to.insert(e.to);
    }
    for (int node = 0; node < 8; ++node) first[node] += !to.contains(node);
  }
  EXPECT_EQ(edges, 2800);
  EXPECT_NEAR(hidden, 700, 100);
  for (int node = 0; node < 8; ++node) EXPECT_NEAR(first[node], 50, 28);
}

TEST(Graph, IsAFunctionOfOptionsAndIndex) {
  const GraphOptions options = {.family = GraphFamily::kRandom, .nodes = 20};
  EXPECT_EQ(make_graph(options, 4).edges, make_graph(options, 4).edges);
  EXPECT_NE(make_graph(options, 4).edges, make_graph(options, 5).edges);
  GraphOptions other = options;
  other.seed = 2;
  EXPECT_NE(make_graph(options, 4).edges, make_graph(other, 4).edges);
}

TEST(Graph, OptionsAreChecked) {
  EXPECT_THAT(check({.nodes = 1}).message(), testing::HasSubstr("nodes is 1"));
  EXPECT_THAT(check({.nodes = 5, .diameter = 5}).message(),
              testing::AllOf(testing::HasSubstr("diameter is 5"), testing::HasSubstr("1 to 4")));
  EXPECT_THAT(check({.degree = -1}).message(), testing::HasSubstr("degree is -1"));
  EXPECT_THAT(check({.hidden_share = 1.5}).message(), testing::HasSubstr("hidden_share is 1.5"));
  EXPECT_TRUE(check({}).ok());
}

}  // namespace
}  // namespace looplm
