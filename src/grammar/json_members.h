// The members of an object that a JSON schema describes.
#ifndef LOOPLM_GRAMMAR_JSON_MEMBERS_H_
#define LOOPLM_GRAMMAR_JSON_MEMBERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"
#include "grammar/expression.h"
#include "grammar/overlap.h"

namespace looplm {

struct ObjectMember {
  ExpressionPtr expression;  // name and value
  bool required;
};
struct MemberCounts {
  int64_t least;
  int64_t most;  // or kUnbounded
};

// The members in order, those not required left out at will, then any number of `extra` (null:
// none), then white space. There are at least and at most so many in all; since members of `extra`
// may have the same name, only one of them counts towards the least. A rule per member and number
// of those before it, as far as numbers matter: at least none and some. kUnsupported where these
// are too many.
Result<ExpressionPtr> members_in_order(const std::vector<ObjectMember>& members,
                                       const ExpressionPtr& extra, const MemberCounts& count,
                                       const std::string& place, Grammar& grammar);

// The keys of an object that a name's expression, with its quotes, matches.
Result<std::vector<std::string>> keys_that_match(const OrderedJson& object,
                                                 const ExpressionPtr& name,
                                                 const std::string& place, OverlapBudget& budget);

// What every text begins with that a pattern matches, as far as that is easy to see.
std::string fixed_beginning(const std::string& pattern);

// The expression as a rule, so that what uses it twice does not double it.
ExpressionPtr as_rule(ExpressionPtr expression, std::string name, Grammar& grammar);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_JSON_MEMBERS_H_
