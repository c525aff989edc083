#include "infer/lane_costs.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace looplm {
namespace {

TEST(CostCurve, LearnsMediansAndDrawsLinesBetween) {
  CostCurve curve;
  EXPECT_EQ(curve.at(5), 0);
  for (int i = 0; i < 100; ++i) {
    // Every third one is put off.
    const double late = i % 3 == 0 ? 50 : 1;
    curve.saw(1, 10 * late);
    curve.saw(4, 13 * late);
    curve.saw(8, 17 * late);
  }
  EXPECT_NEAR(curve.at(1), 10, 1e-5);
  EXPECT_NEAR(curve.at(3), 12, 1e-5);
  EXPECT_NEAR(curve.at(4), 13, 1e-5);
  EXPECT_NEAR(curve.at(10), 19, 1e-5) << "beyond what was seen the last line goes on";
  EXPECT_NEAR(curve.step(1), 1, 1e-5);
  EXPECT_NEAR(curve.step(6), 1, 1e-5);
  EXPECT_EQ(curve.within(1.3, 100), 4);
  EXPECT_EQ(curve.within(10, 50), 50);
}

TEST(CostCurve, OneSightingSaysNothing) {
  CostCurve curve;
  for (int i = 0; i < 5; ++i) curve.saw(1, 10);
  curve.saw(6, 900);
  curve.saw(6, 900);
  EXPECT_EQ(curve.step(1), 0);
  curve.saw(6, 900);
  EXPECT_GT(curve.step(1), 100);
}

TEST(CostCurve, FollowsTheMachineAndForgets) {
  CostCurve curve;
  const auto see = [&curve](int64_t count, double cost, int times) {
    for (int i = 0; i < times; ++i) curve.saw(count, cost);
  };
  see(1, 10, 20);
  see(6, 40, 20);
  see(1, 30, 20);
  EXPECT_NEAR(curve.at(1), 30, 1e-5) << "the latest count";
  see(1, 30, 1000);
  EXPECT_EQ(curve.step(1), 0) << "six were seen too long ago";
  see(6, 33, 3);
  EXPECT_NEAR(curve.at(6), 33, 1e-5) << "as if for the first time";
}

TEST(CostCurve, MoreNeverCostsLess) {
  CostCurve curve;
  for (int i = 0; i < 10; ++i) {
    curve.saw(1, 30);
    curve.saw(6, 20);
    curve.saw(20, 25);
  }
  EXPECT_NEAR(curve.at(1), 20, 1e-5);
  EXPECT_EQ(curve.step(1), 0);
  EXPECT_GT(curve.step(6), 0);
}

TEST(CostCurve, WhatIsBelowAllThatWasSeenLiesOnTheFirstLine) {
  CostCurve curve;
  for (int i = 0; i < 10; ++i) {
    curve.saw(3, 12);
    curve.saw(7, 16);
  }
  EXPECT_NEAR(curve.at(1), 10, 1e-5);
  const CostCurve steep({{3, 3}, {6, 9}});
  EXPECT_NEAR(steep.at(1), 1, 1e-9) << "one of three costs a third at least";
}

TEST(LaneCosts, ABudgetsLanesAreFreeAndItsEndIsTheEnd) {
  const LaneCosts costs(6);
  EXPECT_EQ(costs.knee(), 6);
  EXPECT_EQ(costs.least_chance(5, 3), 0);
  EXPECT_GT(costs.least_chance(6, 3), 1);
}

TEST(LaneCosts, WhatIsNotKnownIsTried) {
  LaneCosts costs;
  EXPECT_GT(costs.knee(), 100);
  EXPECT_EQ(costs.least_chance(1, 1), 0);
  for (int i = 0; i < 5; ++i) costs.saw_pass(1, 1);
  EXPECT_EQ(costs.least_chance(1, 1), 0);
  for (int i = 0; i < 5; ++i) costs.saw_pass(4, 1.9);
  EXPECT_NEAR(costs.least_chance(1, 1), 0.3, 1e-5);
}

// A rule that was named starts whatever it may up to the knee.
TEST(LaneCosts, WhereAllPassesHaveManyLanesFewerAreTriedToo) {
  LaneCosts costs;
  const auto run = [&costs](int64_t certain, int64_t wanted) {
    const int64_t lanes = std::max(certain, std::min(wanted, costs.knee()));
    costs.saw_pass(lanes, 1 + 0.1 * static_cast<double>(lanes));
    return lanes;
  };
  int64_t last = 0;
  for (int i = 0; i < 200; ++i) last = run(12, 48);
  EXPECT_EQ(last, 12) << "a quarter more than one lane's pass is four lanes";
  for (int64_t wanted = 2; wanted <= 16; ++wanted) {
    costs = LaneCosts();
    for (int i = 0; i < 100; ++i) run(1, wanted);
    EXPECT_LE(costs.knee(), 4) << "learnt from passes of " << wanted << " and of fewer lanes";
  }
  // As many that cannot be fewer say nothing, and are not fewer for it most of the time.
  LaneCosts none;
  int64_t many = 0;
  for (int i = 0; i < 200; ++i) {
    none.saw_pass(40, 5);
    many += none.knee() > 48;
  }
  EXPECT_GT(many, 160);
}

TEST(CostCurve, WhatLiesFarAboveItsNeighboursLineIsLeftOut) {
  CostCurve curve;
  for (int i = 0; i < 10; ++i) {
    curve.saw(1, 10);
    curve.saw(3, 16);
    curve.saw(6, 15);
    curve.saw(12, 30);
  }
  EXPECT_NEAR(curve.step(1), 1, 1e-5) << "three were seen at a bad time";
  EXPECT_NEAR(curve.at(3), 12, 1e-5);
  EXPECT_NEAR(curve.step(8), 2.5, 1e-5);
}

// Two that were measured with bf16, on a steady machine whose passes differ by 2%. One lane more
// costs less at 16 than at 4.
TEST(LaneCosts, LearnsCurvesThatBendBothWays) {
  for (const CostCurve& truth : {CostCurve({{1, 1}, {4, 1.40}, {8, 1.77}, {16, 2.20}, {32, 3.68}}),
                                 CostCurve({{1, 1}, {4, 1.06}, {8, 1.13}, {16, 1.21}})}) {
    LaneCosts costs;
    Rng rng(4);
    double four = 0, eight = 0, chance = 0;
    for (int i = 0; i < 1000; ++i) {
      const int64_t lanes = 1 + static_cast<int64_t>(rng.below(16));
      costs.saw_pass(lanes, truth.at(lanes) * (1 + 0.02 * rng.normal()));
      if (i < 500) continue;
      four += costs.of_pass(4) / costs.of_pass(1) / 500;
      eight += costs.of_pass(8) / costs.of_pass(1) / 500;
      chance += costs.least_chance(1, 1) / 500;
    }
    EXPECT_NEAR(four, truth.at(4), 0.06);
    EXPECT_NEAR(eight, truth.at(8), 0.08);
    EXPECT_NEAR(chance, LaneCosts(truth, {}).least_chance(1, 1), 0.015);
  }
}

// Few lanes for a while, then many: they meet only where one phase ends.
TEST(LaneCosts, PhasesAreComparedWhereTheyMeet) {
  for (const auto& [few, many] : {std::pair(192, 48), std::pair(48, 400)}) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      LaneCosts costs;
      Rng rng(seed);
      const auto see = [&](int64_t lanes, double cost) {
        costs.saw_pass(lanes, cost * (1 + 0.03 * rng.normal()));
      };
      for (int i = 0; i < few; ++i) see(1, 1);
      for (int i = 0; i < many; ++i) see(4 + i % 5, 1.05);
      EXPECT_NEAR(costs.of_pass(6) / costs.of_pass(1), 1.05, 0.06) << few << ", seed " << seed;
    }
  }
  LaneCosts costs;
  for (int i = 0; i < 6 * 448; ++i) {
    const int64_t lanes = i % 448 < 400 ? 1 : 4 + i % 5;
    costs.saw_pass(lanes, lanes == 1 ? 1 : i < 2 * 448 ? 1.1 : 3);
  }
  EXPECT_GT(costs.of_pass(6) / costs.of_pass(1), 1.5) << "of 3, four phases later: slowly";
}

