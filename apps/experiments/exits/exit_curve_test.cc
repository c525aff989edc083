#include "experiments/exits/exit_curve.h"

#include <cmath>

#include <gmock/gmock.h>

#include "base/rng.h"

namespace looplm {
namespace {

constexpr int64_t kLoops = 4;

// One scored token, right from loop `solved` on, of which every rule's figures are functions.
DepthScores example(int64_t solved, double noise) {
  DepthScores s;
  s.loops = kLoops;
  s.tokens = 1;
  for (int64_t t = 1; t <= kLoops; ++t) {
    const bool right = t >= solved;
    const auto n = static_cast<float>(noise);
    s.nll.push_back(right ? 0.1f : 2.0f);
    s.right.push_back(right);
    s.best.push_back(right);
    s.gate.push_back(right ? 6.0f + n : -6.0f + n);
    s.difference.push_back(t == 1 ? 0 : right ? 0.5 + noise / 10 : 5 + noise);
    s.norm.push_back(10);
    s.margin.push_back(right ? 0.9 + noise / 100 : 0.1 + noise / 100);
    s.entropy.push_back(right ? 0.05 + noise / 100 : 1 + noise);
  }
  return s;
}

// As many examples solved at each loop.
std::vector<DepthScores> graded(int64_t count) {
  std::vector<DepthScores> scores;
  Rng rng(3);
  for (int64_t i = 0; i < count; ++i) {
    scores.push_back(example(1 + i % kLoops, static_cast<double>(rng.uniform())));
  }
  return scores;
}

ExitCurveOptions options_for(std::vector<double> targets) {
  ExitCurveOptions o;
  o.trained_loops = kLoops;
  o.targets = std::move(targets);
  o.resampling.resamples = 200;
  return o;
}

TEST(ExitCurve, ARuleThatKnowsGainsWhatFixedDepthsLose) {
  const std::vector<DepthScores> scores = graded(400);
  for (const ExitKind kind : {ExitKind::kGate, ExitKind::kMargin, ExitKind::kEntropy}) {
    // Fixed depths are right in 25, 50, 75 and 100% of cases. A rule that stops where the example
    // is solved runs 2.5 loops, where the line of fixed depths has 62.5%.
    const ExitPoint p = exit_curve(scores, kind, options_for({2.5}))[0];
    EXPECT_NEAR(p.mean_loops, 2.5, 1e-9);
    EXPECT_NEAR(p.accuracy.value, 1, 1e-9);
    EXPECT_NEAR(p.accuracy_gain.value, 0.375, 1e-6);
    EXPECT_NEAR(p.nll.value, 0.1, 1e-6);
    EXPECT_NEAR(p.nll_gain.value, 1.9 * 0.375, 1e-6);
    EXPECT_LT(p.accuracy_gain.low, 0.375);
    EXPECT_GT(p.accuracy_gain.high, 0.375);
    EXPECT_GT(p.accuracy_gain.low, 0.3);
  }
}

TEST(ExitCurve, DifferencesNeedASecondLoop) {
  const std::vector<DepthScores> scores = graded(400);
  for (const ExitKind kind : {ExitKind::kHiddenDifference, ExitKind::kRelativeDifference}) {
    // Of those solved at once and at two the difference is small after two loops.
    const std::vector<ExitPoint> points = exit_curve(scores, kind, options_for({1, 2.75}));
    EXPECT_NEAR(points[0].mean_loops, 2, 1e-9);
    EXPECT_NEAR(points[1].mean_loops, 2.75, 1e-9);
    EXPECT_NEAR(points[1].accuracy.value, 1, 1e-9);
  }
}

TEST(ExitCurve, ReachesTheMeanDepthsAskedFor) {
  // Figures without ties.
  const std::vector<DepthScores> scores = graded(2000);
  for (const ExitKind kind : {ExitKind::kGate, ExitKind::kMargin, ExitKind::kEntropy}) {
    for (const ExitPoint& p :
         exit_curve(scores, kind, options_for({1, 1.3, 2, 2.6, 3.1, 3.7, 4}))) {
      EXPECT_NEAR(p.mean_loops, p.target, 0.01) << static_cast<int>(kind);
      // The threshold is what decoding would do with it.
      double loops = 0;
      for (const DepthScores& s : scores) {
        loops +=
            static_cast<double>(s.exit_loop(0, {.kind = kind, .threshold = p.threshold}, kLoops));
      }
      EXPECT_NEAR(loops / 2000, p.mean_loops, 1e-9);
    }
  }
}

TEST(ExitCurve, ARuleThatKnowsNothingGainsNothing) {
  std::vector<DepthScores> scores = graded(4000);
  Rng rng(5);
  for (DepthScores& s : scores) {
    for (float& gate : s.gate) gate = 3 * rng.normal();
  }
  for (const ExitPoint& p : exit_curve(scores, ExitKind::kGate, options_for({1.5, 2.5, 3.5}))) {
    EXPECT_NEAR(p.accuracy_gain.value, 0, 0.03);
    EXPECT_LT(p.accuracy_gain.low, 0.005);
    EXPECT_GT(p.accuracy_gain.high, -0.005);
  }
}

TEST(ExitCurve, DifferencesOfCurvesAreOfTheSameExamples) {
  const std::vector<DepthScores> good = graded(400);
  std::vector<DepthScores> blind = good;
  Rng rng(6);
  for (DepthScores& s : blind) {
    for (float& gate : s.gate) gate = 3 * rng.normal();
  }
  const ExitCurveOptions o = options_for({2.5});
  const Estimate same = accuracy_difference(good, ExitKind::kGate, good, ExitKind::kGate, o)[0];
  EXPECT_EQ(same.value, 0);
  EXPECT_EQ(same.low, 0);
  EXPECT_EQ(same.high, 0);
  const Estimate better = accuracy_difference(good, ExitKind::kGate, blind, ExitKind::kGate, o)[0];
  EXPECT_NEAR(better.value, 0.375, 0.06);
  EXPECT_GT(better.low, 0.25);
  const Estimate worse = accuracy_difference(blind, ExitKind::kGate, good, ExitKind::kMargin, o)[0];
  EXPECT_NEAR(worse.value, -better.value, 1e-6);
}

}  // namespace
}  // namespace looplm
