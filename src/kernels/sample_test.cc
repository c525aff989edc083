// The rule itself is held by the op cases; here are the parts that they do not reach.
#include "kernels/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"

namespace looplm {
namespace {

class SampleTest : public testing::TestWithParam<Isa> {
 protected:
  int32_t choose(const std::vector<float>& logits, SampleRow row) {
    LogitSummary summary;
    const auto vocabulary = static_cast<int64_t>(logits.size());
    logit_summary({logits.data(), 1, vocabulary, &summary}, device_);
    row.logits = logits.data();
    row.summary = &summary;
    sample({&row, 1}, vocabulary, device_);
    return row.token;
  }

  Device device_{2, *cpu::kernel_table(GetParam())};
};

std::vector<float> random_logits(size_t count, uint64_t seed, float spread = 2) {
  Rng rng(seed);
  std::vector<float> logits(count);
  for (float& x : logits) x = spread * rng.normal();
  return logits;
}

int32_t best_of(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

SampleRow row_of(SampleRule rule) {
  SampleRow row;
  row.rule = rule;
  return row;
}

TEST_P(SampleTest, AnyTemperatureHasItsLimit) {
  const std::vector<float> logits = random_logits(1000, 3);
  std::vector<int64_t> seen;
  for (double tiny : {5e-324, 1e-300, 1e-45, 1e-40, 1e-39, 1e-38, 1e-30, 1e-9}) {
    for (const SampleRule& rule : {SampleRule{tiny},
                                   {tiny, 20},
                                   {tiny, 0, 0.9},
                                   {tiny, 20, 0.9, 0.1},
                                   {tiny, 0, 1, 1e-300}}) {
      EXPECT_EQ(choose(logits, row_of(rule)), best_of(logits)) << tiny;
    }
  }
  for (double huge : {1e9, 1e38, 1e40, 1e300, std::numeric_limits<double>::max()}) {
    double mean = 0;
    for (int64_t position = 0; position < 300; ++position) {
      SampleRow row = row_of({huge});
      row.position = position;
      mean += choose(logits, row) / 300.0;
    }
    EXPECT_NEAR(mean, 499.5, 80) << huge;  // uniform: deviation of the mean 17
    // Equally likely, but still ranked by their logits.
    EXPECT_EQ(choose(logits, row_of({huge, 1})), best_of(logits)) << huge;
    EXPECT_EQ(choose(logits, row_of({huge, 0, 1e-300})), best_of(logits)) << huge;
    EXPECT_EQ(choose(logits, row_of({huge, 0, 0.0005})), best_of(logits)) << huge;
  }
}

TEST_P(SampleTest, AnyMinPAndTopPHaveTheirLimits) {
  const std::vector<float> logits = random_logits(300, 5);
  for (double temperature : {0.3, 1.0, 1e300}) {
    SampleRow plain = row_of({temperature});
    for (plain.position = 0; plain.position < 50; ++plain.position) {
      const int32_t expected = choose(logits, plain);
      for (double tiny : {5e-324, 1e-310, 1e-300}) {
        SampleRow row = plain;
        row.rule.min_p = tiny;
        EXPECT_EQ(choose(logits, row), expected);
        row.rule.min_p = 0;
        row.rule.top_p = tiny;
        EXPECT_EQ(choose(logits, row), best_of(logits));
        row.rule.top_p = 1 - 1e-16;
        EXPECT_EQ(choose(logits, row), expected);
      }
      SampleRow row = plain;
      row.rule.min_p = 1;
      if (temperature < 1e300) {
        EXPECT_EQ(choose(logits, row), best_of(logits));
      }
    }
  }
}

// Top-p keeps the lowest ids of equal tokens, and just enough of them.
TEST_P(SampleTest, OfEqualTokensTheLowestIdsAreKept) {
  for (size_t vocabulary : {10u, 5000u}) {
    const std::vector<float> logits(vocabulary, 0.25f);
    const auto half = static_cast<int32_t>(vocabulary / 2);
    for (const SampleRule& rule : {SampleRule{1, half}, {1, 0, 0.5}, {1, 0, 0.5, 0.9}}) {
      int32_t most = 0;
      for (int64_t position = 0; position < 400; ++position) {
        SampleRow row = row_of(rule);
        row.position = position;
        most = std::max(most, choose(logits, row));
      }
      EXPECT_LT(most, half);
      EXPECT_GT(most, half - std::max(2, half / 20));
    }
  }
}

TEST_P(SampleTest, OverridesStandForTheLogits) {
  std::vector<float> logits = random_logits(3000, 7, 0.5f);
  const std::vector<LogitOverride> overrides = {{5, 1.5}, {2999, -INFINITY}, {77, -3}, {1024, 2.5}};
  std::vector<float> replaced = logits;
  for (const LogitOverride& o : overrides)
    replaced[static_cast<size_t>(o.token)] = static_cast<float>(o.logit);
  replaced[2999] = -1e30f;
  int differ = 0;
  for (const SampleRule& rule : {SampleRule{0}, {1}, {1, 30}, {1, 0, 0.4}, {1, 0, 1, 0.2}}) {
    for (int64_t position = 0; position < 60; ++position) {
      SampleRow row = row_of(rule);
      row.position = position;
      const int32_t plain = choose(logits, row), expected = choose(replaced, row);
      row.overrides = overrides;
      EXPECT_EQ(choose(logits, row), expected);
      differ += plain != expected;
    }
  }
  EXPECT_GT(differ, 60);
}

// Two forced tokens keep their difference, though fp32 has none of it left at this size.
TEST_P(SampleTest, LargeOverridesKeepTheirDifferences) {
  const std::vector<float> logits(50, 0.0f);
  const std::vector<LogitOverride> forced = {{3, 1e9 + 1}, {8, 1e9 + 2.5}};
  SampleRow row = row_of({0});
  row.overrides = forced;
  EXPECT_EQ(choose(logits, row), 8);
  row.rule.temperature = 1;
  int eights = 0;
  for (row.position = 0; row.position < 2000; ++row.position) {
    const int32_t token = choose(logits, row);
    ASSERT_TRUE(token == 3 || token == 8);
    eights += token == 8;
  }
  EXPECT_NEAR(eights / 2000.0, 1 / (1 + std::exp(-1.5)), 0.03);
}

TEST_P(SampleTest, OnlyAllowedTokensAreChosen) {
  const std::vector<float> logits = random_logits(200, 9);
  std::vector<uint32_t> allowed(7);
  std::vector<int32_t> some = {31, 32, 64, 150, 199};
  for (int32_t token : some) allowed[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
  const int32_t best = *std::max_element(some.begin(), some.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] < logits[static_cast<size_t>(b)];
  });
  // An override does not allow what is forbidden.
  const std::vector<LogitOverride> overrides = {{0, INFINITY}, {33, 100}};
  for (const SampleRule& rule :
       {SampleRule{0}, {1e-30}, {1}, {5, 3}, {5, 0, 0.9}, {9, 0, 1, 0.01}}) {
    SampleRow row = row_of(rule);
    row.allowed = allowed;
    row.overrides = overrides;
    for (row.position = 0; row.position < 50; ++row.position) {
      const int32_t token = choose(logits, row);
      EXPECT_TRUE(std::count(some.begin(), some.end(), token) == 1) << token;
      if (rule.temperature < 1) {
        EXPECT_EQ(token, best);
      }
    }
  }
  SampleRow row = row_of({1});
  allowed.assign(7, 0);
  row.allowed = allowed;
  EXPECT_EQ(choose(logits, row), -1);
  row.rule.temperature = 0;
  EXPECT_EQ(choose(logits, row), -1);
}

TEST_P(SampleTest, LogitsThatAreNotNumbersDoNotCrash) {
  for (float broken : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> logits = random_logits(5000, 2);
    logits[17] = broken;
    for (const SampleRule& rule : {SampleRule{0}, {1}, {1, 50}, {1, 4000, 0.5, 0.1}}) {
      const int32_t token = choose(logits, row_of(rule));
      EXPECT_GE(token, 0);
      EXPECT_LT(token, 5000);
    }
  }
}

TEST_P(SampleTest, TheMostLikelyAreFoundAmongManyEquals) {
  Rng rng(1);
  for (int64_t n : {1, 31, 33, 600, 5000}) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& x : values) x = static_cast<float>(rng.below(6));
    std::vector<int32_t> expected(values.size());
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    for (int64_t count : {int64_t{0}, int64_t{1}, n / 40 + 1, n / 2 + 1, n}) {
      const std::vector<int32_t> first(expected.begin(), expected.begin() + count);
      EXPECT_EQ(most_likely(values.data(), n, count, device_.kernels()), first)
          << count << " of " << n;
    }
  }
}

TEST_P(SampleTest, NoiseIsThatOfTheGenerator) {
  std::vector<uint32_t> words(4 * 24);
  const uint64_t key = 0x123456789abcdefull, high = 0xfedcba9876543210ull;
  for (uint64_t first : {uint64_t{0}, uint64_t{0xfffffffa}}) {
    device_.kernels().philox_words(key, high, first, 19, words.data());
    for (uint64_t b = 0; b < 19; ++b) {
      const PhiloxBlock expected = philox(key, high, first + b);
      for (size_t i = 0; i < 4; ++i) EXPECT_EQ(words[4 * b + i], expected[i]) << b;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SampleTest, testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(isa_name(test.param)); });

}  // namespace
}  // namespace looplm
