#include "experiments/chains.h"

#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace looplm {
namespace {

// Reads statements as text, knowing nothing of how they were made.
class Reader {
 public:
  explicit Reader(const std::string& prompt) {
    std::istringstream in(prompt);
    for (std::string statement; std::getline(in, statement, ';');) {
      const size_t equals = statement.find('=');
      if (equals + 1 == statement.size()) {
        asked_ = statement[0];
        continue;
      }
      EXPECT_TRUE(definition_.emplace(statement[equals + 1], statement.substr(0, equals)).second)
          << prompt << ": a name is defined twice";
    }
  }
  char asked() const { return asked_; }
  size_t statements() const { return definition_.size(); }
  int hops(char name) const {
    const std::string& d = definition_.at(name);
    return d[0] <= '9' ? 0 : 1 + hops(d[0]);
  }
  int value(char name) const {
    const std::string& d = definition_.at(name);
    if (d.size() == 1) return d[0] <= '9' ? d[0] - '0' : value(d[0]);
    const int digit = d[2] - '0';
    return (value(d[0]) + (d[1] == '+' ? digit : 10 - digit)) % 10;
  }
  char root(char name) const {  // where its chain begins
    const char first = definition_.at(name)[0];
    return first <= '9' ? name : root(first);
  }

 private:
  std::map<char, std::string> definition_;
  char asked_ = 0;
};

TEST(Chains, AnswersAndHopsAreWhatAReaderOfTheTextFinds) {
  ChainOptions options;
  options.ask_all = true;
  std::map<int, int> hops_seen;
  std::map<size_t, int> chains_seen;
  std::map<char, int> digits_seen;
  for (uint64_t i = 0; i < 2000; ++i) {
    const ChainExample e = chain_example(options, i);
    const std::string& text = e.questions[0].prompt;
    const Reader reader(text);
    std::set<char> roots;
    size_t statements = 0;
    for (const ChainQuestion& q : e.questions) {
      const char name = q.prompt[q.prompt.size() - 2];
      if (!roots.empty()) {
        EXPECT_EQ(q.prompt, fmt::format(";{}=", name));
      }
      EXPECT_EQ(reader.hops(name), q.hops) << text;
      EXPECT_EQ(std::to_string(reader.value(name)), q.completion) << text << name;
      EXPECT_TRUE(roots.insert(reader.root(name)).second) << "one chain asked twice";
      statements += static_cast<size_t>(q.hops) + 1;
    }
    EXPECT_EQ(statements, reader.statements()) << "a chain was not asked, or not to its end";
    ++hops_seen[e.questions[0].hops];
    ++chains_seen[roots.size()];
    ++digits_seen[e.questions[0].completion[0]];
  }
  ASSERT_EQ(hops_seen.size(), 5u);
  ASSERT_EQ(chains_seen.size(), 4u);
  ASSERT_EQ(digits_seen.size(), 10u);
  for (const auto& [hops, count] : hops_seen) EXPECT_NEAR(count, 400, 90) << hops;  // 5 sigma
  for (const auto& [chains, count] : chains_seen) EXPECT_NEAR(count, 500, 97) << chains;
  for (const auto& [digit, count] : digits_seen) EXPECT_NEAR(count, 200, 67) << digit;
}

TEST(Chains, OneQuestionHasOneDigitForAnAnswer) {
  const ChainExample e = chain_example({}, 3);
  ASSERT_EQ(e.questions.size(), 1u);
  EXPECT_THAT(e.questions[0].completion, testing::MatchesRegex("[0-9]"));
}

TEST(Chains, SplitsShareNoPromptAndHoldOutASixteenth) {
  ChainOptions options;
  options.max_hops = 1;  // few prompts, so that an overlap would show
  options.max_chains = 1;
  std::set<std::string> train;
  for (uint64_t i = 0; i < 3000; ++i) train.insert(chain_example(options, i).questions[0].prompt);
  options.split = ChainSplit::kHeldOut;
  std::set<std::string> held_out;
  for (uint64_t i = 0; i < 3000; ++i)
    held_out.insert(chain_example(options, i).questions[0].prompt);
  for (const std::string& prompt : held_out) EXPECT_FALSE(train.contains(prompt)) << prompt;
  EXPECT_GT(held_out.size(), 100u);

  int out = 0;
  for (int i = 0; i < 16000; ++i) out += chain_split(fmt::format("x{}", i)) == ChainSplit::kHeldOut;
  EXPECT_NEAR(out, 1000, 150);
}

TEST(Chains, AnExampleDependsOnSeedAndIndexAlone) {
  ChainOptions options;
  const auto prompt = [&](uint64_t index) {
    return chain_example(options, index).questions[0].prompt;
  };
  const std::string first = prompt(7);
  EXPECT_EQ(prompt(7), first);
  EXPECT_NE(prompt(8), first);
  options.seed = 2;
  EXPECT_NE(prompt(7), first);
}

TEST(Chains, RangesAreChecked) {
  ChainOptions options;
  EXPECT_TRUE(check(options).ok());
  options.min_hops = 7;
  EXPECT_THAT(check(options).message(), testing::HasSubstr("7..4"));
  options = {.max_hops = 8, .max_chains = 3};
  EXPECT_THAT(check(options).message(), testing::HasSubstr("27 names"));
  options = {.max_chains = 0};
  EXPECT_THAT(check(options).message(), testing::HasSubstr("0 chains"));
}

}  // namespace
}  // namespace looplm
