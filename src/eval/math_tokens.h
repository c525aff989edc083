// Mathematics as LaTeX and people write it, cut into tokens. What does not change its meaning
// makes none: dollar signs, \left and \right, spacing, boxes, bold type and colours, currency
// marks, a point at the end. What is the same has one token: \times, \cdot, × and * are "*".
#ifndef LOOPLM_EVAL_MATH_TOKENS_H_
#define LOOPLM_EVAL_MATH_TOKENS_H_

#include <string>
#include <string_view>
#include <vector>

namespace looplm {

struct MathToken {
  enum class Kind {
    kNumber,   // digits as from_chars reads them; `repeated` digits go on for ever
    kSymbol,   // a letter or the command of one: "x", "\alpha", "\infty", "\mathbb{R}"
    kWord,     // letters in a row that are no function: at least two
    kText,     // \text{...}, without spaces at its ends
    kCommand,  // "frac", "sin", "begin{pmatrix}"
    kOperator  // "+", "<=", "cup", "and", commands without a meaning here ("\cap"); "{" and "}"
               // group, "\{" and "\}" make a set
  };
  Kind kind = Kind::kOperator;
  std::string text;
  std::string repeated{};
  bool space = false;  // before it
};

// `commas`: whether 1,234 is one number, outside brackets.
std::vector<MathToken> math_tokens(std::string_view text, bool commas);

// "am", "P.M." and the like.
bool is_time_of_day(std::string_view text);

// Where the brace that opens at `open` closes; npos where it does not.
size_t closing_brace(std::string_view text, size_t open);

}  // namespace looplm

#endif  // LOOPLM_EVAL_MATH_TOKENS_H_
