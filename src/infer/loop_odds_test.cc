#include "infer/loop_odds.h"

#include <gtest/gtest.h>

namespace looplm {
namespace {

TEST(LoopOdds, BelieveWhatWasSeenLast) {
  LoopOdds odds;
  EXPECT_GT(odds.chance(1, 0), odds.chance(1, 1));
  EXPECT_GT(odds.chance(1, 1), odds.chance(1, 2));
  EXPECT_GT(odds.chance(1, 2), 0) << "nothing is ruled out";
  EXPECT_EQ(odds.chance(1, LoopOdds::kRanks), 0);
  for (int i = 0; i < 1000; ++i) {
    odds.saw(2, i % 10 < 7 ? 0 : i % 10 < 9 ? 1 : LoopOdds::kRanks, LoopOdds::kRanks);
  }
  EXPECT_NEAR(odds.chance(2, 0), 0.7, 0.03);
  EXPECT_NEAR(odds.chance(2, 1), 0.2, 0.03);
  EXPECT_LT(odds.chance(2, 2), 0.01);
  EXPECT_EQ(odds.chance(3, 0), LoopOdds().chance(3, 0)) << "every loop has its own";
  for (int i = 0; i < 300; ++i) odds.saw(2, 1, 1);
  EXPECT_LT(odds.chance(2, 0), 0.1);
  EXPECT_NEAR(odds.chance(2, 1), 0.2, 0.03) << "a rank that is not known says nothing";
  for (int i = 0; i < 300; ++i) odds.saw(2, 1, 2);
  EXPECT_GT(odds.chance(2, 1), 0.9);
}

}  // namespace
}  // namespace looplm
