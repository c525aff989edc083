#include "experiments/scaling/run_curves.h"

#include <cmath>

#include <gmock/gmock.h>

namespace looplm {
namespace {

CurvePoint point(double tokens, std::vector<double> nll, std::vector<double> exit) {
  CurvePoint p;
  p.tokens = tokens;
  for (size_t t = 0; t < nll.size(); ++t) p.expected_nll += nll[t] * exit[t];
  p.loss = p.expected_nll - 0.1;
  p.nll = std::move(nll);
  p.exit = std::move(exit);
  return p;
}

std::vector<RunCurve> runs() {
  RunCurve plain = {500, 1, {point(10, {4}, {1}), point(20, {3}, {1})}};
  RunCurve looped = {500,
                     2,
                     {point(10, {4.2, 4.0}, {0.5, 0.5}), point(20, {3.0, 2.8}, {0.4, 0.6}),
                      point(30, {3.2, 2.4}, {0.3, 0.7})}};
  RunCurve larger = {900, 2, {point(10, {3.9, 3.5}, {0.5, 0.5}), point(20, {2.5, 2}, {0.1, 0.9})}};
  return {plain, looped, larger};
}

TEST(RunCurves, TotalPointsAreOnePerPlaceOfARun) {
  const std::vector<ScalingPoint> points = total_points(runs(), TotalLoss::kExpectedNll);
  ASSERT_EQ(points.size(), 7u);
  EXPECT_EQ(points[3].parameters, 500);
  EXPECT_EQ(points[3].tokens, 20);
  EXPECT_EQ(points[3].loops, 2);
  EXPECT_NEAR(points[3].loss, 0.4 * 3 + 0.6 * 2.8, 1e-12);
  EXPECT_NEAR(total_points(runs(), TotalLoss::kObjective)[3].loss, 0.4 * 3 + 0.6 * 2.8 - 0.1,
              1e-12);
}

TEST(RunCurves, StepwisePointsLeaveOutWhatFollowsTheLeastLossOfARisingCurve) {
  // Loop 1 of the smaller model ends 0.2 above its least.
  const StepwisePoints kept = stepwise_points(runs(), 2, 0.1);
  EXPECT_EQ(kept.dropped, 1);
  ASSERT_EQ(kept.points.size(), 9u);
  EXPECT_EQ(kept.points[1].loss, 3.0);
  EXPECT_EQ(kept.points[2].loops, 2);  // loop 2 of the same run follows, whole
  EXPECT_EQ(kept.points[4].loss, 2.4);
  EXPECT_EQ(stepwise_points(runs(), 2, 0.3).dropped, 0);
  EXPECT_EQ(stepwise_points(runs(), 1, 0).points.size(), 2u);
}

TEST(RunCurves, ExitWeightsAreMeansOverTheEndsOfRuns) {
  const std::vector<double> weights = mean_exit_weights(runs(), 2);
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_NEAR(weights[0], 0.2, 1e-12);
  EXPECT_NEAR(weights[1], 0.8, 1e-12);
  const std::vector<double> nll = mean_end_nll(runs(), 2);
  ASSERT_EQ(nll.size(), 2u);
  EXPECT_NEAR(nll[0], (3.2 + 2.5) / 2, 1e-12);
  EXPECT_NEAR(nll[1], (2.4 + 2) / 2, 1e-12);
}

TEST(RunCurves, LinkedLossesWeightTheStepwiseLaw) {
  ScalingLaw law;
  law.floor = 1;
  law.parameters = {10, 0, 0.5};
  law.tokens = {5, 0, 1};
  law.loops = {0.3, 0, 1};
  const std::vector<double> losses = linked_losses(runs(), 2, law, std::vector<double>{0.25, 0.75});
  ASSERT_EQ(losses.size(), 5u);
  EXPECT_NEAR(losses[1], 1 + 10 / std::sqrt(500.0) + 5.0 / 20 + 0.25 * 0.3 + 0.75 * 0.15, 1e-12);
  EXPECT_NEAR(losses[3], 1 + 10 / std::sqrt(900.0) + 5.0 / 10 + 0.25 * 0.3 + 0.75 * 0.15, 1e-12);
}

}  // namespace
}  // namespace looplm
