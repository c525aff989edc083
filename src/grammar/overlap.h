// Overlaps as rules: texts that several expressions match, and others do not.
//
// Expressions without rules are regular, so that their automata can be walked side by side. Each
// set of places that they reach together becomes a rule, which reads one character and goes on at
// another rule.
#ifndef LOOPLM_GRAMMAR_OVERLAP_H_
#define LOOPLM_GRAMMAR_OVERLAP_H_

#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

// What overlaps may still take together.
struct OverlapBudget {
  size_t places = 20'000;          // rules
  size_t steps = size_t{1} << 22;  // characters that are tried in a reading of a part
};

// The grammar without Expression::Kind::kOverlap. Fails with kUnsupported where an overlap has a
// part that refers to a rule, or takes more than there is left.
Result<Grammar> overlaps_as_rules(const Grammar& grammar, OverlapBudget& budget);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_OVERLAP_H_
