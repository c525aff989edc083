#include <initializer_list>

#include <fmt/format.h>

#include "chat/jinja/parser.h"
#include "chat/jinja/parser_core.h"

namespace looplm::jinja {
namespace {

using StatementPtr = std::unique_ptr<Statement>;
using EndTags = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens)
      : core_(std::move(tokens)), expressions_(core_) {}

  ParsedTemplate run() {
    ParsedTemplate parsed;
    parsed.body = parse_until({}, 1);
    parsed.names = core_.take_names();
    return parsed;
  }

 private:
  // Up to a tag that is one of `ends`, whose name is the current token then; without any, up to the
  // template's end. `opened`: the line of the tag that it belongs to.
  Body parse_until(EndTags ends, int opened) {
    const ParserCore::Level level(core_);
    Body body;
    while (true) {
      const int line = core_.line();
      switch (core_.current().kind) {
        case TokenKind::kData:
          body.statements.push_back(std::make_unique<Data>(line, core_.current().text));
          core_.advance();
          break;
        case TokenKind::kVariableBegin: {
          core_.advance();
          ExpressionPtr value = expressions_.parse_tuple();
          if (!core_.at(TokenKind::kVariableEnd)) core_.unexpected("'}}'");
          core_.advance();
          body.statements.push_back(std::make_unique<Print>(line, std::move(value)));
          break;
        }
        case TokenKind::kBlockBegin: {
          core_.advance();
          for (std::string_view end : ends) {
            if (core_.at_name(end)) return body;
          }
          StatementPtr statement = parse_statement();
          if (!core_.at(TokenKind::kBlockEnd)) core_.unexpected("'%}'");
          core_.advance();
          if (statement != nullptr) body.statements.push_back(std::move(statement));
          break;
        }
        default:
          if (ends.size() == 0) return body;
          fail_at(opened, fmt::format("the template ends before {{% {} %}}", *(ends.end() - 1)));
      }
    }
  }

  // The inside of a tag pair; the end tag's name is left for take_end or the caller.
  Body parse_body(EndTags ends) {
    core_.skip_operator(":");
    if (!core_.at(TokenKind::kBlockEnd)) core_.unexpected("'%}'");
    const int line = core_.line();
    core_.advance();
    return parse_until(ends, line);
  }
  Body parse_whole_body(std::string_view end) {
    Body body = parse_body({end});
    core_.advance();
    return body;
  }

  // A body that a function's call runs: break and continue do not reach out of it.
  Body parse_function_body(Signature& signature, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    core_.macros.push_back(&signature);
    Body body = parse_whole_body(end);
    core_.macros.pop_back();
    loops_ = loops;
    return body;
  }

  StatementPtr parse_statement() {
    const int line = core_.line();
    const std::string tag = core_.take_name();
    if (tag == "if") return parse_if(line);
    if (tag == "for") return parse_for(line);
    if (tag == "set") return parse_set(line);
    if (tag == "macro") return parse_macro(line);
    if (tag == "call") return parse_call(line);
    if (tag == "filter") return parse_filter(line);
    if (tag == "with") return parse_with(line);
    if (tag == "block") return parse_block(line);
    if (tag == "print") return parse_print(line);
    if (tag == "generation") {
      auto generation = std::make_unique<Generation>(line);
      Signature unused;
      generation->body = parse_function_body(unused, "endgeneration");
      return generation;
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail_at(line, fmt::format("{} outside a loop", tag));
      return std::make_unique<LoopControl>(line, tag == "break" ? Flow::kBreak : Flow::kContinue);
    }
    if (tag == "include" || tag == "import" || tag == "extends" || tag == "from") {
      while (!core_.at(TokenKind::kBlockEnd) && !core_.at(TokenKind::kEnd)) core_.advance();
      return std::make_unique<OtherTemplate>(line, tag);
    }
    fail_at(line, fmt::format("unknown tag '{}'", tag));
  }

  StatementPtr parse_if(int line) {
    auto node = std::make_unique<If>(line);
    while (true) {
      ExpressionPtr condition = expressions_.parse_tuple(false);
      node->branches.emplace_back(std::move(condition), parse_body({"elif", "else", "endif"}));
      if (core_.skip_name("elif")) continue;
      if (core_.skip_name("else")) {
        node->otherwise = parse_whole_body("endif");
      } else {
        core_.advance();
      }
      return node;
    }
  }

  StatementPtr parse_for(int line) {
    auto node = std::make_unique<For>(line);
    node->target = parse_target("in", false);
    core_.expect_name("in");
    node->iterable = expressions_.parse_tuple(false, "recursive");
    if (core_.skip_name("if")) node->test = expressions_.parse();
    node->recursive = core_.skip_name("recursive");
    node->loop_name = core_.name_id("loop");
    ++loops_;
    node->body = parse_body({"else", "endfor"});
    --loops_;
    if (core_.skip_name("else")) {
      node->otherwise = parse_whole_body("endfor");
    } else {
      core_.advance();
    }
    return node;
  }

