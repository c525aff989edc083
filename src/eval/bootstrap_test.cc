#include "eval/bootstrap.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace looplm {
namespace {

TEST(BootstrapMean, IntervalIsTheNormalOneOfManyValues) {
  std::vector<double> values;
  Rng rng(2);
  double sum = 0, squares = 0;
  for (int i = 0; i < 2000; ++i) {
    values.push_back(5 + 2 * static_cast<double>(rng.normal()));
    sum += values.back();
    squares += values.back() * values.back();
  }
  const double mean = sum / 2000;
  const double error = std::sqrt((squares / 2000 - mean * mean) / 2000);
  const Estimate e = bootstrap_mean(values);
  EXPECT_DOUBLE_EQ(e.value, mean);
  EXPECT_NEAR(e.low, mean - 1.96 * error, 0.15 * error);
  EXPECT_NEAR(e.high, mean + 1.96 * error, 0.15 * error);
}

TEST(BootstrapMean, OfEqualValuesAndOfNone) {
  const std::vector<double> same(7, 3.0);
  const Estimate e = bootstrap_mean(same);
  EXPECT_EQ(e.low, 3);
  EXPECT_EQ(e.high, 3);
  EXPECT_TRUE(std::isnan(bootstrap_mean({}).value));
}

TEST(BootstrapMean, DependsOnTheSeedAlone) {
  const std::vector<double> values = {1, 2, 4, 8, 16, 32, 64};
  const auto of_seed = [&](uint64_t seed) {
    return bootstrap_mean(values, {.resamples = 50, .seed = seed});
  };
  EXPECT_EQ(of_seed(1).low, of_seed(1).low);
  EXPECT_NE(of_seed(1).high, of_seed(2).high);
}

TEST(Bootstrap, WithoutResamplesAFigureIsItsOwnInterval) {
  const Estimate e =
      bootstrap(3, {.resamples = 0}, [](auto chosen) { return chosen.size() * 2.0; });
  EXPECT_EQ(e.value, 6);
  EXPECT_EQ(e.low, 6);
  EXPECT_EQ(e.high, 6);
}

TEST(Bootstrap, PercentilesLeaveOutWhatIsNoNumber) {
  std::vector<double> drawn = {NAN};
  for (int i = 100; i >= 0; --i) drawn.push_back(i);
  const Estimate e = percentile_interval(50, drawn);
  EXPECT_EQ(e.low, 3);  // 2.5 rounds up
  EXPECT_EQ(e.high, 98);
  EXPECT_EQ(percentile_interval(7, {NAN, NAN}).low, 7);
}

}  // namespace
}  // namespace looplm
