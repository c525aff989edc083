#include "experiments/reachability/construction.h"

#include <gtest/gtest.h>

namespace looplm {
namespace {

ConstructionRun run(const GraphOptions& graph, uint64_t index,
                    const ConstructionOptions& options = {}) {
  return run_construction(make_graph(graph, index), options);
}

TEST(Construction, IsRightAtTheBoundOnEveryFamilyAndDiameter) {
  for (double hidden : {0.0, 0.3, 1.0}) {
    for (int d = 1; d < 24; ++d) {
      const ConstructionRun r = run({.nodes = 24, .diameter = d, .hidden_share = hidden}, 1);
      EXPECT_EQ(r.diameter, d);
      EXPECT_EQ(r.pairs_right, 1);
      EXPECT_LE(r.loops_right, r.bound);
    }
    for (uint64_t i = 0; i < 10; ++i) {
      const int nodes = 4 + 3 * static_cast<int>(i);
      for (GraphFamily family : {GraphFamily::kCycle, GraphFamily::kRandom}) {
        const ConstructionRun r =
            run({.family = family, .nodes = nodes, .hidden_share = hidden}, i);
        EXPECT_EQ(r.pairs_right, 1) << graph_family_name(family) << " " << nodes;
      }
    }
  }
  const ConstructionRun big = run({.nodes = 200, .diameter = 65}, 1);
  EXPECT_EQ(big.bound, 8);
  EXPECT_EQ(big.pairs_right, 1);
}

// A loop doubles what is known of the context; hidden edges enter one loop later.
TEST(Construction, ALoopFewerIsWrongOnHiddenPathsAndEnoughOnContextPaths) {
  for (int nodes = 2; nodes <= 40; ++nodes) {
    const ConstructionRun hidden =
        run({.family = GraphFamily::kPath, .nodes = nodes, .hidden_share = 1}, 7);
    EXPECT_EQ(hidden.loops_right, hidden.bound) << nodes;
    EXPECT_LT(hidden.pairs_right_fewer, 1) << nodes;
    const ConstructionRun context =
        run({.family = GraphFamily::kPath, .nodes = nodes, .hidden_share = 0}, 7);
    EXPECT_EQ(context.loops_right, context.bound - 1) << nodes;
  }
}

TEST(Construction, BoundIsTheTheorems) {
  EXPECT_EQ(loops_bound(0), 1);
  EXPECT_EQ(loops_bound(1), 1);
  EXPECT_EQ(loops_bound(2), 2);
  EXPECT_EQ(loops_bound(3), 3);
  EXPECT_EQ(loops_bound(4), 3);
  EXPECT_EQ(loops_bound(5), 4);
  EXPECT_EQ(loops_bound(256), 9);
  EXPECT_EQ(loops_bound(257), 10);
}

TEST(Construction, FailsAsPrintedAndWithoutSelfLoops) {
  const GraphOptions graph = {.family = GraphFamily::kRandom, .nodes = 16};
  for (uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(run(graph, i).pairs_right, 1);
    EXPECT_LT(run(graph, i, {.query = QueryMatrix::kPrinted}).pairs_right, 1);
    EXPECT_LT(run(graph, i, {.self_loops = SelfLoops::kNone}).pairs_right, 1);
  }
  // Where each node has an edge in the context, none attends to everybody.
  const GraphOptions cycle = {.family = GraphFamily::kCycle, .nodes = 16, .hidden_share = 0};
  EXPECT_EQ(run(cycle, 0, {.self_loops = SelfLoops::kNone}).pairs_right, 1);
}

TEST(Construction, PrintedMatricesGiveEachNodeWhatAnyHas) {
  const SplitGraph g = {.nodes = 4, .edges = {{0, 1, false}, {2, 3, false}}};
  const Construction c(g, {.query = QueryMatrix::kPrinted, .self_loops = SelfLoops::kNone});
  const std::vector<uint8_t> a = answers(c.loop(c.embed(g)));
  for (size_t s = 0; s < 4; ++s) {
    EXPECT_EQ(std::vector<uint8_t>(a.begin() + static_cast<ptrdiff_t>(4 * s),
                                   a.begin() + static_cast<ptrdiff_t>(4 * s + 4)),
              (std::vector<uint8_t>{0, 1, 0, 1}));
  }
}

TEST(Construction, BetaMustMakeTheSoftmaxExactUnlessTheThresholdAllowsForIt) {
  const GraphOptions graph = {.nodes = 16, .diameter = 6};
  EXPECT_EQ(run(graph, 0, {.beta = 746}).pairs_right, 1);
  EXPECT_LT(run(graph, 0, {.beta = 744}).pairs_right, 1);  // exp(-744) is not 0
  EXPECT_LT(run(graph, 0, {.beta = 30}).pairs_right, 1);
  EXPECT_EQ(run(graph, 0, {.beta = 30, .threshold = 1.0 / 32}).pairs_right, 1);
  EXPECT_LT(run(graph, 0, {.beta = 1, .threshold = 1.0 / 32}).pairs_right, 1);
}

}  // namespace
}  // namespace looplm
