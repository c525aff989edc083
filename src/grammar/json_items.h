// The items of JSON arrays, as expressions.
#ifndef LOOPLM_GRAMMAR_JSON_ITEMS_H_
#define LOOPLM_GRAMMAR_JSON_ITEMS_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "grammar/expression.h"
#include "grammar/json_members.h"

namespace looplm {

// Brackets around that many items or members, separated by commas.
ExpressionPtr json_list(const std::string& opening, const ExpressionPtr& item,
                        const MemberCounts& length, const std::string& closing);

// An array of some of these values, each at most once. Makes a rule for each set of used values;
// fails with kUnsupported if those are too many.
Result<ExpressionPtr> json_items_once(const std::vector<std::string>& values,
                                      const MemberCounts& length, const std::string& place,
                                      Grammar& grammar);

// An array of `length` items, `found` of which are `some` and the rest `others`. An item may match
// both. Fails with kUnsupported where the counts are too large.
Result<ExpressionPtr> json_items_with(const ExpressionPtr& some, const MemberCounts& found,
                                      const ExpressionPtr& others, const MemberCounts& length,
                                      const std::string& place, Grammar& grammar);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_JSON_ITEMS_H_
