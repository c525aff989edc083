#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>

#include "base/rng.h"
#include "experiments/scaling/leave_out.h"
#include "experiments/scaling/scaling_analysis.h"
#include "experiments/scaling/scaling_law.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

ScalingLaw known_law() {
  ScalingLaw law;
  law.floor = 1.5;
  law.parameters = {30, 2000, 0.4};
  law.tokens = {200, 1e5, 0.5};
  law.loops = {0.3, 0.2, 1.2};
  return law;
}

// Five sizes, eight places along each run, four depths, as in the paper.
std::vector<ScalingPoint> grid(const ScalingLaw& law, double noise = 0) {
  std::vector<ScalingPoint> points;
  Rng rng(9);
  for (double n : {1e4, 3e4, 1e5, 3e5, 1e6}) {
    for (double t : {1, 2, 4, 8}) {
      for (int i = 1; i <= 8; ++i) {
        const double d = 2.5e5 * i;
        const double error = noise * static_cast<double>(rng.normal());
        points.push_back({n, d, t, law.loss(n, d, t) + error});
      }
    }
  }
  return points;
}

TEST(ScalingLaw, IsTheSumOfItsTerms) {
  const ScalingLaw law = known_law();
  EXPECT_NEAR(law.loss(1e4, 1e6, 4),
              1.5 + 30 / std::pow(12000, 0.4) + 200 / std::sqrt(1.1e6) + 0.3 / std::pow(4.2, 1.2),
              1e-12);
}

TEST(ScalingFit, RecoversTheConstantsOfNoiselessData) {
  const std::vector<ScalingPoint> points = grid(known_law());
  Result<ScalingFit> fit = fit_scaling_law(points, {});
  ASSERT_OK(fit);
  const ScalingLaw& law = fit->law;
  EXPECT_GT(fit->r_squared, 1 - 1e-9);
  EXPECT_LT(fit->rms, 1e-5);
  EXPECT_NEAR(law.floor, 1.5, 0.02);
  EXPECT_NEAR(law.parameters.exponent, 0.4, 0.01);
  EXPECT_NEAR(law.parameters.scale / 30, 1, 0.1);
  EXPECT_NEAR(law.tokens.exponent, 0.5, 0.02);
  EXPECT_NEAR(law.loops.exponent, 1.2, 0.05);
  EXPECT_NEAR(law.loops.scale, 0.3, 0.03);
  EXPECT_GT(fit->agreeing_starts, 0);
}

TEST(ScalingFit, PredictsThroughNoise) {
  const ScalingLaw truth = known_law();
  constexpr double kNoise = 0.01;
  const std::vector<ScalingPoint> points = grid(truth, kNoise);
  Result<ScalingFit> fit = fit_scaling_law(points, {});
  ASSERT_OK(fit);
  EXPECT_NEAR(fit->rms, kNoise, 0.2 * kNoise);
  EXPECT_GT(fit->r_squared, 0.99);
  for (const ScalingPoint& p : grid(truth)) {
    EXPECT_NEAR(fit->law.loss(p.parameters, p.tokens, p.loops), p.loss, kNoise);
  }
  EXPECT_NEAR(fit->law.tokens.exponent, 0.5, 0.25);
  EXPECT_NEAR(fit->law.loops.at(1) - fit->law.loops.at(8), truth.loops.at(1) - truth.loops.at(8),
              kNoise);
}

TEST(ScalingFit, HuberIgnoresAFewWildPoints) {
  const ScalingLaw truth = known_law();
  std::vector<ScalingPoint> points = grid(truth, 1e-3);
  for (size_t i = 7; i < points.size(); i += 40) points[i].loss += 2;
  const auto worst = [&](const ScalingFitOptions& options) {
    Result<ScalingFit> fit = fit_scaling_law(points, options);
    EXPECT_OK(fit);
    double error = 0;
    for (const ScalingPoint& p : grid(truth)) {
      error = std::max(error, std::abs(fit->law.loss(p.parameters, p.tokens, p.loops) - p.loss));
    }
    return error;
  };
  EXPECT_LT(worst({.huber = 0.005}), 0.01);
  EXPECT_GT(worst({}), 0.03);
}

TEST(ScalingFit, SameSeedSameConstants) {
  const std::vector<ScalingPoint> points = grid(known_law(), 0.01);
  const ScalingFitOptions options = {.starts = 5, .seed = 3};
  const ScalingFit a = fit_scaling_law(points, options).value();
  const ScalingFit b = fit_scaling_law(points, options).value();
  EXPECT_EQ(a.law.floor, b.law.floor);
  EXPECT_EQ(a.law.loops.shift, b.law.loops.shift);
  EXPECT_EQ(a.agreeing_starts, b.agreeing_starts);
}

