#include "infer/stop_strings.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace looplm {
namespace {

// Begins a piece that is a special token's text.
constexpr char kSpecial = '!';

struct Shown {
  std::string text;
  bool stopped = false;
};

Shown feed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopStrings watch(stops);
  Shown shown;
  for (const std::string& piece : pieces) {
    shown.text += piece.starts_with(kSpecial) ? watch.push_special(piece) : watch.push(piece);
  }
  if (!watch.stopped()) shown.text += watch.finish();
  shown.stopped = watch.stopped();
  return shown;
}

TEST(StopStrings, CutsBeforeTheStopWhereverPiecesEnd) {
  for (const auto& pieces : std::vector<std::vector<std::string>>{{"one END two"},
                                                                  {"one E", "ND two"},
                                                                  {"one ", "E", "N", "D", " two"},
                                                                  {"one", " END"}}) {
    const Shown shown = feed({"END"}, pieces);
    EXPECT_EQ(shown.text, "one ");
    EXPECT_TRUE(shown.stopped);
  }
}

TEST(StopStrings, ShowsTextAsSoonAsItCannotBelongToAStop) {
  StopStrings watch({"END"});
  EXPECT_EQ(watch.push("a E"), "a ");
  EXPECT_EQ(watch.push("N"), "");
  EXPECT_EQ(watch.push("E"), "EN");  // the second E may begin a stop
  EXPECT_EQ(watch.push("x"), "Ex");
  EXPECT_EQ(watch.push("EN"), "");
  EXPECT_FALSE(watch.stopped());
  EXPECT_EQ(watch.finish(), "EN");
}

TEST(StopStrings, StopsWithinTheirOwnRepetitions) {
  EXPECT_EQ(feed({"aab"}, {"a", "a", "a", "b"}).text, "a");
  EXPECT_EQ(feed({"abac"}, {"ab", "ab", "ac"}).text, "ab");
}

TEST(StopStrings, TheFirstToBeCompleteCounts) {
  EXPECT_EQ(feed({"late", "soon"}, {"xx soon late"}).text, "xx ");
  EXPECT_EQ(feed({"soon", "late"}, {"xx late soon"}).text, "xx ");
  EXPECT_EQ(feed({"bc", "abcd"}, {"abcd"}).text, "a");  // "bc" ends first
  EXPECT_EQ(feed({"c", "abc"}, {"xabc"}).text, "x");    // end together: the longest
}

TEST(StopStrings, NothingComesAfterAStop) {
  StopStrings watch({"\n"});
  EXPECT_EQ(watch.push("a\nb"), "a");
  EXPECT_EQ(watch.push("c"), "");
  EXPECT_EQ(watch.finish(), "");
}

TEST(StopStrings, EmptyStopsAreIgnored) {
  const Shown shown = feed({"", ""}, {"a", "b"});
  EXPECT_EQ(shown.text, "ab");
  EXPECT_FALSE(shown.stopped);
}

TEST(StopStrings, HoldSpecialTokensThoughTheyAreNotShown) {
  Shown shown = feed({"!end\n"}, {"one", "!end", "two", "!end", "\n", "three"});
  EXPECT_EQ(shown.text, "onetwo");
  EXPECT_TRUE(shown.stopped);
  shown = feed({"two!end"}, {"one", " two", "!end", "three"});
  EXPECT_EQ(shown.text, "one ");
  EXPECT_TRUE(shown.stopped);
  EXPECT_TRUE(feed({"!a!b"}, {"x", "!a", "!b"}).stopped);
  EXPECT_TRUE(feed({"!end"}, {"x", "!end"}).stopped);
  EXPECT_FALSE(feed({"!end\n"}, {"one", "!end", "\t"}).stopped);
  // Held back until it is clear that no stop string comes.
  StopStrings watch({"a!end\n"});
  EXPECT_EQ(watch.push("a"), "");
  EXPECT_EQ(watch.push_special("!end"), "");
  EXPECT_EQ(watch.push("b"), "ab");
}

TEST(StopStrings, DoNotCutSpecialTokens) {
  // Text that happens to stand in a special token's name stops nothing.
  for (const char* stop : {"end", "n", "!e", "nd\n"}) {
    const Shown shown = feed({stop}, {"o", "!end", "\n", "e"});
    EXPECT_EQ(shown.text, "o\ne") << stop;
    EXPECT_FALSE(shown.stopped) << stop;
  }
  EXPECT_EQ(feed({"end"}, {"!end", "x end"}).text, "x ");
}

