#include "eval/arithmetic.h"

#include <map>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace looplm {
namespace {

// The answer for every digit in place of the text before `from`, reading the text alone.
int answer(const std::string& prompt, int start, size_t from) {
  int64_t value = start;
  for (size_t i = from; prompt[i] != '='; i += 2) {
    const int right = prompt[i + 1] - '0';
    if (prompt[i] == '+') value += right;
    if (prompt[i] == '-') value -= right;
    if (prompt[i] == '*') value *= right;
    value = (value % 10 + 10) % 10;
  }
  return static_cast<int>(value);
}

TEST(Arithmetic, AnswersAreWhatAReaderOfTheTextFinds) {
  std::map<int, int> seen;
  for (uint64_t i = 0; i < 4000; ++i) {
    const ArithmeticExample e = arithmetic_example({}, i);
    ASSERT_EQ(e.prompt.size(), static_cast<size_t>(2 * e.operations + 2)) << e.prompt;
    EXPECT_EQ(e.completion, std::to_string(answer(e.prompt, e.prompt[0] - '0', 1))) << e.prompt;
    ++seen[e.operations];
    // Whatever comes before the steps that are needed, the answer is the same.
    if (e.steps_needed == e.operations) continue;
    const auto from = static_cast<size_t>(2 * (e.operations - e.steps_needed) + 1);
    for (int start = 0; start < 10; ++start) {
      EXPECT_EQ(e.completion, std::to_string(answer(e.prompt, start, from))) << e.prompt;
    }
  }
  ASSERT_EQ(seen.size(), 8u);
  for (const auto& [operations, count] : seen) EXPECT_NEAR(count, 500, 105) << operations;
}

TEST(Arithmetic, ASmallerModulusKeepsSmallerDigits) {
  ArithmeticOptions options;
  options.modulus = 5;
  std::set<char> seen;
  for (uint64_t i = 0; i < 500; ++i) {
    const ArithmeticExample e = arithmetic_example(options, i);
    int value = e.prompt[0] - '0';
    for (size_t at = 1; e.prompt[at] != '='; at += 2) {
      ASSERT_LT(e.prompt[at + 1], '5');
      const int right = e.prompt[at + 1] - '0';
      value = e.prompt[at] == '+'   ? (value + right) % 5
              : e.prompt[at] == '-' ? (value + 5 - right) % 5
                                    : value * right % 5;
    }
    EXPECT_EQ(e.completion, std::to_string(value));
    EXPECT_EQ(arithmetic_value(e.prompt, 5), value);
    seen.insert(e.completion[0]);
  }
  EXPECT_EQ(seen.size(), 5u);
}

TEST(Arithmetic, SplitsShareNoPromptAndHoldOutASixteenth) {
  ArithmeticOptions options;
  options.max_operations = 2;  // few prompts, so that an overlap would show
  std::set<std::string> train;
  for (uint64_t i = 0; i < 5000; ++i) train.insert(arithmetic_example(options, i).prompt);
  options.split = ArithmeticSplit::kHeldOut;
  std::set<std::string> held_out;
  for (uint64_t i = 0; i < 5000; ++i) held_out.insert(arithmetic_example(options, i).prompt);
  for (const std::string& prompt : held_out) EXPECT_FALSE(train.contains(prompt)) << prompt;
  EXPECT_GT(held_out.size(), 100u);

  int out = 0;
  for (int i = 0; i < 16000; ++i) {
    out += arithmetic_split(fmt::format("x{}", i)) == ArithmeticSplit::kHeldOut;
  }
  EXPECT_NEAR(out, 1000, 150);
}

TEST(Arithmetic, AnExampleDependsOnSeedAndIndexAlone) {
  ArithmeticOptions options;
  const std::string first = arithmetic_example(options, 7).prompt;
  EXPECT_EQ(arithmetic_example(options, 7).prompt, first);
  EXPECT_NE(arithmetic_example(options, 8).prompt, first);
  options.seed = 2;
  EXPECT_NE(arithmetic_example(options, 7).prompt, first);
}

TEST(Arithmetic, RangesAreChecked) {
  EXPECT_TRUE(check(ArithmeticOptions()).ok());
  EXPECT_THAT(check({.min_operations = 9}).message(), testing::HasSubstr("9..8"));
  EXPECT_THAT(check({.min_operations = 0}).message(), testing::HasSubstr("0..8"));
  EXPECT_THAT(check({.max_operations = 1001}).message(), testing::HasSubstr("1..1001"));
  EXPECT_THAT(check({.modulus = 11}).message(), testing::HasSubstr("modulus is 11"));
}

}  // namespace
}  // namespace looplm
