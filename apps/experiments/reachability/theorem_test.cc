#include "experiments/reachability/theorem.h"

#include <gmock/gmock.h>

namespace looplm {
namespace {

using testing::ElementsAre;

TEST(Theorem, LargeGraphsAreTriedAroundPowersOfTwo) {
  EXPECT_THAT(theorem_diameters(6, 6), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(theorem_diameters(21, 20), ElementsAre(1, 2, 3, 4, 5, 8, 9, 16, 17, 20));
}

TEST(Theorem, RowsCountGraphsByDiameterAndSurviveTheirJson) {
  TheoremSettings settings;
  settings.random_graphs = 6;
  double share = 0;
  const std::vector<TheoremRow> rows = measure_theorem(settings, 9, 2, [&](double done) {
    EXPECT_GT(done, share);
    share = done;
    return true;
  });
  EXPECT_EQ(share, 1);
  int layered = 0, random = 0;
  for (const TheoremRow& row : rows) {
    EXPECT_EQ(row.right, row.graphs);
    EXPECT_EQ(row.bound, loops_bound(row.diameter));
    EXPECT_LE(row.least_loops, row.most_loops);
    EXPECT_LE(row.most_loops, row.bound);
    if (row.family == GraphFamily::kRandom) {
      random += row.graphs;
      continue;
    }
    layered += row.graphs;
    if (row.hidden_share == 1) {
      EXPECT_EQ(row.least_loops, row.bound);
      EXPECT_EQ(row.right_with_one_loop_fewer, 0);
    }
    if (row.hidden_share == 0) {
      EXPECT_EQ(row.most_loops, row.bound - 1);
      EXPECT_EQ(row.right_with_one_loop_fewer, row.graphs);
    }
  }
  EXPECT_EQ(layered, 3 * 8 * 2);
  EXPECT_EQ(random, 3 * 6);
  const Json json = rows;
  EXPECT_EQ(Json(Json::parse(json.dump()).get<std::vector<TheoremRow>>()), json);
}

TEST(Theorem, StopsWhenAskedTo) {
  EXPECT_EQ(measure_theorem({}, 9, 1, [](double) { return false; }).size(), 1u);
}

TEST(Theorem, AblationsFailWhereTheyMust) {
  TheoremSettings settings;
  settings.ablation_graphs = 10;
  const std::vector<AblationRow> rows = measure_ablation(settings);
  for (const AblationRow& row : rows) {
    EXPECT_EQ(row.graphs, 10);
    EXPECT_EQ(row.pairs_right > 1 - 1e-9, row.right == 10) << row.what;
  }
  EXPECT_EQ(rows[0].right, 10);
  for (size_t i = 1; i <= 5; ++i) EXPECT_EQ(rows[i].right, 0) << rows[i].what;
  EXPECT_EQ(rows[6].right, 10);
  EXPECT_EQ(rows[7].right, 10);
}

}  // namespace
}  // namespace looplm
