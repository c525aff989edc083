// Tokens to a tree, by Jinja's grammar.
#ifndef LOOPLM_CHAT_JINJA_PARSER_H_
#define LOOPLM_CHAT_JINJA_PARSER_H_

#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/ast.h"

namespace looplm::jinja {

struct ParsedTemplate {
  Body body;
  std::vector<std::string> names;  // of variables, by id
};

// Throws SourceFailure.
ParsedTemplate parse_template(std::string_view source);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_PARSER_H_
