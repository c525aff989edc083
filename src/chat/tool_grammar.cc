#include "chat/tool_grammar.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/shortened.h"
#include "grammar/json_schema.h"

namespace looplm {
namespace {

// What stands around a call and between calls.
struct Form {
  const char* before_all;
  const char* before;
  const char* arguments;
  const char* after;
  const char* between;
  const char* after_all;
};

Form form_of(ToolCallFormat format) {
  switch (format) {
    case ToolCallFormat::kHermes:
      return {"", "<tool_call>\n", "\"arguments\": ", "}\n</tool_call>", "\n", ""};
    case ToolCallFormat::kMistral:
      return {"[TOOL_CALLS][", "", "\"arguments\": ", "}", ", ", "]"};
    default:
      return {"", "", "\"parameters\": ", "}", "; ", ""};
  }
}

bool says_strict(const OrderedJson& function) {
  return function.value("strict", OrderedJson()) == true;
}

// The arguments of a tool; without a schema an empty object.
Result<ExpressionPtr> arguments_of(const ChatTool& tool, bool strict_only, Grammar& grammar) {
  const std::string place = fmt::format("tools.{}.parameters", shortened(tool.name));
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson json, parse_ordered_json(tool.json, tool.name));
  const OrderedJson& function = json["function"];
  if (strict_only && !says_strict(function)) {
    return add_json_schema({{"type", "object"}}, place, grammar);
  }
  const auto parameters = function.find("parameters");
  if (parameters == function.end() || parameters->is_null() || parameters->empty()) {
    return text("{}");
  }
  OrderedJson object = *parameters;
  if (!object.contains("type") || !object["type"].is_string()) object["type"] = "object";
  return add_json_schema(object, place, grammar);
}

// Text in which no call begins, as ChatOutputParser sees it.
ExpressionPtr text_without_calls(ToolCallFormat format) {
  const ExpressionPtr any = any_text();
  if (format == ToolCallFormat::kHermes)
    return overlap({any}, {sequence({any, text("<tool_call>"), any})});
  if (format == ToolCallFormat::kMistral) {
    return overlap({any}, {sequence({any, text("[TOOL_CALLS]"), any})});
  }
  const ExpressionPtr space = characters({{' ', ' '}, {'\t', '\t'}, {'\n', '\n'}, {'\r', '\r'}});
  const ExpressionPtr begin = choice({text("{"), text("<|python_tag|>")});
  return overlap({any}, {sequence({repeat(space, 0, kUnbounded), begin, any})});
}

}  // namespace

Result<Grammar> tool_call_grammar(ToolCallFormat format, std::span<const ChatTool> tools,
                                  const ToolGrammarOptions& options) {
  const Form form = form_of(format);
  Grammar grammar;
  grammar.start = grammar.declare("calls");
  std::vector<ExpressionPtr> calls;
  for (const ChatTool& tool : tools) {
    if (!options.only.empty() && tool.name != options.only) continue;
    LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr arguments,
                            arguments_of(tool, options.strict_only, grammar));
    const std::string head = fmt::format("{}{{\"name\": {}, {}", form.before,
                                         dump_json(OrderedJson(tool.name)), form.arguments);
    calls.push_back(sequence({text(head), std::move(arguments), text(form.after)}));
  }
  if (calls.empty()) {
    return invalid_argument(options.only.empty()
                                ? "a tool call is required, but there are no tools"
                                : fmt::format("there is no tool '{}'", options.only));
  }
  const ExpressionPtr call = choice(std::move(calls));
  const ExpressionPtr more =
      repeat(sequence({text(form.between), call}), 0, std::max<int64_t>(0, options.most_calls - 1));
  grammar.rules[static_cast<size_t>(grammar.start)].expression =
      sequence({text(form.before_all), call, more, text(form.after_all)});
  return grammar;
}

Result<Grammar> answer_or_calls_grammar(ToolCallFormat format, std::span<const ChatTool> tools,
                                        const ToolGrammarOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(Grammar grammar, tool_call_grammar(format, tools, options));
  const ExpressionPtr calls = rule_reference(grammar.start);
  const ExpressionPtr answer = text_without_calls(format);
  grammar.start = grammar.declare("answer or calls");
  // In Llama's form a call is the whole answer.
  grammar.rules[static_cast<size_t>(grammar.start)].expression =
      format == ToolCallFormat::kLlama ? choice({answer, calls})
                                       : sequence({answer, optional(calls)});
  return grammar;
}

bool is_strict(const ChatTool& tool) {
  const Result<OrderedJson> json = parse_ordered_json(tool.json, tool.name);
  return json.ok() && says_strict(json.value()["function"]);
}

}  // namespace looplm
