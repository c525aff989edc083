// Schemas that must hold together, as one.
#ifndef LOOPLM_GRAMMAR_SCHEMA_MERGE_H_
#define LOOPLM_GRAMMAR_SCHEMA_MERGE_H_

#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// A schema that allows what both allow. Fails on pairs that cannot be written as one (two patterns,
// two references), naming the keyword.
Result<OrderedJson> merged_schemas(const OrderedJson& a, const OrderedJson& b,
                                   const std::string& place);

// Whether a list has a value. The order of an object's members says nothing.
bool lists_value(const std::vector<OrderedJson>& list, const OrderedJson& value);

// What const and enum allow together.
Result<std::vector<OrderedJson>> listed_values(const OrderedJson& schema, const std::string& place);

// `type` is a name or a list of names.
bool is_of_type(const OrderedJson& value, const OrderedJson& type);

// Whether the list, or the one, of types names this one. Integers are numbers, but have a name of
// their own.
bool names_type(const OrderedJson& types, const std::string& type);

// What the keys of an object are: a schema's keywords, or names of schemas, as in "properties".
enum class SchemaKeys { kKeywords, kNames };

// The same of what stands under `key`; none where that is a plain value and holds no schema: const,
// enum, default, examples. The places of a list are keys too.
std::optional<SchemaKeys> keys_inside(SchemaKeys keys, const std::string& key);

// The schema inside `schema` with this $anchor; null where there is none.
const OrderedJson* find_anchor(const OrderedJson& schema, const std::string& name,
                               SchemaKeys keys = SchemaKeys::kKeywords);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_MERGE_H_
