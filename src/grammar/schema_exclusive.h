// Branches of a oneOf, of which a value may match one alone.
#ifndef LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
#define LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_

#include <cstddef>
#include <span>
#include <vector>

#include "base/json.h"

namespace looplm {

// For each branch the others that one of its texts might match too, as far as types, constants and
// required properties tell. Its texts are those that looplm writes: where a schema says nothing of
// other properties they have the listed ones alone, which does not hold for what it matches.
std::vector<std::vector<size_t>> branches_matched_too(std::span<const OrderedJson> branches);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_EXCLUSIVE_H_
