#include "kernels/logit_summary.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

class LogitSummaryTest : public testing::TestWithParam<Isa> {
 protected:
  LogitSummary summarize(const std::vector<float>& logits, int threads = 2) {
    Device device(threads, *cpu::kernel_table(GetParam()));
    LogitSummary summary;
    logit_summary({logits.data(), 1, static_cast<int64_t>(logits.size()), &summary}, device);
    return summary;
  }
};

TEST_P(LogitSummaryTest, SurvivesLargeLogits) {
  const LogitSummary large = summarize({1e4f, 1e4f, -1e4f}), one = summarize({5.0f});
  EXPECT_NEAR(large.log_sum, 1e4 + std::log(2.0), 1e-9);
  EXPECT_NEAR(large.entropy, std::log(2.0), 1e-9);
  EXPECT_EQ(large.margin(), 0);
  EXPECT_EQ(one.margin(), 1);
  EXPECT_EQ(one.entropy, 0);
  EXPECT_EQ(one.second, -1);
  const LogitSummary banned = summarize({0.0f, -INFINITY});
  EXPECT_EQ(banned.entropy, 0);
  EXPECT_EQ(banned.margin(), 1);
  EXPECT_FALSE(banned.finite);
}

// Places of the best and second best at every distance from the borders of vectors and parts.
TEST_P(LogitSummaryTest, EqualTokensAreRankedByTheirIds) {
  constexpr int64_t kVocabulary = 4096 * 2 + 37;
  const std::vector<int64_t> places = {0,    1,    15,   16,   63,   64,   4094,
                                       4095, 4096, 4097, 8191, 8192, 8207, 8228};
  std::vector<float> logits(kVocabulary, -1.0f);
  for (int64_t a : places) {
    for (int64_t b : places) {
      for (float lead : {0.0f, 1.0f}) {
        logits[static_cast<size_t>(b)] = 2;
        logits[static_cast<size_t>(a)] = 2 + lead;
        const LogitSummary s = summarize(logits);
        const int64_t best = lead > 0 ? a : std::min(a, b);
        const int64_t second = a == b ? (a == 0 ? 1 : 0) : a + b - best;
        EXPECT_EQ(s.best, best) << a << ' ' << b;
        EXPECT_EQ(s.second, second) << a << ' ' << b;
        EXPECT_EQ(s.second_logit, a == b ? -1 : 2);
        logits[static_cast<size_t>(a)] = logits[static_cast<size_t>(b)] = -1;
      }
    }
  }
}

TEST_P(LogitSummaryTest, ALogitThatIsNoNumberIsNoticedWhereverItStands) {
  for (int64_t vocabulary : {1, 5, 40, 4096, 9001}) {
    for (float broken : {NAN, INFINITY, -INFINITY}) {
      for (int64_t at : {int64_t{0}, vocabulary / 2, vocabulary - 1}) {
        std::vector<float> logits(static_cast<size_t>(vocabulary), 0.5f);
        EXPECT_TRUE(summarize(logits).finite);
        logits[static_cast<size_t>(at)] = broken;
        const LogitSummary s = summarize(logits);
        SCOPED_TRACE(testing::Message() << broken << " at " << at << " of " << vocabulary);
        EXPECT_FALSE(s.finite);
        EXPECT_GE(s.best, 0);
        EXPECT_LT(s.best, vocabulary);
        if (broken == -INFINITY && vocabulary > 1) {
          EXPECT_NEAR(s.log_sum, 0.5 + std::log(static_cast<double>(vocabulary - 1)), 1e-5);
        } else {
          EXPECT_FALSE(std::isfinite(s.log_sum));
          EXPECT_TRUE(std::isnan(s.entropy));
          EXPECT_TRUE(std::isnan(s.margin()));
        }
      }
    }
  }
}

// A training loss must not swallow a broken logit either.
TEST_P(LogitSummaryTest, ABrokenLogitMakesABrokenLoss) {
  Device device(1, *cpu::kernel_table(GetParam()));
  const std::vector<float> logits = {1, 2, NAN, 3};
  const int32_t target = 1;
  float nll = 0;
  LogitSummary summary;
  cross_entropy_forward({logits.data(), &target, 1, 4, &nll, &summary}, device);
  EXPECT_TRUE(std::isnan(nll));
}

TEST_P(LogitSummaryTest, RowsAreTheSameAloneInABatchAndOnAnyNumberOfThreads) {
  constexpr int64_t kRows = 70, kVocabulary = 4096 + 333;
  Rng rng(4);
  std::vector<float> logits(kRows * kVocabulary);
  for (float& x : logits) x = 3 * rng.normal();
  std::vector<LogitSummary> together(kRows);
  Device device(3, *cpu::kernel_table(GetParam()));
  logit_summary({logits.data(), kRows, kVocabulary, together.data()}, device);
  for (int64_t r = 0; r < kRows; ++r) {
    const auto first = logits.begin() + r * kVocabulary;
    const LogitSummary alone = summarize({first, first + kVocabulary}, 1);
    const LogitSummary& other = together[static_cast<size_t>(r)];
    EXPECT_EQ(alone.log_sum, other.log_sum);
    EXPECT_EQ(alone.entropy, other.entropy);
    EXPECT_EQ(alone.best, other.best);
    EXPECT_EQ(alone.second, other.second);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, LogitSummaryTest, testing::ValuesIn(available_isas()),
                         [](const auto& test) { return std::string(isa_name(test.param)); });

}  // namespace
}  // namespace looplm
