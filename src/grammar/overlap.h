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

// The grammar without Expression::Kind::kOverlap. Fails with kUnsupported where an overlap has a
// part that refers to a rule, or needs too many rules.
Result<Grammar> overlaps_as_rules(const Grammar& grammar);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_OVERLAP_H_
