#include <array>

#include <fmt/format.h>

#include "chat/jinja/parser_core.h"

namespace looplm::jinja {
namespace {

// Of recursive functions at once, about four for each pair of parentheses.
constexpr int kMaxLevels = 400;

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kNumber:
      return "a number";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return fmt::format("'{}'", token.text);
  }
}

}  // namespace

bool ParserCore::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  advance();
  return true;
}

bool ParserCore::skip_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  advance();
  return true;
}

void ParserCore::expect_operator(std::string_view text) {
  if (!skip_operator(text)) unexpected(fmt::format("'{}'", text));
}

void ParserCore::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected(fmt::format("'{}'", name));
}

std::string ParserCore::take_name() {
  if (!at(TokenKind::kName)) unexpected("a name");
  std::string name = current().text;
  advance();
  return name;
}

void ParserCore::unexpected(std::string_view expected) const {
  fail_at(line(), fmt::format("found {}; expected {}", describe(current()), expected));
}

int ParserCore::name_id(const std::string& name) {
  const auto [found, fresh] = ids_.emplace(name, static_cast<int>(names_.size()));
  if (fresh) names_.push_back(name);
  return found->second;
}

ParserCore::Level::Level(ParserCore& parser) : parser_(parser) {
  if (++parser_.level_ > kMaxLevels) {
    --parser_.level_;
    fail_at(parser_.line(), "the template nests too deep");
  }
}

