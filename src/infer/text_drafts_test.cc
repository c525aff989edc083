#include "infer/text_drafts.h"

#include <gtest/gtest.h>

namespace looplm {
namespace {

using Ids = std::vector<int32_t>;

TEST(TextDrafts, SuggestWhatFollowedTheSameTokens) {
  TextDrafts drafts;
  drafts.append(Ids{1, 2, 3, 4, 5, 1, 2, 3, 6, 7});
  EXPECT_EQ(drafts.next(Ids{}, 0), std::nullopt);      // 3 6 7 is new
  EXPECT_EQ(drafts.next(Ids{2, 3}, 0), std::nullopt);  // 7 2 3 too
  EXPECT_EQ(drafts.next(Ids{1, 2, 3}, 0), 6);          // the last time
  EXPECT_EQ(drafts.next(Ids{3, 4, 5}, 0), 1);
  EXPECT_EQ(drafts.next(Ids{3, 4, 5, 1}, 1), 2);              // a guess goes on where it came from
  EXPECT_EQ(drafts.next(Ids{3, 4, 5, 1, 2, 3, 6, 7}, 5), 3);  // past the text's end
}

TEST(TextDrafts, ARepetitionGoesOnAsLongAsItIsAsked) {
  TextDrafts drafts;
  drafts.append(Ids{8, 9, 8, 9, 8, 9});
  Ids guesses;
  for (int64_t i = 0; i < 20; ++i) {
    const std::optional<int32_t> next = drafts.next(guesses, i);
    ASSERT_EQ(next, i % 2 == 0 ? 8 : 9);
    guesses.push_back(*next);
  }
}

// Of three guesses in a row, two have become text.
TEST(TextDrafts, AGuessThatIsTextIsNoLongerAGuess) {
  TextDrafts drafts;
  drafts.append(Ids{8, 9, 8, 9, 8, 9, 8, 9});
  const Ids later = {8, -5};
  EXPECT_EQ(drafts.next(std::span(later).first(1), 3), 9);
}

TEST(TextDrafts, ShortTextsSuggestNothing) {
  TextDrafts drafts;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(drafts.next(Ids{}, 0), std::nullopt);
    drafts.append(Ids{4});
  }
  EXPECT_EQ(drafts.next(Ids{}, 0), std::nullopt);
  drafts.append(Ids{4});
  EXPECT_EQ(drafts.next(Ids{}, 0), 4);
}

TEST(TextDrafts, GuessMoreWhereTheyWereRight) {
  TextDrafts drafts;
  EXPECT_EQ(drafts.at_once(), 1);
  EXPECT_FALSE(drafts.trusted());
  for (int i = 0; i < 100; ++i) drafts.was_right();
  EXPECT_EQ(drafts.at_once(), 16);
  EXPECT_TRUE(drafts.trusted());
  EXPECT_GT(drafts.chance(), 0.99);
  drafts.was_wrong();
  EXPECT_LT(drafts.chance(), 0.9);
  EXPECT_EQ(drafts.at_once(), 1);
  EXPECT_FALSE(drafts.trusted());
}

}  // namespace
}  // namespace looplm
