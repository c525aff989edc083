// Answers in mathematics as trees.
#ifndef LOOPLM_EVAL_MATH_PARSER_H_
#define LOOPLM_EVAL_MATH_PARSER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/math_tokens.h"

namespace looplm {

struct MathNode {
  enum class Kind {
    kNumber,     // digits as from_chars reads them, in `text`
    kSymbol,     // "x", "x_1", "\pi"
    kSum,        // of the parts
    kProduct,    // of the parts
    kQuotient,   // parts 0 / 1
    kPower,      // parts 0 ^ 1
    kPlusMinus,  // parts 0 +- 1; `text` is "pm" or "mp"
    kFunction,   // `text` of the parts: "sin", "sqrt" (index, x), "log" (base, x), "|", "!", ...
    kPercent,    // part 0 / 100, or part 0 where the other answer has no percent sign
    kBased,      // digits in `text` to the base of part 0
    kMatrix,     // parts are rows, each a kList
    // What has no value of its own.
    kList,      // commas without brackets, in any order
    kSet,       // in any order, once each
    kBracket,   // `text` is "()", "[)", ...: a tuple or an interval
    kUnion,     // of the parts
    kWithout,   // part 0 without the elements of part 1
    kRelation,  // parts with operators between: "=", "~=", "<", "<=", ">", ">=", "!="
    kText,      // words
  };
  Kind kind = Kind::kText;
  std::string text{};
  std::vector<MathNode> parts{};
  std::vector<std::string> operators{};  // of kRelation
  std::string words{};                   // of what a comma can part: as text, in small letters
};

// The whole text. What cannot be read as mathematics, a list's element or all of it, is kText.
MathNode parse_math(const std::vector<MathToken>& tokens);

// The number that begins at a token: what stands in one product, up to a word or a sign that begins
// another. None where it goes on in a way that is not understood ("7/x").
std::optional<MathNode> parse_number(const std::vector<MathToken>& tokens);

}  // namespace looplm

#endif  // LOOPLM_EVAL_MATH_PARSER_H_