TEST(StopStrings, WhatIsReadAsOneTextStopsAcrossSpecialTokens) {
  for (const auto& pieces : std::vector<std::vector<std::string>>{
           {"one E", "!end", "ND two"}, {"one ", "E", "!a", "!b", "N", "!a", "D"}}) {
    const Shown shown = feed({"END"}, pieces);
    EXPECT_EQ(shown.text, "one ");
    EXPECT_TRUE(shown.stopped);
  }
  const Shown shown = feed({"END", "D!b"}, {"xE", "!a", "N", "D", "!b"});
  EXPECT_EQ(shown.text, "x");
  StopStrings watch({"END"});
  EXPECT_EQ(watch.push("x E"), "x ");
  EXPECT_EQ(watch.push_special("!end"), "");
  EXPECT_EQ(watch.push("y"), "Ey");
}

// The law: however the text is divided, the same text is shown.
TEST(StopStrings, AnyDivisionGivesTheSameCut) {
  Rng rng(5);
  int stopped = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint32_t i = 0, n = rng.below(14); i < n; ++i) {
      text += static_cast<char>('a' + static_cast<int>(rng.below(3)));
    }
    std::vector<std::string> stops(1 + rng.below(3));
    for (std::string& stop : stops) {
      for (uint32_t i = 0, n = 1 + rng.below(4); i < n; ++i) {
        stop += static_cast<char>('a' + static_cast<int>(rng.below(3)));
      }
    }
    const Shown whole = feed(stops, {text});
    stopped += whole.stopped;
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + rng.below(4);
      pieces.push_back(text.substr(at, n));
      if (rng.below(3) == 0) pieces.push_back("!");  // not shown
      at += n;
    }
    const Shown parts = feed(stops, pieces);
    ASSERT_EQ(parts.text, whole.text) << text << " with " << stops[0];
    ASSERT_EQ(parts.stopped, whole.stopped);
    for (const std::string& stop : stops) {
      ASSERT_EQ(whole.text.find(stop), std::string::npos);
    }
    if (!whole.stopped) {
      ASSERT_EQ(whole.text, text);
    }
  }
  EXPECT_GT(stopped, 500);
}

// In any division, and with tags that are special tokens.
TEST(StopStrings, DoNotCountInReasoning) {
  const std::string text = " <think>one\n\ntwo</think>three\n\nfour";
  for (size_t first = 0; first < text.size(); ++first) {
    for (size_t second = first; second < text.size(); ++second) {
      StopStrings watch({"\n\n", "t"}, {"<think>", "</think>"});
      std::string shown = watch.push(text.substr(0, first));
      shown += watch.push(text.substr(first, second - first));
      shown += watch.push(text.substr(second));
      EXPECT_TRUE(watch.stopped());
      EXPECT_EQ(shown, " <think>one\n\ntwo</think>");
    }
  }
  StopStrings special({"two", "\n"}, {"<think>", "</think>"});
  EXPECT_EQ(special.push_special("<think>"), "");
  EXPECT_EQ(special.push("one\ntwo"), "one\ntwo");
  EXPECT_EQ(special.push_special("</think>"), "");
  EXPECT_EQ(special.push("th\nree"), "th");
  EXPECT_TRUE(special.stopped());
  StopStrings begun({"two"}, {"<think>", "</think>", true});
  EXPECT_EQ(begun.push("two </"), "two ");
  EXPECT_EQ(begun.push("b>two</think>a two"), "</b>two</think>a ");
  EXPECT_TRUE(begun.stopped());
  StopStrings none({"<thin"}, {"<think>", "</think>"});
  EXPECT_EQ(none.push("<thing"), "");
  EXPECT_TRUE(none.stopped());
  StopStrings unfinished({"k"}, {"<think>", "</think>"});
  EXPECT_EQ(unfinished.push("<thin") + unfinished.finish(), "<thin");
  StopStrings cut({"<"}, {"<think>", "</think>"});
  EXPECT_EQ(cut.push(" <") + cut.finish(), " ");
  EXPECT_TRUE(cut.stopped());
}

}  // namespace
}  // namespace looplm
