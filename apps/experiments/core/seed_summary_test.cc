#include "experiments/core/seed_summary.h"

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

TEST(SeedSummary, IsAboveBeyondChance) {
  const SeedSummary low = summarize_seeds({0.50, 0.52});
  EXPECT_FALSE(is_above(summarize_seeds({0.53, 0.54}), low));
  EXPECT_TRUE(is_above(summarize_seeds({0.50, 0.62}), low));
  EXPECT_FALSE(is_above(low, summarize_seeds({0.9})));
}

TEST(SeedSummary, PairsOfTheSameDataAreCompared) {
  const SeedSummary b = summarize_seeds({0.5, 0.7});
  EXPECT_TRUE(is_above_in_pairs(summarize_seeds({0.6, 0.8}), b));  // though 0.6 is below 0.7
  EXPECT_FALSE(is_above_in_pairs(summarize_seeds({0.8, 0.7}), b));
  EXPECT_FALSE(is_above_in_pairs(summarize_seeds({0.51, 0.71}), b));  // within chance
  EXPECT_FALSE(is_above_in_pairs(summarize_seeds({0.9}), summarize_seeds({0.5})));
  EXPECT_FALSE(is_above_in_pairs(summarize_seeds({0.8, 0.9, 0.9}), b));
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
