#include "chat/capabilities.h"

#include <fmt/format.h>

namespace looplm {
namespace {

class Prober {
 public:
  Prober(const jinja::Program& program, const std::map<std::string, std::string>& tokens)
      : program_(program), tokens_(tokens) {}

  // The prompt, or nothing where the template fails.
  std::string render(std::vector<ChatMessage> messages, ArgumentsAs arguments,
                     const std::vector<ChatTool>& tools = {}) const {
    RenderInput input;
    for (const ChatMessage& message : messages) {
      input.messages.push_back(message_value(message, arguments));
    }
    input.tools = tools_value(tools);
    input.tokens = &tokens_;
    const Result<jinja::Text> text = render_conversation(program_, input);
    return text.ok() ? std::string(text.value().view()) : std::string();
  }

 private:
  const jinja::Program& program_;
  const std::map<std::string, std::string>& tokens_;
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

void append_text(ChatMessage& message, const std::string& text, std::string_view between) {
  if (message.content.empty()) message.content.emplace_back();
  std::string& last = message.content.back();
  if (!last.empty()) last += between;
  last += text;
}

std::string describe_tools(const std::vector<ChatTool>& tools) {
  std::string text =
      "You may call functions to help with the request. Their signatures stand between <tools> and "
      "</tools>:\n<tools>\n";
  for (const ChatTool& tool : tools) text += tool.json + "\n";
  return text +
         "</tools>\n\nTo call a function, write a JSON object with its name and arguments between "
         "<tool_call> and </tool_call>:\n<tool_call>\n{\"name\": <name>, \"arguments\": "
         "<arguments>}\n</tool_call>";
}

std::string written_call(const ToolCall& call) {
  const std::string arguments = call.arguments.empty() ? "{}" : call.arguments;
  return fmt::format("<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>",
                     call.name, arguments);
}

// The system's text goes in front of the user's first message.
void merge_system(std::vector<ChatMessage>& messages) {
  std::string system;
  std::vector<ChatMessage> kept;
  for (ChatMessage& message : messages) {
    if (message.role != ChatRole::kSystem) {
      kept.push_back(std::move(message));
      continue;
    }
    if (!system.empty()) system += "\n\n";
    system += message.text();
  }
  messages = std::move(kept);
  if (system.empty()) return;
  if (messages.empty() || messages.front().role != ChatRole::kUser) {
    messages.insert(messages.begin(), chat_message(ChatRole::kUser, std::move(system)));
    return;
  }
  ChatMessage& first = messages.front();
  if (first.content.empty()) first.content.emplace_back();
  first.content.front() = system + "\n\n" + first.content.front();
}

}  // namespace

ChatTool probe_tool() {
  return {"probe_tool",
          R"({"type": "function", "function": {"name": "probe_tool", "description": "probe", )"
          R"("parameters": {"type": "object", "properties": {"probe_key": {"type": "string", )"
          R"("description": "probe"}}, "required": ["probe_key"]}}})"};
}

ChatCapabilities find_capabilities(const jinja::Program& program, const std::string& source,
                                   const std::map<std::string, std::string>& tokens) {
  const Prober prober(program, tokens);
  const auto object = ArgumentsAs::kObject;
  ChatCapabilities found;
  found.developer = has(source, "developer");
  const ChatMessage user = chat_message(ChatRole::kUser, "probe_question");
  found.system = has(prober.render({chat_message(ChatRole::kSystem, "probe_system"), user}, object),
                     "probe_system");
  found.plain_content = has(prober.render({user}, object), "probe_question");
  ChatMessage in_parts = user;
  in_parts.parts = true;
  const std::string parts = prober.render({in_parts}, object);
  found.parts = has(parts, "probe_question") && !has(parts, "'text'") && !has(parts, "\"text\"");

  const std::vector<ChatTool> tools = {probe_tool()};
  found.tools = has(prober.render({user}, object, tools), "probe_tool");

  ChatMessage call;
  call.role = ChatRole::kAssistant;
  call.tool_calls.push_back({"call00001", "probe_tool", R"({"probe_key": "probe_value"})"});
  ChatMessage answer = chat_message(ChatRole::kTool, "probe_answer");
  answer.tool_call_id = "call00001";
  answer.name = "probe_tool";
  const std::string as_object = prober.render({user, call, answer}, object, tools);
  const std::string as_text = prober.render({user, call, answer}, ArgumentsAs::kText, tools);
  const bool takes_object = has(as_object, "probe_value") && !has(as_object, "'probe_key'");
  const bool takes_text = has(as_text, R"({"probe_key": "probe_value"})");
  found.tool_calls = takes_object || takes_text;
  found.arguments = takes_text && !takes_object ? ArgumentsAs::kText : ArgumentsAs::kObject;
  found.tool_role = has(takes_text ? as_text : as_object, "probe_answer");
  return found;
}

std::vector<std::string> capability_notes(const ChatCapabilities& capabilities) {
  std::vector<std::string> notes;
  if (!capabilities.system) {
    notes.emplace_back(
        "the model reads no system messages: their text goes in front of the user's first message");
  }
  if (!capabilities.tools) {
    notes.emplace_back(
        "the model has not learnt to call tools: they are described to it in the system message");
  }
  return notes;
}

std::vector<ChatMessage> adapted(std::span<const ChatMessage> messages,
                                 const std::vector<ChatTool>& tools,
                                 const ChatCapabilities& capabilities) {
  std::vector<ChatMessage> out;
  bool answers = false;  // the last message collects tools' answers
  for (const ChatMessage& original : messages) {
    ChatMessage message = original;
    if (message.role == ChatRole::kDeveloper && !capabilities.developer) {
      message.role = ChatRole::kSystem;
    }
    if (message.role == ChatRole::kTool && !(capabilities.tool_role && capabilities.tool_calls)) {
      const std::string text = "<tool_response>\n" + message.text() + "\n</tool_response>";
      if (answers) {
        append_text(out.back(), text, "\n");
        continue;
      }
      message = chat_message(ChatRole::kUser, text);
      answers = true;
    } else {
      answers = false;
    }
    if (!message.tool_calls.empty() && !capabilities.tool_calls) {
      for (const ToolCall& call : message.tool_calls) {
        append_text(message, written_call(call), "\n");
      }
      message.tool_calls.clear();
    }
    out.push_back(std::move(message));
  }
  if (!tools.empty() && !capabilities.tools) {
    if (out.empty() || out.front().role != ChatRole::kSystem) {
      out.insert(out.begin(), chat_message(ChatRole::kSystem, ""));
    }
    append_text(out.front(), describe_tools(tools), "\n\n");
  }
  if (!capabilities.system) merge_system(out);
  for (ChatMessage& message : out) {
    // null says nothing, and templates add to it.
    if (message.content.empty() && message.tool_calls.empty()) message.content.emplace_back();
    if (message.parts && !capabilities.parts) {
      message.content = {message.text()};
      message.parts = false;
    } else if (!message.parts && !capabilities.plain_content && capabilities.parts) {
      message.parts = true;
    }
  }
  return out;
}

}  // namespace looplm
