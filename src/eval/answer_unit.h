// Units behind an answer.
#ifndef LOOPLM_EVAL_ANSWER_UNIT_H_
#define LOOPLM_EVAL_ANSWER_UNIT_H_

#include <string>

namespace looplm {

// Of what plain_latex() leaves: without a unit behind something else, as \text{ cm}^2, or in words
// behind a number, as "7 square feet". "am" and "pm" are no units and stay, in small letters.
std::string without_unit(std::string text);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ANSWER_UNIT_H_
