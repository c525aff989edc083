#include "infer/loop_odds.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace looplm
