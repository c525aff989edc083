// What JSON schemas say of strings, numbers and constants, and how they count.
#ifndef LOOPLM_GRAMMAR_SCHEMA_SCALARS_H_
#define LOOPLM_GRAMMAR_SCHEMA_SCALARS_H_

#include <map>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"
#include "grammar/expression.h"
#include "grammar/json_members.h"
#include "grammar/text_length.h"

namespace looplm {

// The type that a keyword is about. "place" names the schema in errors, here and below.
const std::map<std::string, std::string>& schema_keyword_types();

// A keyword of our own: no properties but those that schemas speak of which hold.
inline constexpr const char* kClosed = "unevaluatedProperties: false";

// Fails on keywords that say what a value must be and are not obeyed.
Status check_schema_keywords(const OrderedJson& schema, const std::string& place);

// Whether a keyword says what a value must be: one of those types', or for all types. Of "if",
// "then" and "else" the first.
bool is_schema_constraint(const std::string& key);

// Of items, properties or characters. Fails where the least is above the most.
Result<MemberCounts> schema_counts(const OrderedJson& schema, const char* least_key,
                                   const char* most_key, const std::string& place);

// A string in quotes.
Result<ExpressionPtr> schema_string(const OrderedJson& schema, const std::string& place,
                                    TextBudget& budget);
// The same, but each character has one spelling: no \u0061 for an a.
Result<ExpressionPtr> schema_plain_string(const OrderedJson& schema, const std::string& place,
                                          TextBudget& budget);

// `type` is number or integer.
Result<ExpressionPtr> schema_number(const std::string& type, const OrderedJson& schema,
                                    const std::string& place, Grammar& grammar);

// Whether all texts of a format are known here, or it says nothing. `format` is the keyword's
// value.
bool knows_whole_format(const OrderedJson& format);

// The values of a schema that has some few: of an enum or const, true and false, integers between
// two bounds. Keywords beside may leave some of them out. None where there are others; kUnsupported
// where they are more than 1,000 integers.
Result<std::vector<OrderedJson>> all_values(const OrderedJson& schema, const std::string& place);

// Those of the values that the schema's other keywords allow, as JSON.
Result<std::vector<std::string>> schema_constant_texts(const OrderedJson& schema,
                                                       const std::vector<OrderedJson>& values,
                                                       const std::string& place,
                                                       TextBudget& budget);

// `schema` for values of other types than `denied`, a name or a list of names.
OrderedJson schema_without_types(OrderedJson schema, const OrderedJson& denied);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCHEMA_SCALARS_H_
