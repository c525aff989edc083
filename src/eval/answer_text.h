// Answers as models and data sets write them, and when two of them are the same.
#ifndef LOOPLM_EVAL_ANSWER_TEXT_H_
#define LOOPLM_EVAL_ANSWER_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace looplm {

// The contents of the last \boxed{...} or \fbox{...}, brackets balanced; "\boxed 5" too. Boxes
// that are empty or open, and the bare word, are passed over. Boxes with nothing but commas, "and"
// and "or" between are one answer, with commas between its parts.
std::optional<std::string> last_boxed(std::string_view text);

// Lower case, spaces as one, without punctuation at the ends.
std::string normal_text(std::string_view text);

enum class Comparison {
  kExact,   // but for spaces at the ends
  kText,    // normal_text()
  kNumber,  // same_number(); as text where the right answer holds no number
  kMath,    // same_math()
};
bool same_answer(Comparison comparison, std::string_view given, std::string_view right);

}  // namespace looplm

#endif  // LOOPLM_EVAL_ANSWER_TEXT_H_
