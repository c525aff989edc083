#include "eval/answer_text.h"

#include <gmock/gmock.h>

#include "eval/extractor.h"
#include "eval/numbers.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<double> values(std::string_view text) {
  std::vector<double> all;
  for (const FoundNumber& n : numbers_in(text)) all.push_back(n.value);
  return all;
}

TEST(AnswerText, NumbersAsTheyAreWritten) {
  EXPECT_THAT(values("no digit - at $ all."), ElementsAre());
  EXPECT_THAT(values("18"), ElementsAre(18));
  EXPECT_THAT(values("$18.00."), ElementsAre(18));
  EXPECT_THAT(values("It is 1,234,567 dollars, not 1,23."), ElementsAre(1234567, 1, 23));
  EXPECT_THAT(values("1234,567"), ElementsAre(1234, 567));
  EXPECT_THAT(values("12,345,6"), ElementsAre(12345, 6));
  EXPECT_THAT(values("-5, -$5, $-5, \u22125, +5"), ElementsAre(-5, -5, -5, -5, 5));
  EXPECT_THAT(values("5-3 and x-2 and (7)-1"), ElementsAre(5, 3, 2, 7, 1));
  EXPECT_THAT(values("from 3 to -4"), ElementsAre(3, -4));
  EXPECT_THAT(values("\\$3.50, \u20ac4, \u00a35"), ElementsAre(3.5, 4, 5));
  EXPECT_THAT(values(".5 and 0.25 and 3."), ElementsAre(0.5, 0.25, 3));
  EXPECT_THAT(values("1e5 2.5E-3 3em 1e5x"), ElementsAre(1e5, 2.5e-3, 3, 1, 5));
  EXPECT_THAT(values("72%"), ElementsAre(72));
  EXPECT_THAT(values("1.2.3"), ElementsAre(1.2, 0.3));
  EXPECT_THAT(values("99999999999999999999"), ElementsAre(1e20));
  EXPECT_THAT(values("1e999 and 7"), ElementsAre(7));  // no double holds the first
  EXPECT_THAT(values("\\$1{,}234 5\\,000 1,\\!234 {,}5"), ElementsAre(1234, 5000, 1234, 5));
  EXPECT_THAT(values("\u20135 3\u20134"), ElementsAre(-5, 3, 4));
  const std::vector<FoundNumber> one = numbers_in("pays -$1,250.50.");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].begin, 5u);
  EXPECT_EQ(one[0].end, 15u);
}

struct SameCase {
  Comparison comparison;
  const char* given;
  const char* right;
  bool same;
};

