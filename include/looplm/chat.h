// Conversations. A chat template turns messages into a model's prompt. A parser turns the model's
// output back into reasoning, content and tool calls.
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
  std::string arguments;  // JSON: an object, if the model kept to the form
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

// Read the lists "messages" and "tools" of OpenAI's API. Errors name the place ("messages[2].
// content[0].type"), the value and what was expected. Content is text, or a list of text parts.
// Arguments of tool calls may be an object or its JSON text. Reasoning may be in reasoning_content,
// reasoning or thinking.
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

  bool has_template(std::string_view text) const;
};
// Reads chat_template.jinja and additional_chat_templates/, chat_template.json,
// tokenizer_config.json and special_tokens_map.json in a model's directory, and takes the first
// that has a template, and the first that names a token. Missing files are no error. For a GGUF
// file, the model layer fills ChatFiles.
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

// A model's chat template. Copies share the parsed template. Several threads may use one at once.
class ChatTemplate {
 public:
  // Without templates: ChatML if the tokenizer has its tokens, else a line per message with the
  // speaker's name. If a template cannot be parsed, the error names the line.
  static Result<ChatTemplate> create(const ChatFiles& files, const Tokenizer& tokenizer);

  // Renders the prompt. What the template has no place for goes to another place: see notes().
  // Fails if the template raises an exception (such as "roles must alternate"), or takes too many
  // steps or too much memory.
  Result<RenderedChat> render(std::span<const ChatMessage> messages,
                              const ChatRenderOptions& options = {}) const;

  const ChatFormat& format() const;
  // The special token that ends the assistant's turn; empty if there is none. Where the template
  // writes none, that is the first token of the next turn (GLM's <|user|>), and where no token
  // ends an answer, the one that ends a call of a tool.
  const std::string& end_of_turn() const;
  // Ids of that token and, where a call of a tool ends with another one, of that too. A model that
  // has learnt such turns stops there.
  const std::vector<int32_t>& end_ids() const;
  // Whether the model is one for conversations. Without a template, and without ChatML's tokens, it
  // has learnt no turns, and continues a text.
  bool converses() const;
  // What a user should know: which template replaces a missing one, and what looplm works around.
  const std::vector<std::string>& notes() const;
  // The text of the template for chats without tools.
  const std::string& source() const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

struct EncodedChat {
  std::vector<int32_t> ids;
  std::vector<bool> generated;  // for each id: whether some of it is inside {% generation %}
  std::vector<bool>
      foreign;  // whether some of it is from the conversation; only if some is generated
};
// Encodes a prompt. Special tokens of the template are read as such; those in the conversation stay
// text. If the conversation contains none, the ids are those of the whole text.
Result<EncodedChat> encode_chat(const Tokenizer& tokenizer, const RenderedChat& chat);

// A piece of the model's output, as soon as it is certain. All pieces of a kind, joined, are the
// whole.
struct ChatDelta {
  enum class Kind {
    kReasoning,
    kContent,
    kToolCall,   // a call begins: its id and name
    kArguments,  // a piece of its arguments
  };
  Kind kind = Kind::kContent;
  std::string text{};  // of reasoning, content and arguments
  size_t call = 0;     // of tool calls: which one, from 0
  std::string id{};    // of a call that begins
  std::string name{};
};

struct ChatParseOptions {
  ChatFormat format;
  bool in_reasoning = false;  // RenderedChat's: the prompt has opened the reasoning
  bool reasoning = true;      // off: <think> is content like any other
  bool tool_calls = false;    // the request has tools
  bool must_call = false;     // the answer is calls alone, but for its reasoning
  uint64_t id_seed = 0;       // ids of calls are drawn from it
};

// Why no more text comes: the answer is whole, or its budget is used up. Then tags and calls that
// have only begun are left out, where they can be nothing else.
enum class AnswerEnd { kWhole, kCut };

// Splits an answer into reasoning, content and tool calls while the model writes it. The size of
// the pushed pieces changes only where the deltas are cut.
//
// Reasoning is at the beginning, up to its end tag or the answer's end. A call counts once its name
// and the opening brace of its arguments have arrived. Text that begins like a call and is none
// stays content. The parser removes white space around reasoning and calls. The reasoning contains
// no calls.
class ChatOutputParser {
 public:
  explicit ChatOutputParser(const ChatParseOptions& options);
  ChatOutputParser(ChatOutputParser&&) noexcept;
  ~ChatOutputParser();

  // `text` is whole characters, as a Detokenizer gives them.
  std::vector<ChatDelta> push(std::string_view text);
  // No more text will come.
  std::vector<ChatDelta> finish(AnswerEnd end = AnswerEnd::kWhole);

  // What the deltas so far add up to.
  const ChatMessage& message() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Texts that the parser must see. They may be special tokens, which detokenisers otherwise leave
// out.
std::vector<std::string> chat_markers(const ChatFormat& format);

// Bounds the reasoning: after `budget` tokens of it, the ids of its end tag must follow. forced()
// says what must come next. A scheduler that takes tokens back calls forget().
class ReasoningBudget {
 public:
  // `budget` < 0: no bound; it only tracks where the reasoning ends.
  static Result<ReasoningBudget> create(const Tokenizer& tokenizer, const ChatFormat& format,
                                        bool in_reasoning, int64_t budget);

  void accept(int32_t id);
  void forget(int64_t count);  // the last `count` accepted
  // The id that must come next; none: any id may.
  std::optional<int32_t> forced() const;
  // Whether the next token is still part of the reasoning, or of its end tag.
  bool in_reasoning() const;
  int64_t reasoning_tokens() const;  // without the tags

 private:
  enum class Phase { kBefore, kInside, kForcing, kAfter };
  struct State {
    Phase phase = Phase::kBefore;
    int64_t tokens = 0;    // of reasoning
    size_t tail = 0;       // bytes of the end tag that were there when it was forced
    size_t forced = 0;     // ids of the rest of it, already there
    std::string recent{};  // the end of the text, where a tag may have begun
  };
  ReasoningBudget() = default;
  State after(State state, int32_t id) const;

  const Tokenizer* tokenizer_ = nullptr;
  std::string begin_, end_;
  std::vector<std::vector<int32_t>> end_ids_;  // of the end tag without its first n bytes
  int64_t budget_ = -1;
  std::vector<State> states_;  // before the first token, after each accepted one
};

}  // namespace looplm

#endif  // LOOPLM_CHAT_H_
