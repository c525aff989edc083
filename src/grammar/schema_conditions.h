// Conditional keywords of JSON schemas, and the negation of schemas.
#ifndef LOOPLM_GRAMMAR_SCHEMA_CONDITIONS_H_
#define LOOPLM_GRAMMAR_SCHEMA_CONDITIONS_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

struct SchemaCondition {
  OrderedJson when;
  OrderedJson then = true;
  OrderedJson otherwise = true;
};

bool may_have_conditions(const OrderedJson& schema);  // also in its allOf

// Removes and returns the conditions of a schema: if, then and else, and each property of
// dependentRequired, dependentSchemas and the older dependencies.
Result<std::vector<SchemaCondition>> take_conditions(OrderedJson& schema, const std::string& place);

// Schemas of which at least one matches wherever `denied` does not, and none where it does: one per
// keyword, property and name. A keyword that cannot be negated comes back as {"not": {KEYWORD:
// ...}}. `denied` is an object without "$ref".
std::vector<OrderedJson> schemas_of_not(const OrderedJson& denied);

// Prepares a schema for merging with another: an object of any members stays one even if the other
// names some.
OrderedJson opened(const OrderedJson& schema, const OrderedJson& other);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_CONDITIONS_H_
