// Proves that the branches of a oneOf exclude each other.
#ifndef LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
#define LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_

#include <span>
#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// kUnsupported unless types, constants and required properties prove that no text of one branch
// matches another; the error names the first two branches without a proof. "Text" means what looplm
// writes: if a schema says nothing about other properties, its texts have only the listed ones,
// although it matches more. Branches have no "$ref" at their top, and are already merged with what
// stands beside the oneOf. The number of comparisons is bounded.
Status check_exclusive(std::span<const OrderedJson> branches, const std::string& place);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
