#include "chat/message.h"

#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace looplm {
namespace {

constexpr std::array<std::pair<const char*, ChatRole>, 5> kRoles = {
    {{"system", ChatRole::kSystem},
     {"developer", ChatRole::kDeveloper},
     {"user", ChatRole::kUser},
     {"assistant", ChatRole::kAssistant},
     {"tool", ChatRole::kTool}}};

Status wrong(const std::string& place, const OrderedJson& value, const std::string& expected) {
  return invalid_argument(fmt::format("{} is {}; expected {}", place, shown_json(value), expected));
}

// The value under a key, or null where it is missing or null.
const OrderedJson* get(const OrderedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Status read_string(const OrderedJson& object, const char* key, const std::string& place,
                   std::string& value) {
  const OrderedJson* found = get(object, key);
  if (found == nullptr) return {};
  if (!found->is_string()) return wrong(fmt::format("{}.{}", place, key), *found, "a string");
  value = found->get<std::string>();
  return {};
}

// Null counts as absent, also to a template that would join it to a text.
OrderedJson without_nulls(const OrderedJson& tool) {
  OrderedJson kept = OrderedJson::object();
  for (const auto& [key, value] : tool.items()) {
    if (value.is_null()) continue;
    kept[key] = key == "function" && value.is_object() ? without_nulls(value) : value;
  }
  return kept;
}

Status read_part(const OrderedJson& part, const std::string& place, ChatMessage& message) {
  if (!part.is_object()) return wrong(place, part, "an object with \"type\" and \"text\"");
  const OrderedJson* type = get(part, "type");
  if (type == nullptr) return invalid_argument(fmt::format("{}.type is missing", place));
  const bool refusal = *type == "refusal";
  if (*type != "text" && !refusal) {
    return wrong(place + ".type", *type, "\"text\"; this model reads text alone");
  }
  const char* key = refusal ? "refusal" : "text";
  if (get(part, key) == nullptr) {
    return invalid_argument(fmt::format("{}.{} is missing", place, key));
  }
  return read_string(part, key, place, message.content.emplace_back());
}

Status read_content(const OrderedJson& object, const std::string& place, ChatMessage& message) {
  const OrderedJson* content = get(object, "content");
  if (content == nullptr) {
    if (message.role == ChatRole::kAssistant) return {};
    return invalid_argument(
        fmt::format("{}.content is missing; expected a string or a list of parts", place));
  }
  if (content->is_string()) {
    message.content.push_back(content->get<std::string>());
    return {};
  }
  if (!content->is_array()) {
    return wrong(place + ".content", *content, "a string or a list of parts");
  }
  message.parts = true;
  for (size_t i = 0; i < content->size(); ++i) {
    LOOPLM_RETURN_IF_ERROR(
        read_part((*content)[i], fmt::format("{}.content[{}]", place, i), message));
  }
  return {};
}

Status read_tool_call(const OrderedJson& object, const std::string& place, ToolCall& call) {
  if (!object.is_object()) return wrong(place, object, "an object");
  LOOPLM_RETURN_IF_ERROR(read_string(object, "id", place, call.id));
  if (const OrderedJson* type = get(object, "type"); type != nullptr && *type != "function") {
    return wrong(place + ".type", *type, "\"function\"");
  }
  const OrderedJson* function = get(object, "function");
  if (function == nullptr || !function->is_object()) {
    return wrong(place + ".function", function == nullptr ? OrderedJson() : *function,
                 "an object with \"name\" and \"arguments\"");
  }
  const std::string inside = place + ".function";
  LOOPLM_RETURN_IF_ERROR(read_string(*function, "name", inside, call.name));
  if (call.name.empty()) return invalid_argument(inside + ".name is missing");
  const OrderedJson* arguments = get(*function, "arguments");
  if (arguments == nullptr || *arguments == "") {
    call.arguments = "{}";
  } else if (arguments->is_string()) {
    call.arguments = arguments->get<std::string>();
  } else if (arguments->is_object()) {
    call.arguments = dump_json(*arguments);
  } else {
    return wrong(inside + ".arguments", *arguments, "JSON as a string, or an object");
  }
  return {};
}

Status read_message(const OrderedJson& object, const std::string& place, ChatMessage& message) {
  if (!object.is_object()) return wrong(place, object, "an object with \"role\" and \"content\"");
  const OrderedJson* role = get(object, "role");
  if (role == nullptr) {
    return invalid_argument(
        fmt::format("{}.role is missing; expected an object with \"role\" and \"content\", not {}",
                    place, shown_json(object)));
  }
  bool known = false;
  for (const auto& [name, value] : kRoles) {
    if (*role != name) continue;
    message.role = value;
    known = true;
  }
  if (!known) {
    return wrong(place + ".role", *role,
                 "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
  }
  LOOPLM_RETURN_IF_ERROR(read_content(object, place, message));
  LOOPLM_RETURN_IF_ERROR(read_string(object, "name", place, message.name));
  LOOPLM_RETURN_IF_ERROR(read_string(object, "tool_call_id", place, message.tool_call_id));
  for (const char* key : {"reasoning_content", "thinking", "reasoning"}) {
    if (!message.reasoning.empty()) break;
    LOOPLM_RETURN_IF_ERROR(read_string(object, key, place, message.reasoning));
  }
  const OrderedJson* calls = get(object, "tool_calls");
  if (calls == nullptr) return {};
  if (!calls->is_array()) return wrong(place + ".tool_calls", *calls, "a list");
  if (message.role != ChatRole::kAssistant && !calls->empty()) {
    return invalid_argument(
        fmt::format("{}.tool_calls stands in a message of the {}; only the "
                    "assistant calls tools",
                    place, chat_role_name(message.role)));
  }
  for (size_t i = 0; i < calls->size(); ++i) {
    LOOPLM_RETURN_IF_ERROR(read_tool_call((*calls)[i], fmt::format("{}.tool_calls[{}]", place, i),
                                          message.tool_calls.emplace_back()));
  }
  return {};
}

}  // namespace

const char* chat_role_name(ChatRole role) {
  for (const auto& [name, value] : kRoles) {
    if (value == role) return name;
  }
  return "";
}

std::string ChatMessage::text() const {
  std::string all;
  for (size_t i = 0; i < content.size(); ++i) {
    if (i > 0) all += '\n';
    all += content[i];
  }
  return all;
}

ChatMessage chat_message(ChatRole role, std::string content) {
  ChatMessage message;
  message.role = role;
  message.content.push_back(std::move(content));
  return message;
}

Result<std::vector<ChatMessage>> read_chat_messages(const OrderedJson& list,
                                                    const std::string& place) {
  if (!list.is_array()) return wrong(place, list, "a list of messages");
  if (list.empty()) return invalid_argument(place + " is empty; expected at least one message");
  std::vector<ChatMessage> messages(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    LOOPLM_RETURN_IF_ERROR(read_message(list[i], fmt::format("{}[{}]", place, i), messages[i]));
  }
  return messages;
}

Result<std::vector<ChatTool>> read_chat_tools(const OrderedJson& list, const std::string& place) {
  if (!list.is_array()) return wrong(place, list, "a list of tools");
  std::vector<ChatTool> tools;
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string here = fmt::format("{}[{}]", place, i);
    const OrderedJson& tool = list[i];
    if (!tool.is_object()) return wrong(here, tool, "an object");
    const OrderedJson* type = get(tool, "type");
    if (type == nullptr || *type != "function") {
      return wrong(here + ".type", type == nullptr ? OrderedJson() : *type, "\"function\"");
    }
    const OrderedJson* function = get(tool, "function");
    if (function == nullptr || !function->is_object()) {
      return wrong(here + ".function", function == nullptr ? OrderedJson() : *function,
                   "an object with a \"name\"");
    }
    ChatTool& read = tools.emplace_back();
    LOOPLM_RETURN_IF_ERROR(read_string(*function, "name", here + ".function", read.name));
    if (read.name.empty()) return invalid_argument(here + ".function.name is missing");
    const OrderedJson* parameters = get(*function, "parameters");
    if (parameters != nullptr && !parameters->is_object()) {
      return wrong(here + ".function.parameters", *parameters, "a JSON Schema, an object");
    }
    if (const auto [other, fresh] = places.try_emplace(read.name, i); !fresh) {
      return invalid_argument(
          fmt::format("{}.function.name is '{}', as {}[{}]'s is; expected different names", here,
                      read.name, place, other->second));
    }
    read.json = dump_json(without_nulls(tool));
  }
  return tools;
}

Result<std::vector<ChatMessage>> parse_chat_messages(std::string_view json) {
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson list, parse_ordered_json(json, "messages"));
  return read_chat_messages(list, "messages");
}

Result<std::vector<ChatTool>> parse_chat_tools(std::string_view json) {
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson list, parse_ordered_json(json, "tools"));
  return read_chat_tools(list, "tools");
}

}  // namespace looplm
