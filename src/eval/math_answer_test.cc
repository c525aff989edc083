#include "eval/math_answer.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/answer_text.h"

namespace looplm {
namespace {

const Json& golden() {
  static const Json json =
      parse_json(read_text_file(LOOPLM_GOLDEN_DIR "/eval/math_answers.json").value(),
                 "math_answers.json")
          .value();
  return json;
}

TEST(MathAnswer, PairsAreThoseOfMathVerify) {
  int same = 0;
  for (const Json& pair : golden().at("pairs")) {
    const auto right = pair.at("right").get<std::string>();
    const auto given = pair.at("given").get<std::string>();
    const bool wanted = pair.at("same").get<bool>();
    EXPECT_EQ(same_math(given, right), wanted) << right << " ~ " << given;
    same += wanted;
  }
  EXPECT_GT(same, 400);
  EXPECT_GT(std::ssize(golden().at("pairs")) - same, 150);
}

TEST(MathAnswer, BoxesOfWholeOutputs) {
  for (const Json& o : golden().at("outputs")) {
    const auto output = o.at("output").get<std::string>();
    const auto right = o.at("right").get<std::string>();
    EXPECT_EQ(same_answer(Comparison::kMath, last_boxed(output).value(), right),
              o.at("same").get<bool>())
        << output << " ~ " << right;
  }
}

// Which of two is right changes little: only who may leave an equation's left side out.
TEST(MathAnswer, IsTheSameFromBothSides) {
  for (const Json& pair : golden().at("pairs")) {
    const auto right = pair.at("right").get<std::string>();
    const auto given = pair.at("given").get<std::string>();
    EXPECT_TRUE(same_math(right, right)) << right;
    if (right.find('=') != std::string::npos || given.find('=') != std::string::npos) continue;
    EXPECT_EQ(same_math(right, given), same_math(given, right)) << right << " ~ " << given;
  }
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(MathAnswer, HostileAnswersEnd) {
  const std::string sums = repeated("x+1,", 400),
                    powers = repeated("9^{", 30) + "9" + repeated("}", 30);
  for (const std::string& text : {repeated("{", 100000),
                                  repeated("(", 1900),
                                  repeated("[1,", 600),
                                  repeated("\\sqrt", 390),
                                  repeated("\\sin", 450),
                                  "n" + repeated("!", 1900),
                                  repeated("1/", 900) + "1",
                                  repeated("2^", 900) + "2",
                                  powers,
                                  std::string("9^{9^{9^9}}"),
                                  std::string("9999999!"),
                                  std::string("\\binom{99999999}{9999999}"),
                                  std::string("1e999999999999999999"),
                                  repeated("9", 1900),
                                  repeated("\\boxed{", 5000),
                                  repeated("|", 1000),
                                  repeated("-", 1900),
                                  repeated("\\{1,", 400) + repeated("\\}", 400),
                                  sums,
                                  repeated("\\pm", 400) + "1",
                                  repeated("\\begin{matrix}", 100),
                                  std::string("\\frac"),
                                  std::string("\\"),
                                  std::string("^_{}"),
                                  std::string("\0\xff\xc3", 3)}) {
    EXPECT_FALSE(same_math(text, "12345")) << text.substr(0, 40);
    EXPECT_FALSE(same_math("12345", text)) << text.substr(0, 40);
    EXPECT_FALSE(same_number(text, "12345")) << text.substr(0, 40);
    EXPECT_TRUE(same_math(text, text)) << text.substr(0, 40);
    same_math(text, text + "+1");
  }
  EXPECT_FALSE(same_math("9^{9^{9^9}}", "9^{9^{9^9}}+1"));
  EXPECT_FALSE(same_math("", "5"));
  EXPECT_FALSE(same_math("5", ""));
}

}  // namespace
}  // namespace looplm
