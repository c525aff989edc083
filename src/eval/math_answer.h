// When two answers in mathematics are the same.
#ifndef LOOPLM_EVAL_MATH_ANSWER_H_
#define LOOPLM_EVAL_MATH_ANSWER_H_

#include <string_view>

namespace looplm {

// Values in whatever form: numbers, radicals, functions, polynomials. Lists and sets in any order,
// tuples, intervals and matrices element by element; "x = 5" and "x \in S" say 5 and S; equations
// but for a factor, inequalities from either side, or as intervals. Units behind a value do not
// count, nor does a percent sign that one answer leaves out. Words are compared as text, small
// letters or not.
bool same_math(std::string_view given, std::string_view right);

// By the first number of each; as same_rounded_number() says. `right` must hold one.
bool same_number(std::string_view given, std::string_view right);
bool has_number(std::string_view text);

}  // namespace looplm

#endif  // LOOPLM_EVAL_MATH_ANSWER_H_
