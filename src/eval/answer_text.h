// Answers as models and data sets write them, and when two of them are the same.
#ifndef LOOPLM_EVAL_ANSWER_TEXT_H_
#define LOOPLM_EVAL_ANSWER_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace looplm {

// The contents of the last \boxed{...} or \fbox{...}, brackets balanced.
std::optional<std::string> last_boxed(std::string_view text);

// A short mathematical answer with what does not change its meaning taken away: spaces, "x =",
// units, thousands' commas, and what plain_latex() leaves out; .5 as 0.5.
std::string normal_math(std::string_view text);

// Lower case, spaces as one, without punctuation at the ends.
std::string normal_text(std::string_view text);

enum class Comparison {
  kExact,   // but for spaces at the ends
  kText,    // normal_text()
  kNumber,  // answer_number(); as text where the right answer holds no number
  kMath,    // normal_math(), or both a number or fraction and equal
};
bool same_answer(Comparison comparison, std::string_view given, std::string_view right);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ANSWER_TEXT_H_