  StatementPtr parse_set(int line) {
    Target target = parse_target({}, true);
    if (core_.skip_operator("=")) {
      auto node = std::make_unique<Set>(line);
      node->target = std::move(target);
      node->value = expressions_.parse_tuple();
      return node;
    }
    auto node = std::make_unique<SetBlock>(line);
    node->target = std::move(target);
    node->filter = expressions_.parse_filters(nullptr, false);
    node->body = parse_whole_body("endset");
    return node;
  }

  void parse_signature(Signature& signature) {
    core_.expect_operator("(");
    while (!core_.at_operator(")")) {
      if (!signature.parameters.empty()) core_.expect_operator(",");
      signature.parameters.push_back(core_.name_id(core_.take_name()));
      if (core_.skip_operator("=")) {
        signature.defaults.push_back(expressions_.parse());
      } else if (!signature.defaults.empty()) {
        core_.unexpected("a default, as the parameter before has one");
      }
    }
    core_.advance();
  }

  StatementPtr parse_macro(int line) {
    auto node = std::make_unique<MacroDefinition>(line);
    node->name = core_.name_id(core_.take_name());
    parse_signature(node->signature);
    node->body = parse_function_body(node->signature, "endmacro");
    return node;
  }

  StatementPtr parse_call(int line) {
    auto node = std::make_unique<CallBlock>(line);
    if (core_.at_operator("(")) parse_signature(node->signature);
    ExpressionPtr call = expressions_.parse();
    auto* as_call = dynamic_cast<Call*>(call.get());
    if (as_call == nullptr) fail_at(line, "a call block needs a call");
    call.release();
    node->call.reset(as_call);
    node->body = parse_function_body(node->signature, "endcall");
    return node;
  }

  StatementPtr parse_filter(int line) {
    auto node = std::make_unique<FilterBlock>(line);
    node->filter = expressions_.parse_filters(nullptr, true);
    node->body = parse_whole_body("endfilter");
    return node;
  }

  StatementPtr parse_with(int line) {
    auto node = std::make_unique<With>(line);
    while (!core_.at(TokenKind::kBlockEnd)) {
      if (!node->assignments.empty()) core_.expect_operator(",");
      Target target = parse_target({}, false);
      core_.expect_operator("=");
      node->assignments.emplace_back(std::move(target), expressions_.parse());
    }
    node->body = parse_whole_body("endwith");
    return node;
  }

  StatementPtr parse_block(int line) {
    auto node = std::make_unique<Block>(line);
    const std::string name = core_.take_name();
    node->scoped = core_.skip_name("scoped");
    core_.skip_name("required");
    const int loops = std::exchange(loops_, 0);
    node->body = parse_whole_body("endblock");
    loops_ = loops;
    core_.skip_name(name);
    return node;
  }

  StatementPtr parse_print(int line) {
    auto node = std::make_unique<If>(line);  // a body that always runs
    while (!core_.at(TokenKind::kBlockEnd)) {
      if (!node->otherwise.statements.empty()) core_.expect_operator(",");
      node->otherwise.statements.push_back(std::make_unique<Print>(line, expressions_.parse()));
    }
    return node;
  }

  // A name, a namespace's attribute, or several with commas. `end`: the name that ends it.
  Target parse_target(std::string_view end, bool attributes) {
    Target all = parse_single_target(attributes);
    if (!core_.at_operator(",")) return all;
    Target tuple{.line = all.line};
    tuple.parts.push_back(std::move(all));
    while (core_.skip_operator(",")) {
      if (core_.at_operator(")") || core_.at_operator("=") ||
          (!end.empty() && core_.at_name(end))) {
        break;
      }
      tuple.parts.push_back(parse_single_target(attributes));
    }
    return tuple;
  }

  Target parse_single_target(bool attributes) {
    const ParserCore::Level level(core_);
    if (core_.skip_operator("(")) {
      Target inner = parse_target({}, false);
      core_.expect_operator(")");
      return inner;
    }
    Target target{.line = core_.line()};
    const std::string name = core_.take_name();
    for (std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant) fail_at(target.line, fmt::format("'{}' cannot be assigned to", name));
    }
    target.name = core_.name_id(name);
    if (attributes && core_.skip_operator(".")) target.attribute = core_.take_name();
    return target;
  }

  ParserCore core_;
  ExpressionParser expressions_;
  int loops_ = 0;  // around the statement being parsed
};

}  // namespace

ParsedTemplate parse_template(std::string_view source) {
  return StatementParser(tokenize(source)).run();
}

}  // namespace looplm::jinja
