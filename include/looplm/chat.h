// Conversations: messages to a model's prompt by its chat template, and what it wrote back into
// reasoning, content and tool calls.
#ifndef LOOPLM_CHAT_H_
#define LOOPLM_CHAT_H_

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

namespace looplm {

enum class ChatRole { kSystem, kDeveloper, kUser, kAssistant, kTool };
const char* chat_role_name(ChatRole role);

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON, an object where the model kept to the form
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  // Pieces of text: one for plain content, none for null, any number for a list of parts.
  std::vector<std::string> content;
  bool parts = false;     // the content was given as a list
  std::string reasoning;  // of the assistant; empty: none
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;  // of a tool's answer
  std::string name;

  std::string text() const;  // the pieces, a line each
};
ChatMessage chat_message(ChatRole role, std::string content);

struct ChatTool {
  std::string name;
  std::string json;  // all of it, {"type": "function", "function": {...}}, keys in their order
};

// Lists as OpenAI's API has them in "messages" and "tools". Errors name the place ("messages[2].
// content[0].type"), the value and what was expected. Content is text, or a list of parts of text.
// Arguments of tool calls may be JSON's text or an object; reasoning may stand in
// reasoning_content, reasoning or thinking.
Result<std::vector<ChatMessage>> parse_chat_messages(std::string_view json);
Result<std::vector<ChatTool>> parse_chat_tools(std::string_view json);

// A template under its name: "default", "tool_use" (for requests with tools), or another.
struct ChatTemplateSource {
  std::string name = "default";
  std::string text;
};

// What a model's files say about chats.
struct ChatFiles {
  std::vector<ChatTemplateSource> templates;  // none: the model comes without
  std::map<std::string, std::string> tokens;  // "bos_token" and the like: special tokens' texts
};
// Reads chat_template.jinja and additional_chat_templates/, chat_template.json and
// tokenizer_config.json in a model's directory; the first of them that has a template counts.
// Files that are not there are none. Of a GGUF file, the model layer fills ChatFiles.
Result<ChatFiles> read_chat_files(const std::string& directory);

struct ChatRenderOptions {
  std::vector<ChatTool> tools;
  bool add_generation_prompt = true;    // end with the beginning of the assistant's turn
  bool continue_final_message = false;  // end within the last message, to go on with it
  std::optional<bool> enable_thinking;  // what templates of reasoning models ask
  std::string arguments;                // more variables for the template: a JSON object, or empty
  std::time_t now = 0;                  // for templates that write the date; 0: the clock's
};

// A stretch of a prompt.
struct ChatSpan {
  size_t size = 0;         // bytes
  bool foreign = false;    // from the conversation: special tokens in it are text
  bool generated = false;  // inside the template's {% generation %}: what the assistant wrote
};

struct RenderedChat {
  std::string text;
  std::vector<ChatSpan> spans;  // all of the text
  bool in_reasoning = false;    // the prompt ends inside an opened <think>
};

// How a model writes tool calls.
enum class ToolCallFormat {
  kHermes,   // <tool_call>{"name": ..., "arguments": {...}}</tool_call>, also Qwen's
  kMistral,  // [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]
  kLlama,    // {"name": ..., "parameters": {...}} as the whole answer
};

// What to look for in a model's output.
struct ChatFormat {
  std::string reasoning_begin = "<think>";
  std::string reasoning_end = "</think>";
  ToolCallFormat tool_calls = ToolCallFormat::kHermes;
};

// A model's chat template. Copies share what was parsed; may be used by several threads at once.
class ChatTemplate {
 public:
  // Without templates: ChatML where the tokenizer has its tokens, else names and lines. Fails on a
  // template that cannot be parsed, with its line.
  static Result<ChatTemplate> create(const ChatFiles& files, const Tokenizer& tokenizer);

  // The prompt. What the template has no place for is put where it has: see notes(). Fails where
  // the template does (its own raise_exception, for example: roles that do not alternate) or takes
  // too many steps or too much memory.
  Result<RenderedChat> render(std::span<const ChatMessage> messages,
                              const ChatRenderOptions& options = {}) const;

  const ChatFormat& format() const;
  // What ends the assistant's turn: the special token behind a message; empty where there is none.
  const std::string& end_of_turn() const;
  // What a user should know: which template stands in for a missing one, and what is worked around.
  const std::vector<std::string>& notes() const;
  // Whether it marks the assistant's words with {% generation %}.
  bool marks_generation() const;
  // The text of the template for chats without tools.
  const std::string& source() const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

struct EncodedChat {
  std::vector<int32_t> ids;
  std::vector<bool> generated;  // of each id: some of it is inside {% generation %}
};
// Ids of a prompt. The template's special tokens are read as such, the conversation's are text.
// Where the conversation has none of their texts, these are the ids of the whole text at once.
Result<EncodedChat> encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat);

}  // namespace looplm

#endif  // LOOPLM_CHAT_H_
