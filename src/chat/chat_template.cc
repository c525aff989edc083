#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "looplm/chat.h"

#include "base/json.h"
#include "chat/capabilities.h"
#include "chat/jinja/json_value.h"
#include "chat/jinja/program.h"
#include "chat/render.h"

namespace looplm {
namespace {

// For models without a template. The end of the assistant's turn is what it learns to write.
constexpr std::string_view kChatMl =
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}"
    "{{ (message.content or '') + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ (message.content or '') + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kPlain =
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ 'Assistant:' }}{% generation %}"
    "{{ ' ' + (message.content or '') | trim }}{% if eos_token %}{{ eos_token }}"
    "{% else %}{{ '\\n' }}{% endif %}{% endgeneration %}"
    "{% if eos_token %}{{ '\\n' }}{% endif %}"
    "{% else %}{{ message.role | capitalize + ': ' + (message.content or '') | trim + '\\n' }}{% "
    "endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kReasoningTags = {
    {{"<think>", "</think>"},
     {"[THINK]", "[/THINK]"},
     {"<seed:think>", "</seed:think>"},
     {"<|START_THINKING|>", "<|END_THINKING|>"}}};

// A model that learns a replacement's turns keeps its text, which therefore says its tokens itself.
std::string token_line(const std::map<std::string, std::string>& tokens, const char* name) {
  const auto token = tokens.find(name);
  if (token == tokens.end() || token->second.empty()) return {};
  return fmt::format("{{% set {} = {} %}}", name, dump_json(Json(token->second)));
}

