#include "grammar/gbnf.h"

#include <map>
#include <string>

#include <fmt/format.h>

#include "grammar/scanner.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr int kMostBracketDepth = 200;  // of brackets

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : in_(text, "the grammar") {}

  Result<Grammar> parse() {
    skip_space(true);
    while (!in_.at_end()) LOOPLM_RETURN_IF_ERROR(parse_rule());
    const auto root = rules_.find("root");
    if (root == rules_.end()) return invalid_argument("the grammar has no rule 'root'");
    for (const Grammar::Rule& rule : grammar_.rules) {
      if (rule.expression == nullptr) {
        return invalid_argument(
            fmt::format("the grammar uses rule '{}' and does not define it", rule.name));
      }
    }
    grammar_.start = root->second;
    return std::move(grammar_);
  }

 private:
  void skip_space(bool over_lines) {
    while (!in_.at_end()) {
      const char c = in_.peek();
      if (c == '#') {
        while (!in_.at_end() && in_.peek() != '\n' && in_.peek() != '\r') in_.skip();
      } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
        in_.skip();
      } else {
        return;
      }
    }
  }

  Result<std::string> parse_name() {
    std::string name;
    while (is_name_byte(in_.peek())) {
      name += in_.peek();
      in_.skip();
    }
    if (name.empty()) return in_.error("expected the name of a rule");
    return name;
  }

  int rule_named(const std::string& name) {
    const auto [place, fresh] = rules_.try_emplace(name, 0);
    if (fresh) place->second = grammar_.declare(name);
    return place->second;
  }

  Status parse_rule() {
    LOOPLM_ASSIGN_OR_RETURN(const std::string name, parse_name());
    const auto index = static_cast<size_t>(rule_named(name));
    if (grammar_.rules[index].expression != nullptr) {
      return in_.error(fmt::format("rule '{}' is defined twice", name));
    }
    skip_space(false);
    if (!in_.take("::=")) return in_.error("expected '::=' after the rule's name");
    skip_space(true);
    LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr expression, parse_choice(0));
    grammar_.rules[index].expression = std::move(expression);
    if (!in_.at_end() && in_.peek() != '\n' && in_.peek() != '\r') {
      return in_.error("expected the end of the line");
    }
    skip_space(true);
    return {};
  }

  Result<ExpressionPtr> parse_choice(int depth) {
    if (depth > kMostBracketDepth) {
      return in_.error(fmt::format("brackets are nested deeper than {}", kMostBracketDepth));
    }
    std::vector<ExpressionPtr> choices;
    while (true) {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one, parse_sequence(depth));
      choices.push_back(std::move(one));
      if (!in_.take("|")) return choice(std::move(choices));
      skip_space(true);
    }
  }

  Result<ExpressionPtr> parse_sequence(int depth) {
    std::vector<ExpressionPtr> parts;
    while (true) {
      const char c = in_.peek();
      ExpressionPtr part;
      if (c == '"') {
        LOOPLM_ASSIGN_OR_RETURN(part, parse_literal());
      } else if (c == '[') {
        LOOPLM_ASSIGN_OR_RETURN(part, parse_class());
      } else if (c == '.') {
        in_.skip();
        part = characters_but({});
      } else if (c == '(') {
        in_.skip();
        skip_space(true);
        LOOPLM_ASSIGN_OR_RETURN(part, parse_choice(depth + 1));
        skip_space(true);
        if (!in_.take(")")) return in_.error("expected ')'");
      } else if (is_name_byte(c)) {
        LOOPLM_ASSIGN_OR_RETURN(const std::string name, parse_name());
        part = rule_reference(rule_named(name));
      } else {
        return sequence(std::move(parts));
      }
      skip_space(depth > 0);
      LOOPLM_ASSIGN_OR_RETURN(part, parse_repeats(std::move(part), depth));
      parts.push_back(std::move(part));
    }
  }

  Result<ExpressionPtr> parse_repeats(ExpressionPtr part, int depth) {
    for (int repeats = 0;; ++repeats) {
      if (repeats > kMostBracketDepth) {
        return in_.error(fmt::format("more than {} repetitions of repetitions", kMostBracketDepth));
      }
      if (in_.take("*")) {
        part = repeat(std::move(part), 0, kUnbounded);
      } else if (in_.take("+")) {
        part = repeat(std::move(part), 1, kUnbounded);
      } else if (in_.take("?")) {
        part = optional(std::move(part));
      } else if (in_.take("{")) {
        LOOPLM_ASSIGN_OR_RETURN(const auto least, in_.number(Scanner::kMostRepeats));
        if (!least.has_value()) return in_.error("expected a number of repetitions");
        int64_t most = *least;
        if (in_.take(",")) {
          LOOPLM_ASSIGN_OR_RETURN(const auto bound, in_.number(Scanner::kMostRepeats));
          most = bound.value_or(kUnbounded);
        }
        if (!in_.take("}")) return in_.error("expected '}'");
        part = repeat(std::move(part), *least, most);
      } else {
        return part;
      }
      skip_space(depth > 0);
    }
  }

  // After a backslash, or any other character.
  Result<uint32_t> parse_character() {
    if (!in_.take("\\")) return in_.character();
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t c, in_.character());
    switch (c) {
      case 'n':
        return uint32_t{'\n'};
      case 'r':
        return uint32_t{'\r'};
      case 't':
        return uint32_t{'\t'};
      case 'x':
        return in_.hexadecimal(2);
      case 'u':
        return parse_code_point(4);
      case 'U':
        return parse_code_point(8);
      case '"':
      case '\\':
      case '[':
      case ']':
      case '-':
      case '^':
        return c;
      default:
        return in_.error("unknown escape; expected one of n r t \\ \" [ ] - ^ x u U");
    }
  }

  Result<uint32_t> parse_code_point(int digits) {
    LOOPLM_ASSIGN_OR_RETURN(const uint32_t c, in_.hexadecimal(digits));
    if (c > kLastCharacter) return in_.error(fmt::format("U+{:X} is beyond Unicode", c));
    return c;
  }

  Result<ExpressionPtr> parse_literal() {
    in_.skip();
    std::string bytes;
    while (!in_.take("\"")) {
      LOOPLM_ASSIGN_OR_RETURN(const uint32_t c, parse_character());
      if (c >= 0xD800 && c < 0xE000) {
        return in_.error(fmt::format("U+{:X} is half a character; write \\U and eight digits", c));
      }
      utf8_append(bytes, c);
    }
    return text(std::move(bytes));
  }

  Result<ExpressionPtr> parse_class() {
    in_.skip();
    const bool inverted = in_.take("^");
    std::vector<CharacterRange> ranges;
    while (!in_.take("]")) {
      LOOPLM_ASSIGN_OR_RETURN(const uint32_t first, parse_character());
      uint32_t last = first;
      if (in_.peek() == '-' && in_.peek(1) != ']') {
        in_.skip();
        LOOPLM_ASSIGN_OR_RETURN(last, parse_character());
        if (last < first) return in_.error("a range's end lies before its start");
      }
      ranges.emplace_back(first, last);
    }
    return inverted ? characters_but(std::move(ranges)) : characters(std::move(ranges));
  }

  Scanner in_;
  Grammar grammar_;
  std::map<std::string, int> rules_;
};

}  // namespace

Result<Grammar> parse_gbnf(std::string_view text) { return GbnfParser(text).parse(); }

}  // namespace looplm
