// Numbers within texts, and the number that an answer gives.
#ifndef LOOPLM_EVAL_ANSWER_NUMBER_H_
#define LOOPLM_EVAL_ANSWER_NUMBER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace looplm {

struct ExactNumber {
  double value = 0;
  std::string whole;  // the digits of a whole number, "-" before them; empty: not known to be one
};

// Whole numbers by their digits, others to a relative 1e-9.
bool same_number(const ExactNumber& a, const ExactNumber& b);

// A number within a text: optional sign and currency mark in either order ("-$5", "$-5"), digits
// with commas between thousands (also "{,}" and "\,"), a decimal point, an exponent. Signs count
// where no letter, digit or closing bracket stands before ("5-3" holds 5 and 3). A point or comma
// that ends a sentence is no part of it. Numbers that no double can hold are left out.
struct FoundNumber {
  double value = 0;
  size_t begin = 0;
  size_t end = 0;
  std::string whole;  // as above
};
std::vector<FoundNumber> numbers_in(std::string_view text);

// The number that an answer gives: its first ("18 dollars", "$1,234.50.", "72%"), or what is made
// of that one: a fraction ("3/4", "\frac{3}{4}"), a mixed number ("7 1/2"), a power of ten
// ("7\times 10^3"). None where there is no digit, and where the number goes on in a way that is not
// understood ("7\pi", "7^2", "7/x", "\sqrt{7}").
std::optional<ExactNumber> answer_number(std::string_view text);

// The same of a text that is nothing but such a number, as plain_latex() leaves it.
std::optional<ExactNumber> whole_number(std::string_view text);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ANSWER_NUMBER_H_
