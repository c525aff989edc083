#include "infer/knee.h"

#include <gtest/gtest.h>

#include "infer/test_model.h"

namespace looplm {
namespace {

TEST(LaneCosts, ABudgetsLanesAreFreeAndItsEndIsTheEnd) {
  const LaneCosts costs(6);
  EXPECT_EQ(costs.knee(), 6);
  EXPECT_EQ(costs.least_chance(5, 3), 0);
  EXPECT_GT(costs.least_chance(6, 3), 1);
}

TEST(LaneCosts, ALaneMustBeAsLikelyRightAsItIsDear) {
  // Four lanes for 1.15 passes, eight for 1.75: then 0.15 a lane over 0.55 that a pass costs
  // without any.
  const LaneCosts costs({{1, 1}, {4, 1.15}, {8, 1.75}, {12, 4}});
  EXPECT_EQ(costs.knee(), 4);
  EXPECT_NEAR(costs.least_chance(1, 1), 0.05, 1e-9);  // 0.05 of 0.95 + 0.05
  EXPECT_NEAR(costs.least_chance(3, 1), 0.05, 1e-9);
  EXPECT_NEAR(costs.least_chance(4, 1), 0.15 / 0.7, 1e-9);
  EXPECT_NEAR(costs.least_chance(4, 2), 0.15 / (0.15 + 0.55 / 2), 1e-9) << "two share a pass";
  EXPECT_GT(costs.least_chance(8, 1), 1) << "half a pass a lane: a pass costs nothing else";
  EXPECT_GT(costs.least_chance(100, 1), 1);
}

TEST(LaneCosts, ReadingOutCostsToo) {
  const LaneCosts costs({{1, 1, 0.1}, {5, 1.2, 0.3}});
  EXPECT_EQ(costs.knee(), 5);
  EXPECT_NEAR(costs.least_chance(1, 1), 0.1 / (0.1 + 0.95), 1e-9);
  EXPECT_NEAR(costs.least_chance_to_read(1, 1), 0.2 / (0.1 + 0.95), 1e-9);
  EXPECT_NEAR(costs.least_chance_to_read(1, 2), 0.15 / (0.1 + 0.475), 1e-9);
}

TEST(LaneCosts, MeasuredOnesCountNoPass) {
  const TestModel model(random_parameters(small_config(), 1), small_config(), DType::kF32, 1);
  PassRunner runner(*model.weights, *model.device);
  const LaneCosts costs = measure_lane_costs(runner);
  EXPECT_GE(costs.knee(), 1);
  EXPECT_GT(costs.least_chance(1, 1), 0);
  EXPECT_EQ(runner.passes(), 0);
}

}  // namespace
}  // namespace looplm