// Within 200 passes it becomes 1.8 times as slow, and as fast again.
TEST(LaneCosts, AMachineWhoseSpeedWandersDoesNotMakeLanesDear) {
  const CostCurve truth({{1, 1}, {4, 1.02}, {8, 1.08}, {12, 1.2}});
  LaneCosts costs;
  Rng rng(3);
  double most = 0, most_ratio = 0;
  for (int i = 0; i < 2000; ++i) {
    const int64_t lanes = i < 8 || rng.below(8) == 0 ? 1 : 2 + static_cast<int64_t>(rng.below(9));
    const double slow = 1 + 0.8 * std::abs(2 * std::fmod(i / 200.0, 1.0) - 1);
    costs.saw_pass(lanes, slow * truth.at(lanes));
    costs.saw_read_out(1, slow * 0.1);
    if (i < 100) continue;
    most = std::max({most, costs.least_chance(2, 1), costs.least_chance(6, 1)});
    most_ratio = std::max(most_ratio, costs.of_read_out(1) / costs.of_pass(1));
  }
  EXPECT_LT(most, 0.06) << "0.02 at a steady speed";
  EXPECT_LT(most_ratio, 0.11);
}

TEST(LaneCosts, AMachineThatBecomesAnotherIsFollowed) {
  LaneCosts costs;
  const auto see = [&costs](double one, double six) {
    for (int i = 0; i < 100; ++i) {
      costs.saw_pass(1, one);
      costs.saw_pass(6, six);
      costs.saw_read_out(1, one / 10);
    }
  };
  see(1, 1.1);
  see(100, 110);
  EXPECT_NEAR(costs.of_pass(6) / costs.of_pass(1), 1.1, 0.01);
  EXPECT_NEAR(costs.of_read_out(1) / costs.of_pass(1), 0.1, 0.01);
  see(1e-6, 3e-6);
  EXPECT_NEAR(costs.of_pass(6) / costs.of_pass(1), 3, 0.1);
}

