// Regular expressions as grammars: the syntax that JSON Schema's "pattern" (ECMA-262) and Python's
// `re` share.
//
// Known: alternatives, groups (also named and non-capturing), classes, . \d \w \s and their
// opposites, * + ? {m} {m,} {m,n}, lazy forms (which match the same texts), ^ and $ at the ends,
// escapes, and look-ahead outside of groups. Look-behind, look-ahead inside a group,
// back-references, \b and inline flags are refused by name. \d and \w are ASCII, \s is Unicode's
// white space, as in ECMA-262; '.' is any character but a line end.
#ifndef LOOPLM_GRAMMAR_PATTERN_H_
#define LOOPLM_GRAMMAR_PATTERN_H_

#include <string>

#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

// What a pattern's characters are written as.
enum class PatternText {
  kPlain,
  kJsonString,  // as inside a JSON string, where some characters are escaped
};

// Matches a text of which the pattern matches some part (search); ^ and $ bind it to the ends.
Result<ExpressionPtr> parse_search_pattern(const std::string& pattern, PatternText as);
// Matches a text that the pattern matches as a whole.
Result<ExpressionPtr> parse_full_pattern(const std::string& pattern);

// One character of a set inside a JSON string: as itself, or escaped where it must be.
ExpressionPtr json_string_characters(const ExpressionPtr& set);
// A pattern's expression with all its characters so.
ExpressionPtr json_string_form(const ExpressionPtr& e);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_PATTERN_H_
