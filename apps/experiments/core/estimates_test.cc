#include "experiments/core/estimates.h"

#include <cmath>

#include <gtest/gtest.h>

namespace looplm {
namespace {

TEST(ShareOf, HasWilsonsInterval) {
  const Estimate half = share_of(5, 10);
  EXPECT_EQ(half.value, 0.5);
  EXPECT_NEAR(half.low, 0.2366, 1e-4);
  EXPECT_NEAR(half.high, 0.7634, 1e-4);
  // Of nothing counted, as of everything, there is still something to learn.
  const Estimate none = share_of(0, 100);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.0370, 1e-4);
  const Estimate all = share_of(100, 100);
  EXPECT_NEAR(all.low, 0.9630, 1e-4);
  EXPECT_EQ(all.high, 1);
  EXPECT_TRUE(std::isnan(share_of(0, 0).value));
}

TEST(SlopeOf, IsThatOfLeastSquares) {
  const std::vector<double> x = {1, 2, 3, 4};
  const std::vector<double> line = {5, 3, 1, -1};
  const Estimate exact = slope_of(x, line);
  EXPECT_NEAR(exact.value, -2, 1e-12);
  EXPECT_NEAR(exact.low, -2, 1e-9);
  EXPECT_NEAR(exact.high, -2, 1e-9);
  // Residuals -0.3, 0.9, -0.9, 0.3: variance 1.8 / 2 over 5, times t of two degrees, 4.303.
  const Estimate scattered = slope_of(x, std::vector<double>{1, 2.6, 1.2, 2.8});
  EXPECT_NEAR(scattered.value, 0.4, 1e-12);
  EXPECT_NEAR(scattered.high - scattered.value, 4.303 * std::sqrt(0.9 / 5), 1e-9);
  EXPECT_NEAR(scattered.value - scattered.low, 4.303 * std::sqrt(0.9 / 5), 1e-9);
  EXPECT_TRUE(std::isinf(slope_of(std::vector<double>{1, 2}, std::vector<double>{1, 2}).high));
}

}  // namespace
}  // namespace looplm