bool has_part(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

ChatFormat find_format(std::string_view source) {
  ChatFormat format;
  for (const auto& [begin, end] : kReasoningTags) {
    if (!has_part(source, begin) && !has_part(source, end)) continue;
    format.reasoning_begin = begin;
    format.reasoning_end = end;
    break;
  }
  if (has_part(source, "<tool_call>")) {
    format.tool_calls = ToolCallFormat::kHermes;
  } else if (has_part(source, "[TOOL_CALLS]")) {
    format.tool_calls = ToolCallFormat::kMistral;
  } else if (has_part(source, "<|python_tag|>") || has_part(source, "\"parameters\": ")) {
    format.tool_calls = ToolCallFormat::kLlama;
  }
  return format;
}

// The special tokens at which the assistant's turns end, found by rendering small conversations.
class EndsOfTurn {
 public:
  EndsOfTurn(const jinja::Program& program, const ChatCapabilities& capabilities,
             const std::map<std::string, std::string>& tokens, const Tokenizer& tokenizer)
      : program_(program), capabilities_(capabilities), tokens_(tokens), tokenizer_(tokenizer) {}

  // Of an answer, and then of a call of a tool, if it is another one.
  std::vector<int32_t> find() {
    const ChatMessage user = chat_message(ChatRole::kUser, "probe_question");
    const ChatMessage said = chat_message(ChatRole::kAssistant, "probe_answer");
    ChatMessage call = chat_message(ChatRole::kAssistant, "");
    call.tool_calls.push_back({"call00001", "probe_tool", R"({"probe_key": "probe_value"})"});
    ChatMessage calls = call;
    calls.tool_calls.push_back({"call00002", "probe_tool", R"({"probe_key": "probe_second"})"});
    ChatMessage answer = chat_message(ChatRole::kTool, "probe_result");
    answer.tool_call_id = "call00001";
    answer.name = "probe_tool";
    const std::vector<int32_t> after = specials(behind(rendered({user, said}), "probe_answer"));
    if (!after.empty()) add(after.front());
    // Behind the answer the template may write nothing, so that the next turn's first token ends
    // it.
    const bool next_ends = ends_.empty();
    if (next_ends) add(first(behind(rendered({user, said, user}), "probe_answer")));
    // A call may have tokens of its own before the usual end.
    const std::vector<ChatTool> tools = {probe_tool()};
    const std::string turn = rendered({user, call}, tools);
    if (!has_part(turn, "probe_value")) return std::move(ends_);
    std::vector<int32_t> own;
    if (!next_ends) own = specials(behind(turn, "probe_value"));
    if (!own.empty() && contains(own, ends_.front())) return std::move(ends_);
    // What stands between two calls ends none of them.
    std::string between = behind(rendered({user, calls}, tools), "probe_value");
    const size_t next = between.find("probe_second");
    between.resize(next == std::string::npos ? 0 : next);
    const std::vector<int32_t> separate = specials(between);
    std::erase_if(own, [&](int32_t id) { return contains(separate, id); });
    if (!own.empty()) {
      add(own.back());
    } else if (const std::string whole = rendered({user, call, answer}, tools);
               whole.starts_with(turn)) {
      add(first(std::string_view(whole).substr(turn.size())));
    }
    return std::move(ends_);
  }

 private:
  void add(std::optional<int32_t> id) {
    if (id && !contains(ends_, *id)) ends_.push_back(*id);
  }

  static bool contains(const std::vector<int32_t>& ids, int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

  // Empty where the template fails.
  std::string rendered(const std::vector<ChatMessage>& messages,
                       const std::vector<ChatTool>& tools = {}) const {
    RenderInput input;
    for (const ChatMessage& message : adapted(messages, tools, capabilities_)) {
      input.messages.push_back(message_value(message, capabilities_.arguments));
    }
    if (capabilities_.tools) input.tools = tools_value(tools);
    input.tokens = &tokens_;
    const Result<jinja::Text> text = render_conversation(program_, input);
    return text.ok() ? std::string(text.value().view()) : std::string();
  }

  static std::string behind(const std::string& text, std::string_view words) {
    const size_t at = text.rfind(words);
    return at == std::string::npos ? std::string() : text.substr(at + words.size());
  }

  std::vector<int32_t> ids(std::string_view text) const {
    int64_t lost = 0;  // such as a line end that a small vocabulary does not have
    Result<std::vector<int32_t>> ids =
        tokenizer_.encode(text, {.as = EncodeAs::kContinuation, .lost_bytes = &lost});
    return ids.ok() ? std::move(ids).value() : std::vector<int32_t>();
  }

  std::vector<int32_t> specials(std::string_view text) const {
    std::vector<int32_t> all = ids(text);
    std::erase_if(all, [&](int32_t id) { return !tokenizer_.is_special(id); });
    return all;
  }

  // The first token, but for white space, if it is special.
  std::optional<int32_t> first(std::string_view text) const {
    for (const int32_t id : ids(text)) {
      if (tokenizer_.is_special(id)) return id;
      if (tokenizer_.bytes(id).find_first_not_of(" \t\r\n") != std::string::npos) break;
    }
    return std::nullopt;
  }

  const jinja::Program& program_;
  const ChatCapabilities& capabilities_;
  const std::map<std::string, std::string>& tokens_;
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ends_;
};

// Whether the last opened reasoning in the text is still open.
bool opens_reasoning(std::string_view text, const ChatFormat& format) {
  const size_t begin = text.rfind(format.reasoning_begin);
  if (begin == std::string_view::npos) return false;
  const size_t end = text.rfind(format.reasoning_end);
  return end == std::string_view::npos || end < begin;
}

}  // namespace

struct ChatTemplate::State {
  struct Variant {
    std::string source;
    jinja::Program program;
    ChatCapabilities capabilities;
  };
  std::map<std::string, std::string> tokens;
  Variant plain;                      // for chats without tools
  std::optional<Variant> with_tools;  // where the model has another one for them
  ChatFormat format;
  std::vector<int32_t> end_ids;
  std::string end_of_turn;
  std::vector<std::string> notes;
  bool names_as_roles = false;  // kPlain in place of a missing template

  Status set(Variant& variant, std::string source) {
    if (source.find_first_not_of(" \t\r\n") == std::string::npos) {
      return invalid_argument(
          "the model's chat template is empty; expected one in Jinja, or no file or field for it");
    }
    Result<jinja::Program> program = jinja::Program::parse(source);
    if (!program.ok()) return program.status().with_context("chat template");
    variant.capabilities = find_capabilities(program.value(), source, tokens);
    variant.program = std::move(program).value();
    variant.source = std::move(source);
    return {};
  }

  Status set_fallback(const Tokenizer& tokenizer) {
    const bool chat_ml = tokenizer.id_of("<|im_start|>") && tokenizer.id_of("<|im_end|>");
    notes.push_back(chat_ml
                        ? "the model has no chat template; ChatML is used, as it has its tokens"
                        : "the model has no chat template; roles are written as names in front of "
                          "lines, which it may not have learnt");
    std::string front;
    for (int32_t id : tokenizer.ids_in_front()) front += tokenizer.bytes(id);
    tokens.emplace("bos_token", front);
    names_as_roles = !chat_ml;
    return set(plain, token_line(tokens, "bos_token") + token_line(tokens, "eos_token") +
                          std::string(chat_ml ? kChatMl : kPlain));
  }
};

Result<ChatTemplate> ChatTemplate::create(const ChatFiles& files, const Tokenizer& tokenizer) {
  auto state = std::make_shared<State>();
  state->tokens = files.tokens;
  const auto find = [&](std::string_view name) {
    return std::find_if(files.templates.begin(), files.templates.end(),
                        [&](const ChatTemplateSource& source) { return source.name == name; });
  };
  const auto none = files.templates.end();
  const auto with_tools = find("tool_use");
  auto plain = find("default");
  if (plain == none && files.templates.size() == 1) plain = files.templates.begin();
  if (plain == none && with_tools != none) plain = with_tools;
  if (plain == none && !files.templates.empty()) {
    std::string names;
    for (const ChatTemplateSource& source : files.templates) names += " " + source.name;
    return invalid_argument(
        fmt::format("the model has chat templates named{}; expected one named 'default'", names));
  }
  if (plain == none) {
    LOOPLM_RETURN_IF_ERROR(state->set_fallback(tokenizer));
  } else {
    LOOPLM_RETURN_IF_ERROR(state->set(state->plain, plain->text));
    if (with_tools != none && with_tools != plain) {
      LOOPLM_RETURN_IF_ERROR(state->set(state->with_tools.emplace(), with_tools->text));
    }
  }
  const State::Variant& tools = state->with_tools ? *state->with_tools : state->plain;
  state->format = find_format(state->plain.source + tools.source);
  // Nothing says that the model has learnt the turns of a form that it does not bring.
  const auto add_ends = [&](const State::Variant& variant) {
    for (const int32_t id :
         EndsOfTurn(variant.program, variant.capabilities, state->tokens, tokenizer).find()) {
      const auto known = std::find(state->end_ids.begin(), state->end_ids.end(), id);
      if (known == state->end_ids.end()) state->end_ids.push_back(id);
    }
  };
  if (!state->names_as_roles) add_ends(state->plain);
  if (state->with_tools) add_ends(*state->with_tools);
  if (!state->end_ids.empty()) state->end_of_turn = tokenizer.bytes(state->end_ids.front());
  ChatCapabilities all = state->plain.capabilities;
  all.tools = tools.capabilities.tools;
  for (std::string& note : capability_notes(all)) state->notes.push_back(std::move(note));
  return ChatTemplate(std::move(state));
}

Result<RenderedChat> ChatTemplate::render(std::span<const ChatMessage> messages,
                                          const ChatRenderOptions& options) const {
  if (messages.empty()) return invalid_argument("there are no messages");
  if (options.add_generation_prompt && options.continue_final_message) {
    return invalid_argument(
        "a prompt either continues the last message or begins the assistant's next one");
  }
  const bool has_tools = !options.tools.empty();
  const State::Variant& variant =
      has_tools && state_->with_tools ? *state_->with_tools : state_->plain;
  RenderInput input;
  for (const ChatMessage& message : adapted(messages, options.tools, variant.capabilities)) {
    input.messages.push_back(message_value(message, variant.capabilities.arguments));
  }
  if (variant.capabilities.tools) input.tools = tools_value(options.tools);
  input.add_generation_prompt = options.add_generation_prompt;
  input.continue_final_message = options.continue_final_message;
  input.tokens = &state_->tokens;
  input.now = options.now != 0 ? options.now : std::time(nullptr);
  if (options.enable_thinking) {
    input.variables.set(jinja::Value::text("enable_thinking"),
                        jinja::Value(*options.enable_thinking));
  }
  if (!options.arguments.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson more,
                            parse_ordered_json(options.arguments, "chat_template_kwargs"));
    if (!more.is_object()) return invalid_argument("chat_template_kwargs is not an object");
    for (const auto& [name, value] : more.items()) {
      input.variables.set(jinja::Value::text(name), jinja::from_json(value, jinja::kForeign));
    }
  }
  Result<jinja::Text> text = render_conversation(variant.program, input);
  if (!text.ok()) return text.status().with_context("chat template");

  RenderedChat chat;
  chat.text = text.value().view();
  size_t at = 0;
  size_t own_tail = 0;  // where the last words of the template's own begin
  text.value().for_each_run(0, chat.text.size(), [&](std::string_view part, jinja::Marks marks) {
    const bool foreign = (marks & jinja::kForeign) != 0;
    chat.spans.push_back({part.size(), foreign, (marks & jinja::kGenerated) != 0});
    at += part.size();
    if (foreign) own_tail = at;
  });
  const std::string_view tail = std::string_view(chat.text).substr(own_tail);
  chat.in_reasoning = options.continue_final_message
                          ? opens_reasoning(messages.back().text(), state_->format)
                          : opens_reasoning(tail, state_->format);
  return chat;
}

const ChatFormat& ChatTemplate::format() const { return state_->format; }
const std::string& ChatTemplate::end_of_turn() const { return state_->end_of_turn; }
const std::vector<int32_t>& ChatTemplate::end_ids() const { return state_->end_ids; }
bool ChatTemplate::converses() const { return !state_->names_as_roles; }
const std::vector<std::string>& ChatTemplate::notes() const { return state_->notes; }
const std::string& ChatTemplate::source() const { return state_->plain.source; }

}  // namespace looplm
