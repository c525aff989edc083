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

// The first special token behind an assistant's words.
std::string find_end_of_turn(const jinja::Program& program, const ChatCapabilities& capabilities,
                             const std::map<std::string, std::string>& tokens,
                             const Tokenizer& tokenizer) {
  const std::array<ChatMessage, 2> messages = {chat_message(ChatRole::kUser, "probe_question"),
                                               chat_message(ChatRole::kAssistant, "probe_answer")};
  RenderInput input;
  for (const ChatMessage& message : adapted(messages, {}, capabilities)) {
    input.messages.push_back(message_value(message, capabilities.arguments));
  }
  input.tokens = &tokens;
  const Result<jinja::Text> text = render_conversation(program, input);
  if (!text.ok()) return {};
  constexpr std::string_view kAnswer = "probe_answer";
  const size_t answer = text.value().view().rfind(kAnswer);
  if (answer == std::string_view::npos) return {};
  int64_t lost = 0;  // such as a line end that a small vocabulary does not have
  const auto ids = tokenizer.encode(text.value().view().substr(answer + kAnswer.size()),
                                    {.as = EncodeAs::kContinuation, .lost_bytes = &lost});
  if (!ids.ok()) return {};
  const auto end = std::find_if(ids.value().begin(), ids.value().end(),
                                [&](int32_t id) { return tokenizer.is_special(id); });
  return end == ids.value().end() ? std::string() : std::string(tokenizer.bytes(*end));
}

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
  state->end_of_turn =
      find_end_of_turn(state->plain.program, state->plain.capabilities, state->tokens, tokenizer);
  // Nothing says that the model has learnt the turns of a form that it does not bring.
  if (state->names_as_roles) state->end_of_turn.clear();
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
const std::vector<std::string>& ChatTemplate::notes() const { return state_->notes; }
const std::string& ChatTemplate::source() const { return state_->plain.source; }

bool ChatTemplate::marks_generation() const {
  return has_part(state_->plain.source, "endgeneration");
}

}  // namespace looplm
