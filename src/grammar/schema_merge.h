// Schemas that must hold together, as one.
#ifndef LOOPLM_GRAMMAR_SCHEMA_MERGE_H_
#define LOOPLM_GRAMMAR_SCHEMA_MERGE_H_

#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// A schema that allows what both allow. Fails on pairs that cannot be written as one (two patterns,
// two references), naming the keyword.
Result<OrderedJson> merged_schemas(const OrderedJson& a, const OrderedJson& b,
                                   const std::string& place);

// Whether no value matches both: by their types, or by a property that both require with different
// constants.
bool are_disjoint(const OrderedJson& a, const OrderedJson& b);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_MERGE_H_
