// What the statement and the expression parser share: the token stream, names, and how deep it is.
#ifndef LOOPLM_CHAT_JINJA_PARSER_CORE_H_
#define LOOPLM_CHAT_JINJA_PARSER_CORE_H_

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/lexer.h"

namespace looplm::jinja {

class ParserCore {
 public:
  explicit ParserCore(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }
  void advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_name(std::string_view name) const {
    return at(TokenKind::kName) && current().text == name;
  }
  bool at_operator(std::string_view text) const {
    return at(TokenKind::kOperator) && current().text == text;
  }
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view name);
  std::string take_name();  // any
  [[noreturn]] void unexpected(std::string_view expected) const;

  int name_id(const std::string& name);
  std::vector<std::string> take_names() { return std::move(names_); }

  // A level of recursion while it lives.
  class Level {
   public:
    explicit Level(ParserCore& parser);
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ParserCore& parser_;
  };

  // Macros and call blocks being parsed, innermost last: which special names they read.
  std::vector<Signature*> macros;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int level_ = 0;
  std::unordered_map<std::string, int> ids_;
  std::vector<std::string> names_;
};

// Expressions, from the loosest binding to the tightest.
class ExpressionParser {
 public:
  explicit ExpressionParser(ParserCore& core) : core_(core) {}

  ExpressionPtr parse();     // with `a if b else c`
  ExpressionPtr parse_or();  // without
  // Expressions with commas between them are a tuple. `end`: a name that ends it, besides the
  // tag's end and ")".
  ExpressionPtr parse_tuple(bool conditional = true, std::string_view end = {},
                            bool parentheses = false);
  CallArguments parse_call_arguments();
  // `|name(...)`...; `inline_first`: the first one without its bar.
  std::unique_ptr<Filter> parse_filters(ExpressionPtr value, bool inline_first);

 private:
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters = true);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters_and_tests(ExpressionPtr node);
  ExpressionPtr parse_subscript(ExpressionPtr node);
  ExpressionPtr parse_test(ExpressionPtr node);
  bool tuple_ends(std::string_view end) const;

  ParserCore& core_;
};

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_PARSER_CORE_H_
