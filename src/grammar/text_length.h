// Texts of an expression that have a given length.
#ifndef LOOPLM_GRAMMAR_TEXT_LENGTH_H_
#define LOOPLM_GRAMMAR_TEXT_LENGTH_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

#include "grammar/expression.h"
#include "grammar/overlap.h"

namespace looplm {

// What may become of an expression whose texts of a length are not written down easily.
enum class OtherLengths {
  kAllStay,    // all of these stay; the grammar may need too many states for them
  kSomeMayGo,  // fewer and shorter repetitions are allowed than the length has room for
};

// What the formats and patterns of one schema may still take together.
struct TextBudget {
  int64_t pieces = 200'000;  // of expressions with a length
  OverlapBudget lengths{};   // of formats that are counted beside the text: a whole grammar's
  OverlapBudget readers = {.places = 400'000, .steps = size_t{1} << 26};  // of constants and names
};

// The texts of `e` that have least .. most characters; most may be kUnbounded. Where two parts may
// both grow, each length of the first is an alternative, and beyond some hundreds of these all
// lengths are counted beside the text (overlap.h). Fails with kInvalidArgument where no text is
// left, and with kUnsupported where too many states would be needed, or more than the budget has
// left; `what` names expression and length in errors. `e` refers to no rules.
Result<ExpressionPtr> of_length(const ExpressionPtr& e, int64_t least, int64_t most,
                                OtherLengths others, const std::string& what, TextBudget& budget);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_TEXT_LENGTH_H_
