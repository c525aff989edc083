// Texts of an expression that have a given length.
#ifndef LOOPLM_GRAMMAR_TEXT_LENGTH_H_
#define LOOPLM_GRAMMAR_TEXT_LENGTH_H_

#include <cstdint>

#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

// The texts of `e` that have least .. most characters; most may be kUnbounded. Where two parts may
// both grow, each length of the first is an alternative: fails with kUnsupported on more than some
// hundreds, and with kInvalidArgument where no text is left. `e` refers to no rules.
Result<ExpressionPtr> of_length(const ExpressionPtr& e, int64_t least, int64_t most);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_TEXT_LENGTH_H_
