#include "infer/loop_odds.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <gtest/gtest.h>

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

constexpr int64_t kAny = LoopOdds::kUnknown;

TEST(LoopOdds, BelieveWhatWasSeenLast) {
  LoopOdds odds;
  EXPECT_GT(odds.chance(1, kAny, 0), odds.chance(1, kAny, 1));
  EXPECT_GT(odds.chance(1, kAny, 1), odds.chance(1, kAny, 2));
  EXPECT_GT(odds.chance(1, kAny, LoopOdds::kRanks - 1), 0) << "nothing is ruled out";
  EXPECT_EQ(odds.chance(1, kAny, LoopOdds::kRanks), 0);
  for (int i = 0; i < 1000; ++i) {
    odds.saw(2, kAny, i % 10 < 7 ? 0 : i % 10 < 9 ? 1 : LoopOdds::kRanks, LoopOdds::kRanks);
  }
  EXPECT_NEAR(odds.chance(2, kAny, 0), 0.7, 0.03);
  EXPECT_NEAR(odds.chance(2, kAny, 1), 0.2, 0.03);
  EXPECT_LT(odds.chance(2, kAny, 2), 0.01);
  EXPECT_EQ(odds.chance(3, kAny, 0), LoopOdds().chance(3, kAny, 0)) << "every loop has its own";
  for (int i = 0; i < 300; ++i) odds.saw(2, kAny, 1, 1);
  EXPECT_LT(odds.chance(2, kAny, 0), 0.1);
  EXPECT_NEAR(odds.chance(2, kAny, 1), 0.2, 0.03) << "a rank that is not known says nothing";
  for (int i = 0; i < 300; ++i) odds.saw(2, kAny, 1, 2);
  EXPECT_GT(odds.chance(2, kAny, 1), 0.9);
}

TEST(LoopOdds, ASureLoopIsRightMoreOften) {
  const int64_t sure = LoopOdds::sureness(0.99), doubtful = LoopOdds::sureness(0.1);
  EXPECT_EQ(LoopOdds::sureness(0), 0);
  EXPECT_EQ(LoopOdds::sureness(1), LoopOdds::kSureness - 1);
  EXPECT_LT(LoopOdds::sureness(0.3), LoopOdds::sureness(0.5));
  LoopOdds odds;
  for (int i = 0; i < 200; ++i) {
    odds.saw(1, sure, 0, 2);
    odds.saw(1, doubtful, i % 2, 2);
  }
  EXPECT_GT(odds.chance(1, sure, 0), 0.95);
  EXPECT_NEAR(odds.chance(1, doubtful, 0), 0.5, 0.05);
  EXPECT_LT(odds.chance(1, sure, 1), 0.05);
  EXPECT_NEAR(odds.chance(1, doubtful, 1), 0.5, 0.05);
  EXPECT_NEAR(odds.chance(1, kAny, 0), 0.75, 0.05) << "however sure it is";
  const int64_t unseen = LoopOdds::sureness(0.5);
  EXPECT_EQ(odds.chance(1, unseen, 0), odds.chance(1, kAny, 0)) << "nothing else is known";
}

// What each loop says of a prompt's last position, read here, is what an engine must have learnt.
TEST(LoopOdds, AnEngineCountsALoopUnderItsOwnSureness) {
  ModelConfig config = small_config();
  config.loops = 4;
  config.initializer_range = 0.6;  // loops of all steps of sureness
  const TempDir directory;
  write_test_checkpoint(directory.path(), random_parameters(config, 3), config);
  const auto model =
      std::move(Model::load(directory.path(), {.threads = 1, .kv = KvType::kF32})).value();
  GenerateOptions options;
  options.max_tokens = 1;
  options.speculate = {CommitKind::kAuto};

  LoopOdds expected;
  int64_t changes = 0;
  PassRunner& runner = *model->parts().runner;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const std::vector<int32_t> prompt = random_ids(5, config.vocab_size, seed);
    ASSERT_OK(generate_on_free_lanes(*model, prompt, options));
    const PromptResult read =
        read_prompt(runner, model->parts().pages, prompt, config.loops, std::ssize(prompt));
    std::vector<int32_t> ranked;  // the loop's best tokens
    int64_t sureness = kAny;
    for (int64_t loop = 0; loop < config.loops; ++loop) {
      const int64_t row = (loop + 1) * std::ssize(prompt) - 1;
      const std::span logits(read.logits.data() + row * config.vocab_size,
                             static_cast<size_t>(config.vocab_size));
      const LogitSummary summary = summarize(logits);
      if (loop > 0) {
        const auto at = std::ranges::find(ranked, summary.best) - ranked.begin();
        expected.saw(loop, sureness, at, std::ssize(ranked));
      }
      const int64_t before = std::exchange(
          sureness, LoopOdds::sureness(std::exp(summary.log_probability(summary.best_logit))));
      changes += loop > 0 && before != sureness;
      ranked.resize(logits.size());
      std::iota(ranked.begin(), ranked.end(), 0);
      const auto better = [&](int32_t a, int32_t b) {
        return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
      };
      std::ranges::partial_sort(ranked, ranked.begin() + LoopOdds::kRanks, better);
      ranked.resize(LoopOdds::kRanks);
    }
  }
  EXPECT_GT(changes, 40) << "else a neighbour's sureness would do as well";
  for (int64_t loop = 1; loop < config.loops; ++loop) {
    for (int64_t sureness = kAny; sureness < LoopOdds::kSureness; ++sureness) {
      for (int64_t rank = 0; rank < LoopOdds::kRanks; ++rank) {
        EXPECT_EQ(model->parts().loop_odds.chance(loop, sureness, rank),
                  expected.chance(loop, sureness, rank))
            << "loop " << loop << ", sureness " << sureness << ", rank " << rank;
      }
    }
  }
}

}  // namespace
}  // namespace looplm