TEST(LaneCosts, ALaneMustBeAsLikelyRightAsItIsDear) {
  // Four lanes for 1.15 passes, eight for 1.75: then 0.15 a lane over 0.55 that a pass costs
  // without any.
  const LaneCosts costs(CostCurve({{1, 1}, {4, 1.15}, {8, 1.75}, {12, 4}}), {});
  EXPECT_EQ(costs.knee(), 4);
  EXPECT_NEAR(costs.least_chance(1, 1), 0.05, 1e-9);  // 0.05 of 0.95 + 0.05
  EXPECT_NEAR(costs.least_chance(3, 1), 0.05, 1e-9);
  EXPECT_NEAR(costs.least_chance(4, 1), 0.15 / 0.7, 1e-9);
  EXPECT_NEAR(costs.least_chance(4, 2), 0.15 / (0.15 + 0.55 / 2), 1e-9) << "two share a pass";
  EXPECT_GT(costs.least_chance(8, 1), 1) << "half a pass a lane: a pass costs nothing else";
  EXPECT_GT(costs.least_chance(100, 1), 1);
}

TEST(LaneCosts, ReadingOutCostsToo) {
  const LaneCosts costs(CostCurve({{1, 1}, {5, 1.2}}), CostCurve({{1, 0.1}, {5, 0.3}}));
  EXPECT_NEAR(costs.of_read_out(3), 0.2, 1e-9);
  EXPECT_EQ(costs.of_read_out(0), 0);
  EXPECT_NEAR(costs.least_chance(1, 1), 0.05, 1e-9);
  EXPECT_NEAR(costs.least_chance_to_read(1, 1, 0), 0.15 / (0.05 + 0.95), 1e-9);
  EXPECT_NEAR(costs.least_chance_to_read(1, 1, 1), 0.1 / (0.05 + 0.95), 1e-9)
      << "the pass is read out anyway";
  EXPECT_NEAR(costs.least_chance_to_read(1, 2, 0), 0.15 / (0.05 + 0.475), 1e-9);
}

}  // namespace
}  // namespace looplm