TEST(AnswerText, WhatIsTheSame) {
  using enum Comparison;
  const SameCase cases[] = {
      {kExact, " 7 ", "7", true},
      {kExact, "7.", "7", false},
      {kText, "The  Cat.", "the cat", true},
      {kText, "(B)", "B", true},
      {kText, "(B) no", "B", false},
      {kText, "?!", "?!", true},
      {kNumber, "$1,234", "1234", true},
      {kNumber, "18 dollars", "18", true},
      {kNumber, "18.00", "18", true},
      {kNumber, "$18.", "18", true},
      {kNumber, "-18", "18", false},
      {kNumber, "1,234", "1.234", false},
      {kNumber, "3/4", "0.75", true},
      {kNumber, "3 / 4 cups", "0.75", true},
      {kNumber, "75%", "75", true},
      {kNumber, "eighteen", "18", false},
      {kNumber, "none", "None.", true},
      {kNumber, "", "18", false},
      {kNumber, "0.333333", "0.3333333333", false},
      {kNumber, "1000000001", "1000000000", false},
      {kNumber, "9007199254740993", "9007199254740992", false},
      {kNumber, "1.8e1", "18", true},
      {kNumber, "0.0000000001", "0", false},
      {kNumber, "0.00000000010000000001", "0.0000000001", true},
      {kNumber, "1e999", "0", false},
      {kNumber, "\\frac{7}{2}", "7", false},
      {kNumber, "\\frac{7}{2}", "3.5", true},
      {kNumber, "$-\\dfrac72$", "-3.5", true},
      {kNumber, "\\frac{-7}{ 2 }", "-3.5", true},
      {kNumber, "7\\sqrt{3}", "7", false},
      {kNumber, "\\sqrt{7}", "7", false},
      {kNumber, "7\\pi", "7", false},
      {kNumber, "7 1/2", "7", false},
      {kNumber, "7 1/2 cups", "7.5", true},
      {kNumber, "7\\frac{1}{2}", "7.5", true},
      {kNumber, "7\u00d710^3", "7", false},
      {kNumber, "7 \\times 10^{3}", "7000", true},
      {kNumber, "7\\times 8", "7", false},
      {kNumber, "7^2", "7", false},
      {kNumber, "7/2", "7", false},
      {kNumber, "7/2", "3.5", true},
      {kNumber, "7/x", "7", false},
      {kNumber, "1/2/3", "0.5", false},
      {kNumber, "$18/hour", "18", true},
      {kNumber, "1{,}234", "1234", true},
      {kNumber, "1\\,234", "1234", true},
      {kNumber, "- 7", "-7", true},
      {kNumber, "\u20137", "-7", true},
      {kNumber, "$7\\text{ cm}$.", "7", true},
      {kNumber, "90^\\circ", "90", true},
      {kNumber, "\\alpha = 7", "7", true},
      {kNumber, "72\\%", "72", true},
      {kMath, "$7.$", "7", true},
      {kMath, "\\(7.\\)", "7", true},
      {kMath, "7 dollars", "7", true},
      {kMath, "7 square feet", "7", true},
      {kMath, "7 or 8", "7", false},
      {kMath, "7 or more", "7", false},
      {kMath, "7 million", "7", false},
      {kMath, "7 x", "7", false},
      {kMath, "7 cm", "7", true},
      {kMath, "7 cm^2", "7", true},
      {kMath, "7\\text{ cm}^2", "7", true},
      {kMath, "7\\text{ cm}^{3}.", "7", true},
      {kMath, "7\\mathrm{m}/\\mathrm{s}", "7", true},
      {kMath, "7^{\\circ}C", "7", true},
      {kMath, "7\u00b0", "7", true},
      {kMath, "{7}", "7", true},
      {kMath, "\\mathbf{7}", "7", true},
      {kMath, "\\boxed{7}", "7", true},
      {kMath, "1{,}234", "1234", true},
      {kMath, "1\\,234", "1234", true},
      {kMath, "7\\text{ PM}", "7\\text{ AM}", false},
      {kMath, "7 p.m.", "7\\text{ PM}", true},
      {kMath, "7 1/2", "7.5", true},
      {kMath, "7 1/2", "71/2", false},
      {kMath, "033", "33", true},
      {kMath, "x = 5 cm", "5", true},
      {kMath, "a\\leftarrow b", "aarrow b", false},
      {kMath, "x\\text{ or }y", "xory", true},
      {kMath, "\\dfrac{1}{2}", "\\frac12", true},
      {kMath, "1/2", "\\frac{1}{2}", true},
      {kMath, "-\\frac{3}{4}", "-0.75", true},
      {kMath, "0.5", ".5", true},
      {kMath, "$\\left( 3, \\frac{\\pi}{2} \\right)$", "(3,\\frac{\\pi}{2})", true},
      {kMath, "x=5", "5", true},
      {kMath, "10,080", "10080", true},
      {kMath, "(1,2)", "(12)", false},
      {kMath, "90^\\circ", "90", true},
      {kMath, "5\\text{ cm}", "5", true},
      {kMath, "\\text{Evelyn}", "Evelyn", true},
      {kMath, "\\sqrt3", "\\sqrt{3}", true},
      {kMath, "\\$18", "18", true},
      {kMath, "50\\%", "50", true},
      {kMath, "2\\sqrt{3}", "3\\sqrt{2}", false},
      {kMath, "\\frac{1}{0}", "0", false},
      {kMath, "11.0", "11", true},
  };
  for (const SameCase& c : cases) {
    EXPECT_EQ(same_answer(c.comparison, c.given, c.right), c.same)
        << c.given << " and " << c.right << " by rule " << static_cast<int>(c.comparison);
  }
}

