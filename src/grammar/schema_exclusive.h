// Branches of a oneOf, of which a value may match one alone.
#ifndef LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
#define LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_

#include <span>
#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// kUnsupported unless types, constants and required properties tell that no text of one branch
// matches another; names the first two branches of which they do not. The texts are those that
// looplm writes: where a schema says nothing of other properties they have the listed ones alone,
// which does not hold for what it matches. Branches are without "$ref" at their top, and stand with
// what holds beside the oneOf. The comparisons are bounded.
Status check_exclusive(std::span<const OrderedJson> branches, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
