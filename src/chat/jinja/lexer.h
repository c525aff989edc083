// A template's source as tokens, as Jinja's lexer cuts it with trim_blocks and lstrip_blocks on.
#ifndef LOOPLM_CHAT_JINJA_LEXER_H_
#define LOOPLM_CHAT_JINJA_LEXER_H_

#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/value.h"

namespace looplm::jinja {

enum class TokenKind {
  kData,  // text between tags
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kNumber,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // of data, name and operator; of a string without quotes and escapes
  Value number{};
};

// The last token is kEnd. Throws SourceFailure.
std::vector<Token> tokenize(std::string_view source);

struct SourceFailure {
  int line;
  std::string message;
};
[[noreturn]] void fail_at(int line, std::string message);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_LEXER_H_
