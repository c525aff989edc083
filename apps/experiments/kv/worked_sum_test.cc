#include "experiments/kv/worked_sum.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

namespace looplm {
namespace {

// Reads the text alone.
int last_digit(const std::string& sum, int64_t modulus = 10) {
  int64_t value = sum[0] - '0';
  for (size_t i = 1; i + 1 < sum.size(); i += 2) {
    const int64_t right = sum[i + 1] - '0';
    if (sum[i] == '+') value += right;
    if (sum[i] == '-') value -= right;
    if (sum[i] == '*') value *= right;
  }
  return static_cast<int>((value % modulus + modulus) % modulus);
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts = {""};
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

TEST(WorkedSum, EveryLineFollowsFromTheOneBefore) {
  for (const int per_line : {1, 2, 3}) {
    WorkedSumOptions o;
    o.operations_per_line = per_line;
    std::map<int, int> seen;
    for (uint64_t i = 0; i < 600; ++i) {
      const WorkedSum sum = worked_sum(o, i);
      const std::vector<std::string> lines = split(sum.work, ';');
      ASSERT_EQ(lines.size(), static_cast<size_t>(sum.lines));
      ++seen[sum.lines];
      std::string operations = sum.prompt.substr(0, 1);
      std::string before = sum.prompt.substr(0, 1);
      for (const std::string& line : lines) {
        ASSERT_EQ(line.size(), static_cast<size_t>(2 * per_line + 3)) << line;
        const std::string question = line.substr(0, line.size() - 2);
        EXPECT_EQ(line.substr(0, 1), before);
        EXPECT_EQ(line[line.size() - 2], '=');
        EXPECT_EQ(line.back(), '0' + last_digit(question)) << line;
        before = line.substr(line.size() - 1);
        operations += question.substr(1);
      }
      EXPECT_EQ(operations + "=", sum.prompt);
      EXPECT_EQ(sum.work.back(), '0' + last_digit(sum.prompt.substr(0, sum.prompt.size() - 1)));
    }
    ASSERT_EQ(seen.size(), 3u);
    for (const auto& [lines, count] : seen) EXPECT_NEAR(count, 200, 50) << lines;
  }
}

TEST(WorkedSum, SplitsShareNoPromptAndIndexAndSeedDecide) {
  WorkedSumOptions o;
  o.max_lines = 2;
  o.operations_per_line = 1;
  std::set<std::string> train;
  for (uint64_t i = 0; i < 3000; ++i) train.insert(worked_sum(o, i).prompt);
  EXPECT_EQ(worked_sum(o, 9).work, worked_sum(o, 9).work);
  EXPECT_NE(worked_sum(o, 9).prompt, worked_sum(o, 10).prompt);
  o.split = ArithmeticSplit::kHeldOut;
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_FALSE(train.contains(worked_sum(o, i).prompt));
}

TEST(WorkedSum, ASmallerModulusHoldsInEveryLine) {
  WorkedSumOptions o;
  o.modulus = 5;
  for (uint64_t i = 0; i < 200; ++i) {
    for (const std::string& line : split(worked_sum(o, i).work, ';')) {
      EXPECT_EQ(line.back(), '0' + last_digit(line.substr(0, line.size() - 2), 5)) << line;
    }
  }
}

TEST(WorkedSum, RangesAreChecked) {
  EXPECT_TRUE(check(WorkedSumOptions()).ok());
  EXPECT_THAT(check({.min_lines = 5}).message(), testing::HasSubstr("5..4 lines"));
  EXPECT_THAT(check({.operations_per_line = 0}).message(), testing::HasSubstr("0 operations"));
  EXPECT_THAT(check({.max_lines = 600}).message(), testing::HasSubstr("1200"));
  EXPECT_THAT(check(WorkedSumOptions{.modulus = 1}).message(), testing::HasSubstr("modulus is 1"));
}

}  // namespace
}  // namespace looplm
