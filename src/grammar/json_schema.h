// JSON Schema (2020-12 and draft-07) as a grammar: every text that matches is JSON that the schema
// allows.
//
// Obeyed: type (also lists), enum, const, properties, required, additionalProperties, items,
// prefixItems, minItems, maxItems, minLength, maxLength, pattern, format, minimum, maximum and
// their exclusive forms, anyOf, allOf, oneOf where its branches cannot both match, $ref inside the
// document with recursion. contains, if/then/else and what properties ask of others, where their
// "not" can be written (schema_conditions.h). Annotations (title, description, default, ...) are
// ignored. Every other keyword that would constrain is refused by name: a constraint is obeyed or
// refused, never dropped.
//
// The texts are fewer than the schema allows where that costs nothing: properties come in the
// schema's order, and an object with "properties" has no others unless "additionalProperties" is
// true or a schema.
#ifndef LOOPLM_GRAMMAR_JSON_SCHEMA_H_
#define LOOPLM_GRAMMAR_JSON_SCHEMA_H_

#include "looplm/status.h"

#include "base/json.h"
#include "grammar/expression.h"

namespace looplm {

// Errors name the place ("schema.properties.age.minimum"), the value and what was expected.
Result<Grammar> json_schema_grammar(const OrderedJson& schema);

// Any JSON object (response_format json_object).
Grammar json_object_grammar();

// For grammars that hold a JSON value among other text: adds the rules of `schema` to `grammar` and
// returns what stands for the value. `name` begins the places in messages.
Result<ExpressionPtr> add_json_schema(const OrderedJson& schema, const std::string& name,
                                      Grammar& grammar);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_JSON_SCHEMA_H_