TEST(AnswerText, TheLastBox) {
  EXPECT_EQ(last_boxed("no box"), std::nullopt);
  EXPECT_EQ(last_boxed("\\boxed{1} then \\boxed{\\frac{a}{b}}."), "\\frac{a}{b}");
  EXPECT_EQ(last_boxed("$\\boxed 5$"), "5");
  EXPECT_EQ(last_boxed("\\fbox{x}"), "x");
  EXPECT_EQ(last_boxed("\\boxed{open"), std::nullopt);
  EXPECT_EQ(last_boxed("\\boxed{a \\} b}"), "a \\} b");
  // The word alone, an empty box and one that was cut off are no answers.
  EXPECT_EQ(last_boxed("It is \\boxed{7}. I marked it with \\boxed as asked."), "7");
  EXPECT_EQ(last_boxed("\\boxed{7}, which stands in \\boxed{}."), "7");
  EXPECT_EQ(last_boxed("\\boxed{7}, so \\boxed{ }"), "7");
  EXPECT_EQ(last_boxed("\\boxed{7}, and \\boxed{8"), "7");
  EXPECT_EQ(last_boxed("use \\boxed{} or \\boxed"), std::nullopt);
  EXPECT_EQ(last_boxed("\\boxedx{7}"), std::nullopt);
  // Several that belong together.
  EXPECT_EQ(last_boxed("\\boxed{3}, \\boxed{5}, \\boxed{7}"), "3, 5, 7");
  EXPECT_EQ(last_boxed("$\\boxed{3}$ and $\\boxed{5}$."), "3, 5");
  EXPECT_EQ(last_boxed("$x = \\boxed{3}$ or $x = \\boxed{5}$"), "3, 5");
  EXPECT_EQ(last_boxed("\\boxed{3}. No: \\boxed{5}"), "5");
  EXPECT_EQ(last_boxed("\\boxed{3} \\boxed{5}"), "5");
}

std::string find(const Extractor& extractor, const std::string& text) {
  return extractor.find(text).value().value_or("(none)");
}

TEST(Extractor, StrictAndFlexible) {
  const Extractor strict = Extractor::pattern("#### *(.+)$", Take::kFirst).value();
  const Extractor flexible = Extractor::number(Take::kLast);
  const std::string clean = "2 + 2 is 4.\n#### $4,000 dollars\n\nQuestion: 7?";
  EXPECT_EQ(find(strict, clean), "$4,000 dollars");
  EXPECT_TRUE(same_answer(Comparison::kNumber, find(strict, clean), "4000"));
  EXPECT_EQ(find(flexible, "They pay $3.50, so -$1,200.75."), "-$1,200.75");
  EXPECT_EQ(find(strict, "The answer is 4."), "(none)");
  EXPECT_EQ(find(flexible, "The answer is 4."), "4");
  EXPECT_EQ(find(flexible, "no idea"), "(none)");
  EXPECT_EQ(find(Extractor(), "  all of it \n"), "all of it");
  EXPECT_EQ(find(Extractor::boxed(), "so \\boxed{7}"), "7");
  const Extractor either =
      Extractor::first_of({Extractor::boxed(), Extractor::number(Take::kLast)});
  EXPECT_EQ(find(either, "so \\boxed{7}, not 8"), "7");
  EXPECT_EQ(find(either, "7, not 8"), "8");
  EXPECT_EQ(find(either, "neither"), "(none)");
}

TEST(Extractor, PatternsTakeTheFirstGroupThatMatched) {
  const auto with = [](const char* pattern, Take take) {
    return Extractor::pattern(pattern, take).value();
  };
  EXPECT_EQ(find(with("answer is (?:\\(([A-J])\\)|([A-J])\\b)", Take::kLast),
                 "the answer is (B). No, the answer is C."),
            "C");
  EXPECT_EQ(find(with("[0-9]+", Take::kFirst), "a 12 b 34"), "12");
  EXPECT_EQ(find(with("[0-9]+", Take::kLast), "a 12 b 34"), "34");
  EXPECT_EQ(find(with("x*", Take::kLast), "a\u00e9x"), "");  // empty matches end
  EXPECT_THAT(Extractor::pattern("(", Take::kFirst).status().message(), HasSubstr("'('"));
}

}  // namespace
}  // namespace looplm
