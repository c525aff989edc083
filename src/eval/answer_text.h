// Answers as models and data sets write them, and when two of them are the same.
#ifndef LOOPLM_EVAL_ANSWER_TEXT_H_
#define LOOPLM_EVAL_ANSWER_TEXT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace looplm {

// A number within a text: optional sign and currency mark in either order ("-$5", "$-5"), digits
// with commas between thousands, a decimal point, an exponent. Signs count where no letter, digit
// or closing bracket stands before ("5-3" holds 5 and 3). A point or comma that ends a sentence is
// no part of it.
struct FoundNumber {
  double value = 0;
  size_t begin = 0;
  size_t end = 0;
};
std::vector<FoundNumber> numbers_in(std::string_view text);

// The number that an answer gives: its only one, or its first ("18 dollars", "$1,234.50.", "72%"),
// or a fraction of two ("3/4"). None where there is no digit.
std::optional<double> answer_number(std::string_view text);

// The contents of the last \boxed{...} or \fbox{...}, brackets balanced.
std::optional<std::string> last_boxed(std::string_view text);

// A short mathematical answer with what does not change its meaning taken away: spaces, $ and \(,
// \left and \right, \text{...} units, degree and percent signs, thousands' commas; \dfrac as \frac,
// \frac12 as \frac{1}{2}, .5 as 0.5.
std::string normal_math(std::string_view text);

// Lower case, spaces as one, without punctuation at the ends.
std::string normal_text(std::string_view text);

enum class Comparison {
  kExact,   // but for spaces at the ends
  kText,    // normal_text()
  kNumber,  // answer_number(), to a relative 1e-9; as text where the right answer holds no number
  kMath,    // normal_math(), or both a number or fraction and equal
};
bool same_answer(Comparison comparison, std::string_view given, std::string_view right);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ANSWER_TEXT_H_
