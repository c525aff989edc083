#include "experiments/core/seed_summary.h"

#include <cmath>

#include <gtest/gtest.h>

namespace looplm {
namespace {

TEST(SeedSummary, IsMeanWorstAndBest) {
  const SeedSummary s = summarize_seeds({0.5, 0.25, 0.75});
  EXPECT_EQ(s.mean, 0.5);
  EXPECT_EQ(s.low, 0.25);
  EXPECT_EQ(s.high, 0.75);
  EXPECT_EQ(percent_text(s), "50.0% [25.0, 75.0]");
  EXPECT_EQ(percent_text(summarize_seeds({0.123})), "12.3%");
}

TEST(SeedSummary, PairsOfTheSameDataAreCompared) {
  const SeedSummary b = summarize_seeds({0.5, 0.7});
  EXPECT_TRUE(is_ahead(summarize_seeds({0.6, 0.8}), b));     // though 0.6 is below 0.7
  EXPECT_FALSE(is_ahead(summarize_seeds({0.8, 0.75}), b));   // each is above, by 0.3 and 0.05
  EXPECT_FALSE(is_ahead(summarize_seeds({0.51, 0.71}), b));  // surely, and too little
  EXPECT_FALSE(is_ahead(summarize_seeds({0.9}), summarize_seeds({0.5})));
  EXPECT_ANY_THROW(is_ahead(summarize_seeds({0.8, 0.9, 0.9}), b));
  const Estimate gain =
      paired_gain(summarize_seeds({0.8, 0.75, 0.7}), summarize_seeds({0.5, 0.5, 0.5}));
  EXPECT_NEAR(gain.value, 0.25, 1e-12);
  EXPECT_NEAR(gain.high - gain.value, 4.303 * 0.05 / std::sqrt(3.0), 1e-12);
}

TEST(SeedSummary, PointsHaveBars) {
  Series series;
  add_point(series, 3, summarize_seeds({0.5, 0.25, 0.75}), 100);
  add_point(series, 4, summarize_seeds({1}));
  EXPECT_EQ(series.x, (std::vector<double>{3, 4}));
  EXPECT_EQ(series.y, (std::vector<double>{50, 1}));
  EXPECT_EQ(series.low, (std::vector<double>{25, 1}));
  EXPECT_EQ(series.high, (std::vector<double>{75, 1}));
}

}  // namespace
}  // namespace looplm
