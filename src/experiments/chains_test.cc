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
    return d.size() == 1 ? 0 : 1 + hops(d[0]);
  }
  int value(char name) const {
    const std::string& d = definition_.at(name);
    if (d.size() == 1) return d[0] - '0';
    const int digit = d[2] - '0';
    const int left = value(d[0]);
    if (d[1] == '+') return (left + digit) % 10;
    if (d[1] == '-') return (left + 10 - digit) % 10;
    return left * digit % 10;
  }

 private:
  std::map<char, std::string> definition_;
  char asked_ = 0;
};

TEST(Chains, AnswersAndHopsAreWhatAReaderOfTheTextFinds) {
  ChainOptions options;
  options.all_queries = true;
  std::map<int, int> seen;
  for (uint64_t i = 0; i < 2000; ++i) {
    const ChainExample e = chain_example(options, i);
    const Reader reader(e.prompt);
    EXPECT_EQ(reader.hops(reader.asked()), e.hops) << e.prompt;
    // "4;b=7;q=3": the asked name's value, then each name with fewer hops.
    std::istringstream in(fmt::format("{}={}", reader.asked(), e.completion));
    int hops = e.hops;
    for (std::string answer; std::getline(in, answer, ';'); --hops) {
      ASSERT_EQ(answer.size(), 3u) << e.completion;
      EXPECT_EQ(reader.hops(answer[0]), hops) << e.prompt << e.completion;
      EXPECT_EQ(reader.value(answer[0]), answer[2] - '0') << e.prompt << e.completion;
    }
    EXPECT_EQ(hops, -1);
    EXPECT_LE(reader.statements(), static_cast<size_t>(e.hops + 1 + options.max_distractors));
    ++seen[e.hops];
  }
  ASSERT_EQ(seen.size(), 7u);
  for (const auto& [hops, count] : seen) EXPECT_NEAR(count, 2000 / 7, 85) << hops;  // 5 sigma
}

TEST(Chains, SplitsShareNoPromptAndHoldOutASixteenth) {
  ChainOptions options;
  options.max_hops = 1;  // few prompts, so that an overlap would show
  options.max_distractors = 0;
  std::set<std::string> train;
  for (uint64_t i = 0; i < 3000; ++i) train.insert(chain_example(options, i).prompt);
  options.split = ChainSplit::kHeldOut;
  std::set<std::string> held_out;
  for (uint64_t i = 0; i < 3000; ++i) held_out.insert(chain_example(options, i).prompt);
  for (const std::string& prompt : held_out) EXPECT_FALSE(train.contains(prompt)) << prompt;
  EXPECT_GT(held_out.size(), 100u);

  int out = 0;
  for (int i = 0; i < 16000; ++i) out += chain_split(fmt::format("x{}", i)) == ChainSplit::kHeldOut;
  EXPECT_NEAR(out, 1000, 150);
}

TEST(Chains, AnExampleDependsOnSeedAndIndexAlone) {
  ChainOptions options;
  const ChainExample e = chain_example(options, 7);
  EXPECT_EQ(chain_example(options, 7).prompt, e.prompt);
  EXPECT_NE(chain_example(options, 8).prompt, e.prompt);
  options.seed = 2;
  EXPECT_NE(chain_example(options, 7).prompt, e.prompt);
}

TEST(Chains, RangesAreChecked) {
  ChainOptions options;
  EXPECT_TRUE(check(options).ok());
  options.min_hops = 7;
  EXPECT_THAT(check(options).message(), testing::HasSubstr("7..6"));
  options = {.max_hops = 20, .max_distractors = 6};
  EXPECT_THAT(check(options).message(), testing::HasSubstr("27 names"));
  options = {.max_distractors = -1};
  EXPECT_THAT(check(options).message(), testing::HasSubstr("-1"));
}

}  // namespace
}  // namespace looplm
