#include "model/normal_fill.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace looplm {
namespace {

std::vector<float> normals(uint64_t seed, uint64_t stream, int64_t first, size_t count) {
  std::vector<float> out(count);
  fill_normal(seed, stream, first, out);
  return out;
}

// The definition, in double precision, from base/rng.h's Philox.
double reference(uint64_t seed, uint64_t stream, int64_t index) {
  const PhiloxBlock words = philox(seed, stream, static_cast<uint64_t>(index / 4));
  const size_t pair = index % 4 < 2 ? 0 : 2;
  const double radius = std::sqrt(-2 * std::log(double{uniform_from_bits(words[pair])}));
  const double angle = 2 * std::numbers::pi * uniform_from_bits(words[pair + 1]);
  return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

TEST(NormalFill, MatchesTheDefinition) {
  const uint64_t seed = 0x123456789abcdef0;
  const uint64_t stream = 0xfedcba9876543210;
  const int64_t first = (int64_t{1} << 34) + 5;  // block numbers beyond 32 bits
  const std::vector<float> numbers = normals(seed, stream, first, 100000);
  double worst = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double exact = reference(seed, stream, first + static_cast<int64_t>(i));
    worst = std::max(worst, std::abs(numbers[i] - exact));
  }
  EXPECT_LT(worst, 1e-6);
}

TEST(NormalFill, AnyRangeGivesTheSameNumbers) {
  const std::vector<float> all = normals(1, 2, 0, 2000);
  for (const int64_t first : {0, 1, 2, 3, 4, 255, 256, 257, 1000}) {
    for (const size_t count : {0, 1, 2, 3, 5, 255, 256, 257, 900}) {
      const std::vector<float> part = normals(1, 2, first, count);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first)) << first << count;
    }
  }
}

// Models are named by their seed, so these bits may not change.
TEST(NormalFill, KnownAnswers) {
  const std::vector<float> numbers = normals(1, 0, 0, 1 << 20);
  uint64_t hash = 14695981039346656037u;  // FNV-1a over words
  for (const float x : numbers) hash = (hash ^ std::bit_cast<uint32_t>(x)) * 1099511628211u;
  EXPECT_EQ(hash, 5533248892369251672u);
}

TEST(NormalFill, IsStandardNormal) {
#ifdef LOOPLM_SANITIZED
  const size_t count = 1 << 18;
#else
  const size_t count = 1 << 20;
#endif
  std::vector<float> numbers = normals(42, 7, 0, count);
  double sum = 0;
  double squares = 0;
  double fourths = 0;
  double neighbours = 0;
  for (size_t i = 0; i < count; ++i) {
    const double x = numbers[i];
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
    neighbours += x * numbers[(i + 1) % count];
  }
  const double n = static_cast<double>(count);
  // Five standard errors of each moment.
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourths / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(neighbours / n, 0, 5 / std::sqrt(n));
  // Kolmogorov-Smirnov: the distance exceeds 2.2 / sqrt(n) once in 8000 seeds.
  std::sort(numbers.begin(), numbers.end());
  double distance = 0;
  for (size_t i = 0; i < count; ++i) {
    const double cdf = 0.5 * std::erfc(-numbers[i] / std::numbers::sqrt2);
    distance = std::max(distance, std::abs(cdf - (static_cast<double>(i) + 0.5) / n));
  }
  EXPECT_LT(distance, 2.2 / std::sqrt(n));
}

TEST(NormalFill, SeedsAndStreamsDiffer) {
  EXPECT_NE(normals(1, 0, 0, 8), normals(2, 0, 0, 8));
  EXPECT_NE(normals(1, 0, 0, 8), normals(1, 1, 0, 8));
  EXPECT_NE(normals(1, 0, 0, 8), normals(uint64_t{1} << 32 | 1, 0, 0, 8));
}

}  // namespace
}  // namespace looplm
