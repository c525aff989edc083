// GBNF, llama.cpp's notation for grammars (its grammars/README.md).
//
//   root  ::= greeting (" and " greeting)*
//   greeting ::= "hello" | "good " [a-z]+      # comments run to the line's end
//
// Literals and classes know the escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH; '.' is any
// character; * + ? {m} {m,} {m,n} repeat. A rule ends at its line's end, except inside brackets and
// after '|'. The rule to match is `root`.
#ifndef LOOPLM_GRAMMAR_GBNF_H_
#define LOOPLM_GRAMMAR_GBNF_H_

#include <string_view>

#include "looplm/status.h"

#include "grammar/expression.h"

namespace looplm {

// Errors name line and column, and what was expected there.
Result<Grammar> parse_gbnf(std::string_view text);

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_GBNF_H_