TEST(ScalingFit, WithoutTheLoopsTermItIsALawOfParametersAndTokens) {
  const std::vector<ScalingPoint> points = grid(known_law(), 0.01);
  const ScalingFit with = fit_scaling_law(points, {}).value();
  const ScalingFit without = fit_scaling_law(points, {.loops_term = false}).value();
  EXPECT_EQ(without.law.loops.at(1), 0);
  EXPECT_EQ(without.law.loss(1e4, 1e6, 1), without.law.loss(1e4, 1e6, 8));
  // What it cannot know is the spread of the loops' term over 1, 2, 4 and 8 loops.
  double mean = 0, square = 0;
  for (double t : {1, 2, 4, 8}) {
    mean += known_law().loops.at(t) / 4;
    square += known_law().loops.at(t) * known_law().loops.at(t) / 4;
  }
  EXPECT_NEAR(without.rms, std::sqrt(square - mean * mean + 1e-4), 0.003);
  EXPECT_TRUE(loops_matter(with, without));
  std::vector<ScalingPoint> flat = points;
  for (ScalingPoint& p : flat) p.loops = 2;
  EXPECT_OK(fit_scaling_law(flat, {.loops_term = false}));
}

TEST(ScalingFit, NamesConstantsThatItsBoundsHold) {
  const ScalingFit inside = fit_scaling_law(grid(known_law()), {}).value();
  EXPECT_EQ(std::count(inside.at_bound.begin(), inside.at_bound.end(), true), 0);
  // Losses beyond the floor and the terms at their largest together.
  std::vector<ScalingPoint> high = grid(known_law());
  for (ScalingPoint& p : high) p.loss += 5000;
  const ScalingFit fit = fit_scaling_law(high, {.starts = 5}).value();
  EXPECT_GT(std::count(fit.at_bound.begin(), fit.at_bound.end(), true), 0);
}

TEST(ScalingFit, SaysWhatIsMissing) {
  std::vector<ScalingPoint> points = grid(known_law());
  EXPECT_ERROR_SAYS(fit_scaling_law({points.data(), 9}, {}), "9 points", "10");
  std::vector<ScalingPoint> flat = points;
  for (ScalingPoint& p : flat) p.loops = 2;
  EXPECT_ERROR_SAYS(fit_scaling_law(flat, {}), "all points have 2 loops");
  points[3].loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR_SAYS(fit_scaling_law(points, {}), "loss nan", "positive");
  points[3].loss = -1;
  EXPECT_ERROR_SAYS(fit_scaling_law(points, {}), "loss -1");
}

TEST(RSquared, OfKnownCases) {
  const std::vector<double> observed = {1, 2, 3, 4};
  EXPECT_EQ(r_squared(observed, observed), 1);
  EXPECT_EQ(r_squared(std::vector<double>(4, 2.5), observed), 0);  // the mean
  // Residuals 1, 1, 1, 1 of total 5.
  EXPECT_DOUBLE_EQ(r_squared(std::vector<double>{2, 3, 4, 5}, observed), 1 - 4.0 / 5);
  EXPECT_DOUBLE_EQ(r_squared(std::vector<double>{4, 3, 2, 1}, observed), -3);
  EXPECT_TRUE(std::isnan(r_squared(std::vector<double>{1, 1}, std::vector<double>{2, 2})));
}

TEST(LeaveOut, ChoosesEverySubsetOnce) {
  const std::vector<ScalingPoint> points = grid(known_law());
  const std::vector<LeaveOut> sizes = leave_out_sizes(points, 3);
  EXPECT_EQ(sizes.size(), 10u);  // 3 of 5
  std::set<std::vector<bool>> different;
  for (const LeaveOut& choice : sizes) {
    EXPECT_EQ(std::count(choice.fitted.begin(), choice.fitted.end(), true), 3 * 4 * 8);
    different.insert(choice.fitted);
  }
  EXPECT_EQ(different.size(), 10u);
  EXPECT_EQ(sizes.front().fitted_on, "parameters 10000, 30000, 100000");
  EXPECT_EQ(leave_out_loops(points, 3).size(), 4u);

  const LeaveOut early = leave_out_late_tokens(points, 0.5);
  for (size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(early.fitted[i], points[i].tokens <= 1e6);
  }
  EXPECT_EQ(early.fitted_on, "the first 50% of tokens");
}

TEST(LeaveOut, ALawOfTheDataPredictsWhatItHasNotSeen) {
  const ScalingLaw truth = known_law();
  const std::vector<ScalingPoint> points = grid(truth, 0.003);
  for (const LeaveOut& choice : leave_out_loops(points, 3)) {
    Result<LeaveOutScore> score = score_leave_out(points, choice, {});
    ASSERT_OK(score);
    EXPECT_GT(score->r_squared_left_out, 0.97) << choice.fitted_on;
    EXPECT_GT(score->r_squared_all, 0.97) << choice.fitted_on;
  }
  // Data that the law does not describe beyond what was fitted.
  std::vector<ScalingPoint> broken = points;
  for (ScalingPoint& p : broken) {
    if (p.tokens > 1e6) p.loss += 1;
  }
  Result<LeaveOutScore> score = score_leave_out(broken, leave_out_late_tokens(broken, 0.5), {});
  ASSERT_OK(score);
  EXPECT_LT(score->r_squared_left_out, 0.2);
  EXPECT_ERROR_SAYS(score_leave_out(points, leave_out_loops(points, 1).front(), {}),
                    "loops 1:", "all points have 1 loops");
}

}  // namespace
}  // namespace looplm