ExpressionPtr ExpressionParser::parse() {
  const ParserCore::Level level(core_);
  const int line = core_.line();
  ExpressionPtr value = parse_or();
  while (core_.skip_name("if")) {
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = core_.skip_name("else") ? parse() : nullptr;
    value = std::make_unique<Conditional>(line, std::move(condition), std::move(value),
                                          std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  while (core_.at_name("or")) {
    const int line = core_.line();
    core_.advance();
    left = std::make_unique<Logical>(line, false, std::move(left), parse_and());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  while (core_.at_name("and")) {
    const int line = core_.line();
    core_.advance();
    left = std::make_unique<Logical>(line, true, std::move(left), parse_not());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!core_.at_name("not")) return parse_compare();
  const ParserCore::Level level(core_);
  const int line = core_.line();
  core_.advance();
  return std::make_unique<Unary>(line, UnaryOperator::kNot, parse_not());
}

ExpressionPtr ExpressionParser::parse_compare() {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kOperators = {
      {{"==", Comparison::kEqual},
       {"!=", Comparison::kUnequal},
       {"<", Comparison::kLess},
       {"<=", Comparison::kLessEqual},
       {">", Comparison::kGreater},
       {">=", Comparison::kGreaterEqual}}};
  const int line = core_.line();
  ExpressionPtr first = parse_sum();
  std::vector<Compare::Operand> rest;
  while (true) {
    std::optional<Comparison> found;
    for (const auto& [text, comparison] : kOperators) {
      if (core_.at_operator(text)) found = comparison;
    }
    if (core_.at_name("in")) found = Comparison::kIn;
    if (core_.at_name("not") && core_.look().kind == TokenKind::kName &&
        core_.look().text == "in") {
      found = Comparison::kNotIn;
      core_.advance();
    }
    if (!found) break;
    core_.advance();
    rest.emplace_back(*found, parse_sum());
  }
  if (rest.empty()) return first;
  return std::make_unique<Compare>(line, std::move(first), std::move(rest));
}

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr left = parse_concatenation();
  while (core_.at_operator("+") || core_.at_operator("-")) {
    const int line = core_.line();
    const auto operation =
        core_.at_operator("+") ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
    core_.advance();
    left = std::make_unique<Binary>(line, operation, std::move(left), parse_concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  const int line = core_.line();
  std::vector<ExpressionPtr> parts;
  parts.push_back(parse_product());
  while (core_.skip_operator("~")) parts.push_back(parse_product());
  if (parts.size() == 1) return std::move(parts[0]);
  return std::make_unique<Concatenation>(line, std::move(parts));
}

ExpressionPtr ExpressionParser::parse_product() {
  static constexpr std::array<std::pair<std::string_view, BinaryOperator>, 4> kOperators = {
      {{"*", BinaryOperator::kMultiply},
       {"/", BinaryOperator::kDivide},
       {"//", BinaryOperator::kFloorDivide},
       {"%", BinaryOperator::kModulo}}};
  ExpressionPtr left = parse_power();
  while (true) {
    std::optional<BinaryOperator> found;
    for (const auto& [text, operation] : kOperators) {
      if (core_.at_operator(text)) found = operation;
    }
    if (!found) return left;
    const int line = core_.line();
    core_.advance();
    left = std::make_unique<Binary>(line, *found, std::move(left), parse_power());
  }
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr left = parse_unary();
  while (core_.at_operator("**")) {
    const int line = core_.line();
    core_.advance();
    left = std::make_unique<Binary>(line, BinaryOperator::kPower, std::move(left), parse_unary());
  }
  return left;
}

// -a|f is (-a)|f.
ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const ParserCore::Level level(core_);
  const int line = core_.line();
  ExpressionPtr node;
  if (core_.skip_operator("-")) {
    node = std::make_unique<Unary>(line, UnaryOperator::kNegative, parse_unary(false));
  } else if (core_.skip_operator("+")) {
    node = std::make_unique<Unary>(line, UnaryOperator::kPositive, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const int line = core_.line();
  if (core_.at(TokenKind::kName)) return parse_name();
  if (core_.at(TokenKind::kString)) {
    std::string text;
    for (; core_.at(TokenKind::kString); core_.advance()) text += core_.current().text;
    return std::make_unique<Constant>(line, Value::text(std::move(text)));
  }
  if (core_.at(TokenKind::kNumber)) {
    Value number = core_.current().number;
    core_.advance();
    return std::make_unique<Constant>(line, std::move(number));
  }
  if (core_.skip_operator("(")) {
    ExpressionPtr inner = parse_tuple(true, {}, true);
    core_.expect_operator(")");
    return inner;
  }
  if (core_.at_operator("[")) return parse_list();
  if (core_.at_operator("{")) return parse_dict();
  core_.unexpected("an expression");
}

ExpressionPtr ExpressionParser::parse_name() {
  const int line = core_.line();
  const std::string name = core_.take_name();
  if (name == "true" || name == "True") return std::make_unique<Constant>(line, Value(true));
  if (name == "false" || name == "False") return std::make_unique<Constant>(line, Value(false));
  if (name == "none" || name == "None") return std::make_unique<Constant>(line, Value());
  const int id = core_.name_id(name);
  for (Signature* macro : core_.macros) {
    if (name == "caller") macro->caller = id;
    if (name == "varargs") macro->varargs = id;
    if (name == "kwargs") macro->kwargs = id;
  }
  return std::make_unique<Name>(line, id);
}

bool ExpressionParser::tuple_ends(std::string_view end) const {
  return core_.at(TokenKind::kVariableEnd) || core_.at(TokenKind::kBlockEnd) ||
         core_.at_operator(")") || (!end.empty() && core_.at_name(end));
}

ExpressionPtr ExpressionParser::parse_tuple(bool conditional, std::string_view end,
                                            bool parentheses) {
  const int line = core_.line();
  std::vector<ExpressionPtr> items;
  bool tuple = false;
  while (!tuple_ends(end)) {
    items.push_back(conditional ? parse() : parse_or());
    if (!core_.at_operator(",")) break;
    tuple = true;
    core_.advance();
  }
  if (!tuple && !items.empty()) return std::move(items[0]);
  if (!tuple && !parentheses) core_.unexpected("an expression");
  return std::make_unique<Sequence>(line, true, std::move(items));
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = core_.line();
  core_.expect_operator("[");
  std::vector<ExpressionPtr> items;
  while (!core_.at_operator("]")) {
    if (!items.empty()) core_.expect_operator(",");
    if (core_.at_operator("]")) break;
    items.push_back(parse());
  }
  core_.expect_operator("]");
  return std::make_unique<Sequence>(line, false, std::move(items));
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = core_.line();
  core_.expect_operator("{");
  std::vector<DictDisplay::Pair> pairs;
  while (!core_.at_operator("}")) {
    if (!pairs.empty()) core_.expect_operator(",");
    if (core_.at_operator("}")) break;
    ExpressionPtr key = parse();
    core_.expect_operator(":");
    pairs.emplace_back(std::move(key), parse());
  }
  core_.expect_operator("}");
  return std::make_unique<DictDisplay>(line, std::move(pairs));
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
  while (true) {
    const int line = core_.line();
    if (core_.at_operator(".") || core_.at_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (core_.at_operator("(")) {
      node = std::make_unique<Call>(line, std::move(node), parse_call_arguments());
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters_and_tests(ExpressionPtr node) {
  while (true) {
    const int line = core_.line();
    if (core_.at_operator("|")) {
      node = parse_filters(std::move(node), false);
    } else if (core_.at_name("is")) {
      node = parse_test(std::move(node));
    } else if (core_.at_operator("(")) {
      node = std::make_unique<Call>(line, std::move(node), parse_call_arguments());
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr node) {
  const int line = core_.line();
  if (core_.skip_operator(".")) {
    if (core_.at(TokenKind::kName)) {
      return std::make_unique<Attribute>(line, std::move(node), core_.take_name());
    }
    if (!core_.at(TokenKind::kNumber) || core_.current().number.integer() == nullptr) {
      core_.unexpected("a name or a number");
    }
    auto index = std::make_unique<Constant>(line, core_.current().number);
    core_.advance();
    return std::make_unique<Subscript>(line, std::move(node), std::move(index));
  }
  core_.expect_operator("[");
  const auto part_ends = [&] {
    return core_.at_operator("]") || core_.at_operator(",") || core_.at_operator(":");
  };
  std::vector<ExpressionPtr> keys;
  while (!core_.at_operator("]")) {
    if (!keys.empty()) core_.expect_operator(",");
    ExpressionPtr start = core_.at_operator(":") ? nullptr : parse();
    if (!core_.skip_operator(":")) {
      keys.push_back(std::move(start));
      continue;
    }
    ExpressionPtr stop = part_ends() ? nullptr : parse();
    ExpressionPtr step;
    if (core_.skip_operator(":") && !part_ends()) step = parse();
    if (!keys.empty() || !core_.at_operator("]")) core_.unexpected("one slice");
    core_.advance();
    return std::make_unique<Slice>(line, std::move(node), std::move(start), std::move(stop),
                                   std::move(step));
  }
  core_.advance();
  ExpressionPtr key = keys.size() == 1 ? std::move(keys[0])
                                       : std::make_unique<Sequence>(line, true, std::move(keys));
  return std::make_unique<Subscript>(line, std::move(node), std::move(key));
}

CallArguments ExpressionParser::parse_call_arguments() {
  const int line = core_.line();
  core_.expect_operator("(");
  CallArguments arguments;
  const auto ensure = [&](bool holds) {
    if (!holds) fail_at(line, "arguments of a call in the wrong order");
  };
  for (bool first = true; !core_.at_operator(")"); first = false) {
    if (!first) {
      core_.expect_operator(",");
      if (core_.at_operator(")")) break;
    }
    if (core_.skip_operator("*")) {
      ensure(!arguments.more_positional && !arguments.more_keywords);
      arguments.more_positional = parse();
    } else if (core_.skip_operator("**")) {
      ensure(!arguments.more_keywords);
      arguments.more_keywords = parse();
    } else if (core_.at(TokenKind::kName) && core_.look().kind == TokenKind::kOperator &&
               core_.look().text == "=") {
      ensure(!arguments.more_keywords);
      std::string name = core_.take_name();
      core_.advance();
      arguments.keywords.emplace_back(std::move(name), parse());
    } else {
      ensure(!arguments.more_positional && !arguments.more_keywords && arguments.keywords.empty());
      arguments.positional.push_back(parse());
    }
  }
  core_.expect_operator(")");
  return arguments;
}

std::unique_ptr<Filter> ExpressionParser::parse_filters(ExpressionPtr value, bool inline_first) {
  std::unique_ptr<Filter> filter;
  while (inline_first || core_.at_operator("|")) {
    if (!inline_first) core_.advance();
    inline_first = false;
    const int line = core_.line();
    std::string name = core_.take_name();
    while (core_.skip_operator(".")) name += fmt::format(".{}", core_.take_name());
    CallArguments arguments;
    if (core_.at_operator("(")) arguments = parse_call_arguments();
    if (filter != nullptr) value = std::move(filter);
    filter =
        std::make_unique<Filter>(line, std::move(value), std::move(name), std::move(arguments));
  }
  return filter;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr node) {
  const int line = core_.line();
  core_.advance();
  const bool negated = core_.skip_name("not");
  std::string name = core_.take_name();
  while (core_.skip_operator(".")) name += fmt::format(".{}", core_.take_name());
  CallArguments arguments;
  const bool argument_starts = core_.at(TokenKind::kName) || core_.at(TokenKind::kString) ||
                               core_.at(TokenKind::kNumber) || core_.at_operator("[") ||
                               core_.at_operator("{");
  if (core_.at_operator("(")) {
    arguments = parse_call_arguments();
  } else if (argument_starts && !core_.at_name("else") && !core_.at_name("or") &&
             !core_.at_name("and")) {
    if (core_.at_name("is")) fail_at(line, "tests cannot be chained with 'is'");
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  node = std::make_unique<Test>(line, std::move(node), std::move(name), std::move(arguments));
  if (negated) node = std::make_unique<Unary>(line, UnaryOperator::kNot, std::move(node));
  return node;
}

}  // namespace looplm::jinja
