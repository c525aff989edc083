#include "serve/grammar_constraint.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "looplm/tokenizer.h"

#include "grammar/gbnf.h"
#include "serve/chat_constraint.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

class GrammarCacheTest : public testing::Test {
 protected:
  GrammarCacheTest()
      : tokenizer_(Tokenizer::load("models/small").value()),
        vocabulary_(std::make_shared<const VocabularyTrie>(*tokenizer_)) {}

  // Asks for a grammar of this many letters, and counts those that had to be made.
  std::shared_ptr<CompiledGrammar> get(GrammarCache& cache, int letters) {
    const std::string text = "root ::= [a-z]{" + std::to_string(letters) + "}";
    return cache
        .get(text,
             [&] {
               ++made_;
               return parse_gbnf(text);
             })
        .value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const VocabularyTrie> vocabulary_;
  int made_ = 0;
};

TEST_F(GrammarCacheTest, TheLeastRecentlyUsedGoBeyondTheLimitOfMemory) {
  GrammarCache roomy(vocabulary_);
  for (int letters : {2, 3, 2, 3}) GrammarMatcher(get(roomy, letters)).mask();
  EXPECT_EQ(made_, 2);

  const size_t mask = static_cast<size_t>(vocabulary_->vocab_size()) / 8;
  GrammarCache tight(vocabulary_, mask);
  const auto first = get(tight, 2);
  GrammarMatcher matcher(first);
  matcher.mask();
  matcher.mask();  // the first one's memory is known by now
  EXPECT_GT(first->memory(), mask);
  get(tight, 3);
  made_ = 0;
  get(tight, 3);
  EXPECT_EQ(made_, 0);
  EXPECT_NE(get(tight, 2), first);
  EXPECT_EQ(made_, 1);
  EXPECT_FALSE(matcher.must_end());  // who holds it goes on
}

TEST_F(GrammarCacheTest, KeepsACertainNumber) {
  GrammarCache cache(vocabulary_);
  for (int letters = 1; letters <= 64; ++letters) get(cache, letters);
  for (int letters = 1; letters <= 64; ++letters) get(cache, letters);
  EXPECT_EQ(made_, 64);
  get(cache, 65);
  get(cache, 2);
  EXPECT_EQ(made_, 65);
  get(cache, 1);
  EXPECT_EQ(made_, 66);
}

// The masks' states have fewer readings than the text's own.
TEST_F(GrammarCacheTest, ATextOfTooManyReadingsHasNoNextToken) {
  GrammarCache cache(vocabulary_);
  const auto hard =
      cache.get("hard", [] { return parse_gbnf("root ::= (([a-z]{1,1000}){1,1000}){1,1000}"); });
  GrammarConstraint constraint(hard.value(), {0});
  const int32_t letter = tokenizer_->encode("a", {.as = EncodeAs::kContinuation}).value().back();
  std::vector<uint32_t> words((static_cast<size_t>(vocabulary_->vocab_size()) + 31) / 32);
  const auto may_go_on = [&] {
    words.assign(words.size(), ~uint32_t{0});
    constraint.mask(words);
    return (words[static_cast<size_t>(letter) / 32] >> (letter % 32) & 1) != 0;
  };
  int length = 0;
  for (; length < 1'000 && may_go_on(); ++length) constraint.accept(letter);
  EXPECT_LT(length, 1'000);
  EXPECT_TRUE(std::ranges::all_of(words, [](uint32_t word) { return word == 0; }));
  EXPECT_THAT(constraint.why_none(), testing::HasSubstr("too many ways"));
  constraint.forget(2);
  EXPECT_TRUE(may_go_on());
  EXPECT_EQ(constraint.why_none(), "");
}

// The reasoning's end, where the model has fewer tokens than the tokenizer.
TEST(ChatConstraintTest, AForcedTokenThatTheModelHasNotLeavesNone) {
  const auto tokenizer = Tokenizer::load("models/small").value();
  ReasoningBudget budget = ReasoningBudget::create(*tokenizer, {}, true, 0).value();
  const auto forced = static_cast<size_t>(budget.forced().value());
  ChatConstraint constraint(budget, nullptr);
  std::vector<uint32_t> words(forced / 32 + 1, ~uint32_t{0});
  constraint.mask(words);
  EXPECT_EQ(words.back(), uint32_t{1} << (forced % 32));
  words.assign(words.size(), 0xabcdef01u);
  constraint.mask(std::span(words).first(words.size() - 1));
  EXPECT_EQ(words.back(), 0xabcdef01u);  // what lies behind is nobody's
}

}  // namespace
}  // namespace looplm
