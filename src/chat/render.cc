#include "chat/render.h"

#include <fmt/format.h>

#include "base/json.h"
#include "chat/jinja/characters.h"
#include "chat/jinja/json_value.h"

namespace looplm {
namespace {

using jinja::Dict;
using jinja::kForeign;
using jinja::Text;
using jinja::Value;

// Stands behind the message to go on with, to find its end in the prompt.
constexpr std::string_view kTag = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kBareTag = "CONTINUE_FINAL_MESSAGE_TAG";

jinja::Budget& unlimited() {
  static thread_local jinja::Budget budget(SIZE_MAX, SIZE_MAX);
  return budget;
}

Value foreign(const std::string& text) { return Value::text(text, kForeign); }

Value dict_value(Dict dict) { return jinja::make_dict(unlimited(), std::move(dict)); }
Value list_value(std::vector<Value> items) {
  return jinja::make_list(unlimited(), std::move(items));
}

Value tool_call_value(const ToolCall& call, ArgumentsAs as) {
  Value arguments = foreign(call.arguments);
  if (as == ArgumentsAs::kObject) {
    // What is no JSON stays text: so the model sees what it wrote.
    const Result<OrderedJson> json = parse_ordered_json(call.arguments, "arguments");
    if (json.ok()) arguments = jinja::from_json(json.value(), kForeign);
  }
  Dict function;
  function.set(Value::text("name"), foreign(call.name));
  function.set(Value::text("arguments"), std::move(arguments));
  Dict dict;
  if (!call.id.empty()) dict.set(Value::text("id"), foreign(call.id));
  dict.set(Value::text("type"), Value::text("function"));
  dict.set(Value::text("function"), dict_value(std::move(function)));
  return dict_value(std::move(dict));
}

Value with_tag(const Value& text) {
  Text longer = *text.string();
  longer.append(kTag, kForeign);
  return Value(std::move(longer));
}

// The last message with the tag behind its text; its text goes to `final_text`.
Result<Value> tagged(const Value& message, std::string& final_text) {
  Dict dict = *message.dict();
  const Value* content = dict.find("content");
  if (content != nullptr && content->string() != nullptr) {
    final_text = content->string()->view();
    dict.set(Value::text("content"), with_tag(*content));
    return dict_value(std::move(dict));
  }
  if (content != nullptr && content->list() != nullptr) {
    std::vector<Value> parts = content->list()->items;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      const Value* text = part->dict() == nullptr ? nullptr : part->dict()->find("text");
      if (text == nullptr || text->string() == nullptr) continue;
      final_text = text->string()->view();
      Dict longer = *part->dict();
      longer.set(Value::text("text"), with_tag(*text));
      *part = dict_value(std::move(longer));
      dict.set(Value::text("content"), list_value(std::move(parts)));
      return dict_value(std::move(dict));
    }
  }
  return invalid_argument("the last message has no text to continue");
}

size_t skip_space_back(std::string_view text, size_t end) {
  while (end > 0) {
    size_t at = jinja::previous_character(text, end);
    const size_t begin = at;
    if (!jinja::is_space(jinja::next_character(text, at))) break;
    end = begin;
  }
  return end;
}

std::string_view stripped(std::string_view text) {
  size_t begin = 0;
  while (begin < text.size()) {
    size_t next = begin;
    if (!jinja::is_space(jinja::next_character(text, next))) break;
    begin = next;
  }
  text.remove_prefix(begin);
  return text.substr(0, skip_space_back(text, text.size()));
}

// Up to the tag; where the template trimmed the message, without the space before it either.
Result<Text> cut_at_tag(const Text& text, const std::string& final_text) {
  const std::string_view all = text.view();
  const size_t tag = all.rfind(kBareTag);
  if (tag == std::string_view::npos || all.find(stripped(final_text)) == std::string_view::npos) {
    return invalid_argument(
        "the last message cannot be continued: the template leaves its text or its end out");
  }
  const bool spacing_kept = all.substr(tag).starts_with(kTag);
  Text cut;
  cut.append(text, 0, spacing_kept ? tag : skip_space_back(all, tag));
  return cut;
}

}  // namespace

Result<Text> render_conversation(const jinja::Program& program, const RenderInput& input) {
  std::vector<Value> messages = input.messages;
  std::string final_text;
  if (input.continue_final_message) {
    if (messages.empty()) return invalid_argument("there is no message to continue");
    LOOPLM_ASSIGN_OR_RETURN(messages.back(), tagged(messages.back(), final_text));
  }
  Dict variables;
  variables.set(Value::text("messages"), list_value(std::move(messages)));
  variables.set(Value::text("tools"), input.tools);
  variables.set(Value::text("documents"), Value());
  variables.set(Value::text("add_generation_prompt"), Value(input.add_generation_prompt));
  if (input.tokens != nullptr) {
    for (const auto& [name, text] : *input.tokens) {
      variables.set(Value::text(name), Value::text(text));
    }
  }
  for (const Dict::Entry& entry : input.variables.entries()) {
    variables.set(entry.key, entry.value);
  }
  LOOPLM_ASSIGN_OR_RETURN(Text text, program.render(variables, input.now));
  if (!input.continue_final_message) return text;
  return cut_at_tag(text, final_text);
}

Value message_value(const ChatMessage& message, ArgumentsAs arguments) {
  Dict dict;
  dict.set(Value::text("role"), Value::text(chat_role_name(message.role)));
  if (message.parts) {
    std::vector<Value> parts;
    for (const std::string& text : message.content) {
      Dict part;
      part.set(Value::text("type"), Value::text("text"));
      part.set(Value::text("text"), foreign(text));
      parts.push_back(dict_value(std::move(part)));
    }
    dict.set(Value::text("content"), list_value(std::move(parts)));
  } else if (!message.content.empty()) {
    dict.set(Value::text("content"), foreign(message.content.front()));
  }
  if (!message.reasoning.empty()) {
    dict.set(Value::text("reasoning_content"), foreign(message.reasoning));
    dict.set(Value::text("thinking"), foreign(message.reasoning));
  }
  if (!message.tool_calls.empty()) {
    std::vector<Value> calls;
    for (const ToolCall& call : message.tool_calls) {
      calls.push_back(tool_call_value(call, arguments));
    }
    dict.set(Value::text("tool_calls"), list_value(std::move(calls)));
  }
  if (!message.tool_call_id.empty()) {
    dict.set(Value::text("tool_call_id"), foreign(message.tool_call_id));
  }
  if (!message.name.empty()) dict.set(Value::text("name"), foreign(message.name));
  return dict_value(std::move(dict));
}

Value tools_value(const std::vector<ChatTool>& tools) {
  if (tools.empty()) return Value();
  std::vector<Value> values;
  for (const ChatTool& tool : tools) {
    const Result<OrderedJson> json = parse_ordered_json(tool.json, tool.name);
    if (json.ok()) values.push_back(jinja::from_json(json.value(), kForeign));
  }
  return list_value(std::move(values));
}

}  // namespace looplm
