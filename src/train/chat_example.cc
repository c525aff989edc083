#include "train/chat_example.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "chat/message.h"

namespace looplm {
namespace {

// For templates that write the date, the same in every build: 2024-07-26, Llama's own default.
constexpr std::time_t kDate = 1721952000;
// What files call a turn's weight: 1, 0, true or false.
constexpr std::array<const char*, 4> kWeightKeys = {"weight", "train", "training", "loss"};

constexpr std::string_view kSpace = " \t\r\n";

std::string_view without_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

// ShareGPT's function_call: {"name": ..., "arguments": {...}} as text, or a list of these.
Result<OrderedJson> tool_calls_of(const std::string& value, const std::string& place) {
  LOOPLM_ASSIGN_OR_RETURN(OrderedJson calls, parse_ordered_json(value, place));
  if (!calls.is_array()) calls = OrderedJson::array({std::move(calls)});
  OrderedJson list = OrderedJson::array();
  for (OrderedJson& call : calls) list.push_back({{"function", std::move(call)}});
  return list;
}

Result<OrderedJson> messages_of_conversations(const OrderedJson& list) {
  static const std::map<std::string, std::string> kRoles = {{"system", "system"},
                                                            {"human", "user"},
                                                            {"user", "user"},
                                                            {"gpt", "assistant"},
                                                            {"assistant", "assistant"},
                                                            {"function_call", "assistant"},
                                                            {"tool_call", "assistant"},
                                                            {"observation", "tool"},
                                                            {"function_response", "tool"},
                                                            {"tool", "tool"}};
  if (!list.is_array()) {
    return invalid_argument(
        fmt::format("conversations is {}; expected an array", shown_json(list)));
  }
  // Some files have messages under this name.
  if (!list.empty() && list[0].is_object() && list[0].contains("role")) return list;
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < list.size(); ++i) {
    const OrderedJson& turn = list[i];
    const bool strings = turn.is_object() && turn.contains("from") && turn["from"].is_string() &&
                         turn.contains("value") && turn["value"].is_string();
    if (!strings) {
      return invalid_argument(
          fmt::format("conversations[{}] is {}; expected an object with strings 'from' and 'value'",
                      i, shown_json(turn)));
    }
    const auto role = kRoles.find(turn["from"].get<std::string>());
    if (role == kRoles.end()) {
      return invalid_argument(
          fmt::format("conversations[{}].from is {}; expected system, human, user, gpt, assistant, "
                      "function_call, tool_call, observation, function_response or tool",
                      i, shown_json(turn["from"])));
    }
    OrderedJson message;
    message["role"] = role->second;
    if (role->first == "function_call" || role->first == "tool_call") {
      message["content"] = "";
      LOOPLM_ASSIGN_OR_RETURN(message["tool_calls"],
                              tool_calls_of(turn["value"].get<std::string>(),
                                            fmt::format("conversations[{}].value", i)));
    } else {
      message["content"] = turn["value"];
    }
    for (const char* key : kWeightKeys) {
      if (turn.contains(key)) message[key] = turn[key];
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

// Whether an answer is to be learnt as far as it says; null says nothing. A loss with a point is
// one that somebody measured.
Result<bool> has_weight(const OrderedJson& message, const std::string& place) {
  bool learnt = true;
  for (const char* key : kWeightKeys) {
    const OrderedJson weight = message.value(key, OrderedJson());
    const bool measured = std::string_view(key) == "loss" && weight.is_number_float();
    const bool says_no = weight == 0 || weight == false;
    if (measured || !(says_no || weight.is_null() || weight == 1 || weight == true)) {
      return invalid_argument(
          fmt::format("{}.{} is {}; expected 0 or 1", place, key, shown_json(weight)));
    }
    learnt = learnt && !says_no;
  }
  return learnt;
}

// Else the model would learn calls that nobody can read.
Status check_calls(const ChatMessage& message, const std::string& place) {
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const std::string& text = message.tool_calls[i].arguments;
    const Result<OrderedJson> arguments = parse_ordered_json(text, "arguments");
    if (arguments.ok() && arguments.value().is_object()) continue;
    return invalid_argument(
        fmt::format("{}.tool_calls[{}].function.arguments is {}; expected a JSON object", place, i,
                    shown_json(OrderedJson(text))));
  }
  return {};
}

// Which messages are learnt: the assistant's from `first` on, but for those of weight 0, as
// OpenAI's files for fine-tuning have them.
Result<std::vector<bool>> learnt_turns(const std::vector<ChatMessage>& messages,
                                       const OrderedJson& list, const char* place, size_t first) {
  std::vector<bool> learnt(messages.size());
  bool any = false, weighted = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    // Else the call would be left out in silence.
    if (list[i].contains("function_call") && !list[i]["function_call"].is_null()) {
      return invalid_argument(fmt::format(
          "{}[{}].function_call is an older form of tool_calls; expected these", place, i));
    }
    if (i < first || messages[i].role != ChatRole::kAssistant) continue;
    weighted = true;
    LOOPLM_ASSIGN_OR_RETURN(learnt[i], has_weight(list[i], fmt::format("{}[{}]", place, i)));
    if (!learnt[i]) continue;
    any = true;
    // Such a call may be why an answer was rejected.
    if (!std::string_view(place).ends_with("rejected")) {
      LOOPLM_RETURN_IF_ERROR(check_calls(messages[i], fmt::format("{}[{}]", place, i)));
    }
    if (!without_space(messages[i].text()).empty() || !messages[i].tool_calls.empty()) continue;
    return invalid_argument(fmt::format(
        "{}[{}] is an empty assistant turn; expected content or tool calls to learn", place, i));
  }
  if (any) return learnt;
  return invalid_argument(fmt::format("{} has no assistant turn{}; expected at least one to learn",
                                      place, weighted ? " whose weight is not 0" : ""));
}

// The end of the first `token` from `begin` on that the template itself wrote; npos: none.
size_t end_of_turn(const RenderedChat& chat, const std::string& token, size_t begin) {
  size_t first = 0;
  for (const ChatSpan& span : chat.spans) {
    const size_t last = first + span.size;
    if (!span.foreign && last > begin) {
      const size_t at = chat.text.find(token, std::max(first, begin));
      if (at != std::string::npos && at + token.size() <= last) return at + token.size();
    }
    first = last;
  }
  return std::string::npos;
}

// Whether words of the conversation stand in [begin, end).
bool has_words(const RenderedChat& chat, size_t begin, size_t end) {
  size_t first = 0;
  for (const ChatSpan& span : chat.spans) {
    const size_t last = first + span.size;
    if (span.foreign && last > begin && first < end) return true;
    first = last;
  }
  return false;
}

// The end of the turn of `message` that begins at `begin`, by its words alone: behind them comes
// `token`. npos where that does not tell.
size_t end_by_words(const RenderedChat& whole, const ChatMessage& message, const std::string& token,
                    size_t begin) {
  const std::string text = message.text();
  const std::string_view words = without_space(text);
  const size_t at = whole.text.find(words, begin);
  const bool more = !message.reasoning.empty() || !message.tool_calls.empty();
  if (token.empty() || words.empty() || more || at == std::string::npos ||
      has_words(whole, begin, at)) {
    return std::string::npos;
  }
  const size_t behind = whole.text.find_first_not_of(kSpace, at + words.size());
  const size_t end = end_of_turn(whole, token, std::min(behind, whole.text.size()));
  return end == std::string::npos || has_words(whole, behind, end) ? std::string::npos : end;
}

// The same by the messages from `next` on, the first behind the turn: the last `token` before what
// changes in the whole chat if they say something else.
Result<size_t> end_by_others(const RenderedChat& whole, std::span<const ChatMessage> messages,
                             size_t next, const ChatTemplate& chat,
                             const ChatRenderOptions& options, size_t begin) {
  const std::string& token = chat.end_of_turn();
  if (token.empty()) return std::string::npos;
  std::vector<ChatMessage> others(messages.begin(), messages.end());
  for (size_t i = next; i < others.size(); ++i) {
    if (others[i].content.empty()) others[i].content.emplace_back();
    others[i].content.front().insert(0, "x");
    if (!others[i].reasoning.empty()) others[i].reasoning.insert(0, "x");
    for (ToolCall& call : others[i].tool_calls) call.name.insert(0, "x");
  }
  LOOPLM_ASSIGN_OR_RETURN(const RenderedChat changed, chat.render(others, options));
  const auto same =
      std::mismatch(whole.text.begin(), whole.text.end(), changed.text.begin(), changed.text.end());
  const auto most = static_cast<size_t>(same.first - whole.text.begin());
  size_t end = std::string::npos;
  for (size_t at = end_of_turn(whole, token, begin); at <= most;
       at = end_of_turn(whole, token, at)) {
    end = at;
  }
  return end;
}

// The same by `turn`, the chat up to the end of the turn, with which the whole one begins.
size_t end_by_turn(const RenderedChat& whole, const RenderedChat& turn, const std::string& token,
                   size_t begin) {
  // Behind its last words: parts may have ends of their own, such as reasoning, and the turn may
  // have another one, such as a call's.
  size_t words = begin, first = 0;
  for (const ChatSpan& span : turn.spans) {
    first += span.size;
    if (span.foreign) words = std::max(words, first);
  }
  const size_t end = token.empty() ? std::string::npos : end_of_turn(whole, token, words);
  return std::min(end, turn.text.size());
}

// Marks [begin, end) of the text as generated, or as not.
void mark(RenderedChat& chat, size_t begin, size_t end, bool generated = true) {
  std::vector<ChatSpan> spans;
  size_t first = 0;
  for (const ChatSpan& span : chat.spans) {
    const size_t last = first + span.size;
    const size_t from = std::clamp(begin, first, last);
    const size_t to = std::clamp(end, first, last);
    if (from > first) spans.push_back({from - first, span.foreign, span.generated});
    if (to > from) spans.push_back({to - from, span.foreign, generated});
    if (last > to) spans.push_back({last - to, span.foreign, span.generated});
    first = last;
  }
  chat.spans = std::move(spans);
}

// Where the words of the turn behind `before` begin in `whole`: behind what the generation prompt
// and the rendered turn have in common. Some prompts say more than a turn that was said
// ("<think>"), or less; some chats end with more than `before`, had they ended there (an end of
// text). npos: the template changes what stands before.
size_t begin_of_turn(const RenderedChat& whole, const std::string& before,
                     const std::string& prompt) {
  const auto [differs, in_prompt] =
      std::mismatch(before.begin(), before.end(), prompt.begin(), prompt.end());
  const auto shared = static_cast<size_t>(differs - before.begin());
  if (!whole.text.starts_with(shared == before.size() ? before : prompt)) return std::string::npos;
  size_t end_of_head = whole.text.size();  // the words themselves are no part of a prompt
  size_t at = 0;
  for (const ChatSpan& span : whole.spans) {
    if (span.foreign && at >= shared) {
      end_of_head = at;
      break;
    }
    at += span.size;
  }
  const size_t most = std::min(prompt.size(), end_of_head);
  size_t begin = shared;
  while (begin < most && whole.text[begin] == prompt[begin]) ++begin;
  return begin == shared && begin < prompt.size() ? std::string::npos : begin;
}

// Why the turn of message `i` is not found in the whole chat.
Status why_not_found(const ChatMessage& message, size_t i, const RenderedChat& whole) {
  if (message.tool_calls.empty() && whole.text.find(message.text()) == std::string::npos) {
    return invalid_argument(
        fmt::format("the chat template does not write what message {} says", i));
  }
  return invalid_argument(fmt::format(
      "the chat template writes what stands before the end of message {} differently when the chat "
      "goes on; put {{% generation %}} around the assistant's words in the template",
      i));
}

// For templates without {% generation %}.
Status mark_turns(std::span<const ChatMessage> messages, const std::vector<bool>& learnt,
                  const ChatTemplate& chat, ChatRenderOptions options, RenderedChat& whole) {
  size_t end = 0;  // of the turn before
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!learnt[i]) continue;
    size_t begin = 0;
    if (i > 0) {
      options.add_generation_prompt = true;
      LOOPLM_ASSIGN_OR_RETURN(const RenderedChat prompt, chat.render(messages.first(i), options));
      options.add_generation_prompt = false;
      LOOPLM_ASSIGN_OR_RETURN(const RenderedChat before, chat.render(messages.first(i), options));
      begin = begin_of_turn(whole, before.text, prompt.text);
      // A turn that only the last one's end of turn ends would take in what stands between.
      if (begin == std::string::npos || begin < end) {
        return why_not_found(messages[i], i, whole);
      }
    }
    const std::string& token = chat.end_of_turn();
    end = end_by_words(whole, messages[i], token, begin);
    if (end == std::string::npos) {
      RenderedChat turn = whole;
      if (i + 1 < messages.size()) {
        LOOPLM_ASSIGN_OR_RETURN(turn, chat.render(messages.first(i + 1), options));
      }
      if (whole.text.starts_with(turn.text)) {
        end = end_by_turn(whole, turn, token, begin);
      } else {
        LOOPLM_ASSIGN_OR_RETURN(end, end_by_others(whole, messages, i + 1, chat, options, begin));
      }
    }
    if (end == std::string::npos || end <= begin) {
      return why_not_found(messages[i], i, whole);
    }
    mark(whole, begin, end);
  }
  return {};
}

// For templates with {% generation %}: the assistant's turns that are not learnt.
Status unmark_turns(std::span<const ChatMessage> messages, const std::vector<bool>& learnt,
                    const ChatTemplate& chat, ChatRenderOptions options, RenderedChat& whole) {
  // How far the first messages reach. Some templates write more where a turn is asked for
  // ("<think>"), some where a chat ends.
  const auto end_of = [&](size_t count) -> Result<size_t> {
    for (const bool prompt : {false, true}) {
      options.add_generation_prompt = prompt;
      LOOPLM_ASSIGN_OR_RETURN(const RenderedChat before,
                              chat.render(messages.first(count), options));
      if (whole.text.starts_with(before.text)) return before.text.size();
    }
    return invalid_argument(fmt::format(
        "the chat template writes the first {} messages differently when the chat goes on", count));
  };
  // Runs of messages that are only read.
  for (size_t first = 0, last = 0; first < messages.size(); first = last + 1) {
    last = first;
    bool any = false;
    for (; last < messages.size() && !learnt[last]; ++last) {
      any = any || messages[last].role == ChatRole::kAssistant;
    }
    if (!any) continue;
    size_t begin = 0, end = whole.text.size();
    if (first > 0) {
      LOOPLM_ASSIGN_OR_RETURN(begin, end_of(first));
    }
    if (last < messages.size()) {
      LOOPLM_ASSIGN_OR_RETURN(end, end_of(last));
    }
    mark(whole, begin, end, /*generated=*/false);
  }
  return {};
}

// A field that is a text; missing and null are an empty one.
Result<std::string> text_field(const OrderedJson& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  return invalid_argument(
      fmt::format("field '{}' is {}; expected a string", key, shown_json(*found)));
}

// As text too, which is how ShareGPT's files have them; there an empty one means none. They also
// leave out the {"type": "function", "function": ...} around each.
Result<std::vector<ChatTool>> tools_of(OrderedJson tools) {
  if (tools.is_string()) {
    const auto text = tools.get<std::string>();
    if (without_space(text).empty()) return std::vector<ChatTool>();
    LOOPLM_ASSIGN_OR_RETURN(tools, parse_ordered_json(text, "tools"));
  }
  if (!tools.is_array()) return read_chat_tools(tools, "tools");
  for (OrderedJson& tool : tools) {
    const bool bare = tool.is_object() && tool.contains("name") && !tool.contains("function");
    if (bare) tool = {{"type", "function"}, {"function", OrderedJson(std::move(tool))}};
  }
  return read_chat_tools(tools, "tools");
}

// Puts the text of a field 'system' beside the messages in front of them, where some files have it.
Status add_system(const OrderedJson& object, const char* place, std::vector<ChatMessage>& messages,
                  std::vector<bool>& learnt) {
  for (const char* key : {"system", "system_prompt"}) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, text_field(object, key));
    const bool first_is_system = messages.front().role == ChatRole::kSystem;
    if (text.empty() || (first_is_system && messages.front().text() == text)) continue;
    if (first_is_system) {
      return invalid_argument(fmt::format(
          "both a field '{}' and a system message in {}[0]; expected one of them", key, place));
    }
    messages.insert(messages.begin(), chat_message(ChatRole::kSystem, text));
    learnt.insert(learnt.begin(), false);
  }
  return {};
}

std::string learnt_text(const CorpusDocument& document) {
  std::string text;
  for (const CorpusSegment& segment : document) text += segment.learnt ? segment.text : "";
  return text;
}

// Whether the template left out the reasoning of a turn to learn: many have no place for it, or
// none before the last turn.
bool lacks_reasoning(const CorpusDocument& document, const std::vector<ChatMessage>& messages,
                     const std::vector<bool>& learnt) {
  const std::string text = learnt_text(document);
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string_view reasoning = without_space(messages[i].reasoning);
    if (learnt[i] && text.find(reasoning) == std::string::npos) return true;
  }
  return false;
}

// Messages as a document whose assistant's turns from message `learn_from` on are learnt; `object`
// may have tools beside them.
Result<CorpusDocument> render_messages(const OrderedJson& object, const OrderedJson& list,
                                       const char* place, size_t learn_from,
                                       const ChatTemplate& chat) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<ChatMessage> messages, read_chat_messages(list, place));
  LOOPLM_ASSIGN_OR_RETURN(std::vector<bool> learnt,
                          learnt_turns(messages, list, place, learn_from));
  LOOPLM_RETURN_IF_ERROR(add_system(object, place, messages, learnt));
  ChatRenderOptions options;
  options.add_generation_prompt = false;
  options.now = kDate;
  const OrderedJson functions = object.value("functions", OrderedJson::array());
  if (!functions.is_array() || !functions.empty()) {
    return invalid_argument("'functions' is an older form of 'tools'; expected these");
  }
  if (object.contains("tools")) {
    LOOPLM_ASSIGN_OR_RETURN(options.tools, tools_of(object["tools"]));
  }
  // As TRL passes them on.
  const OrderedJson arguments = object.value("chat_template_kwargs", OrderedJson());
  for (const char* key : {"messages", "tools", "add_generation_prompt"}) {
    if (!arguments.is_object() || !arguments.contains(key)) continue;
    return invalid_argument(fmt::format(
        "chat_template_kwargs has '{}', which the line itself says; expected other names", key));
  }
  if (!arguments.is_null()) options.arguments = dump_json(arguments);
  LOOPLM_ASSIGN_OR_RETURN(RenderedChat whole, chat.render(messages, options));
  if (whole.text.empty()) return invalid_argument("the chat template writes nothing of this chat");
  const bool marked = std::any_of(whole.spans.begin(), whole.spans.end(),
                                  [](const ChatSpan& span) { return span.generated; });
  if (!marked) {
    LOOPLM_RETURN_IF_ERROR(mark_turns(messages, learnt, chat, options, whole));
  } else {
    LOOPLM_RETURN_IF_ERROR(unmark_turns(messages, learnt, chat, options, whole));
  }
  CorpusDocument document;
  size_t at = 0;
  for (const ChatSpan& span : whole.spans) {
    document.push_back({whole.text.substr(at, span.size), span.generated, !span.foreign});
    at += span.size;
  }
  document.front().lacks_reasoning = lacks_reasoning(document, messages, learnt);
  return document;
}

template <typename J>
bool is_list(const J& object, const char* key) {
  return object.contains(key) && object[key].is_array();
}

// The messages under a key. An empty list is none.
Result<OrderedJson> message_list(const OrderedJson& object, const char* key) {
  if (is_list(object, key) && !object[key].empty()) return object[key];
  return invalid_argument(
      fmt::format("'{}' is {}; expected a list of messages", key,
                  object.contains(key) ? shown_json(object[key]) : std::string("missing")));
}

// The completion of a prompt, both lists of messages.
Result<CorpusDocument> render_completion(const OrderedJson& object, const ChatTemplate& chat) {
  LOOPLM_ASSIGN_OR_RETURN(OrderedJson list, message_list(object, "prompt"));
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson completion, message_list(object, "completion"));
  const size_t learn_from = list.size();
  for (const OrderedJson& message : completion) list.push_back(message);
  return render_messages(object, list, "prompt and completion", learn_from, chat);
}

// The prompt of Alpaca's and Dolly's files: an instruction and what it is about, after pairs of
// questions and answers.
Result<OrderedJson> instruction_messages(const OrderedJson& object) {
  OrderedJson list = OrderedJson::array();
  const auto add = [&list](const char* role, const std::string& content) {
    list.push_back({{"role", role}, {"content", content}});
  };
  for (const OrderedJson& turn : object.value("history", OrderedJson::array())) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
      return invalid_argument(
          fmt::format("field 'history' holds {}; expected a list of a question and its answer",
                      shown_json(turn)));
    }
    add("user", turn[0].get<std::string>());
    add("assistant", turn[1].get<std::string>());
  }
  LOOPLM_ASSIGN_OR_RETURN(std::string text, text_field(object, "instruction"));
  for (const char* key : {"input", "context"}) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string about, text_field(object, key));
    if (!without_space(about).empty()) text += (text.empty() ? "" : "\n") + about;
  }
  if (without_space(text).empty()) {
    return invalid_argument("field 'instruction' is empty; expected a question");
  }
  add("user", text);
  return list;
}

// A line that says two things: neither is chosen.
Status check_one_form(const OrderedJson& object, const char* form,
                      std::initializer_list<const char*> others) {
  for (const char* other : others) {
    if (!object.contains(other) || std::string_view(form) == other) continue;
    return invalid_argument(
        fmt::format("a field '{}' beside '{}'; expected one of them", form, other));
  }
  return {};
}

// Fields beside a chat that repeat its first question or an answer, as in UltraChat's and Magpie's
// files. What says something else is an error.
Status check_repeats(const OrderedJson& object, const char* form, const OrderedJson& list,
                     std::initializer_list<const char*> questions,
                     std::initializer_list<const char*> answers) {
  const auto says = [&](const char* role, const std::string& text) {
    for (const OrderedJson& message : list.is_array() ? list : OrderedJson::array()) {
      if (!message.is_object() || message.value("role", OrderedJson()) != role) continue;
      const OrderedJson content = message.value("content", OrderedJson());
      const bool same = content.is_string() &&
                        without_space(content.get_ref<const std::string&>()) == without_space(text);
      if (same) return true;
      if (std::string_view(role) == "user" && std::string_view(form) != "chosen") return false;
    }
    return false;
  };
  for (const auto& [keys, role] : {std::pair{questions, "user"}, {answers, "assistant"}}) {
    for (const char* key : keys) {
      const OrderedJson field = object.value(key, OrderedJson());
      if (field.is_null() || (field.is_string() && says(role, field.get<std::string>()))) continue;
      return invalid_argument(
          fmt::format("a field '{}' beside '{}', which does not repeat {}; expected one of them",
                      key, form, role == std::string_view("user") ? "its question" : "an answer"));
    }
  }
  return {};
}

template <typename J>
bool is_instruction(const J& object) {
  return object.contains("instruction") &&
         (object.contains("output") || object.contains("response"));
}

Result<CorpusDocument> render_instruction(const OrderedJson& object, const ChatTemplate& chat) {
  LOOPLM_ASSIGN_OR_RETURN(OrderedJson list, instruction_messages(object));
  const char* key = object.contains("output") ? "output" : "response";
  LOOPLM_RETURN_IF_ERROR(check_one_form(object, key, {"response"}));
  LOOPLM_ASSIGN_OR_RETURN(const std::string answer, text_field(object, key));
  if (without_space(answer).empty()) {
    return invalid_argument(fmt::format("field '{}' is empty; expected text to learn", key));
  }
  list.push_back({{"role", "assistant"}, {"content", answer}});
  return render_messages(object, list, "instruction", 0, chat);
}

// An answer of a preference as a list of messages: of a text, of one turn, or of several.
Result<OrderedJson> answer_messages(const OrderedJson& answer) {
  if (answer.is_string()) {
    return OrderedJson::array({{{"role", "assistant"}, {"content", answer}}});
  }
  const OrderedJson list = answer.is_object() ? OrderedJson::array({answer}) : answer;
  const bool share_gpt =
      list.is_array() && !list.empty() && list[0].is_object() && list[0].contains("from");
  return share_gpt ? messages_of_conversations(list) : Result<OrderedJson>(list);
}

// The forms of OpenAI's, Alpaca's and ShareGPT's files as prompt, chosen and rejected.
Result<OrderedJson> usual_preference(OrderedJson object) {
  if (object.contains("preferred_output") || object.contains("non_preferred_output")) {
    LOOPLM_RETURN_IF_ERROR(
        check_one_form(object, "preferred_output",
                       {"chosen", "rejected", "prompt", "instruction", "conversations"}));
    const OrderedJson input = object.value("input", OrderedJson::object());
    Result<OrderedJson> prompt = message_list(input, "messages");
    if (!prompt.ok()) return prompt.status().with_context("field 'input'");
    object["prompt"] = std::move(prompt).value();
    const OrderedJson tools = input.value("tools", OrderedJson());
    if (!tools.is_null() && object.contains("tools")) {
      return invalid_argument("'tools' both in 'input' and beside it; expected one of them");
    }
    if (!tools.is_null()) object["tools"] = tools;
    for (const auto& [key, from] :
         {std::pair{"chosen", "preferred_output"}, {"rejected", "non_preferred_output"}}) {
      LOOPLM_ASSIGN_OR_RETURN(object[key], message_list(object, from));
    }
    return object;
  }
  for (const char* form : {"prompt", "instruction"}) {
    if (!object.contains(form)) continue;
    LOOPLM_RETURN_IF_ERROR(check_one_form(object, form, {"instruction", "conversations"}));
  }
  if (object.contains("instruction")) {
    LOOPLM_ASSIGN_OR_RETURN(object["prompt"], instruction_messages(object));
  } else if (object.contains("conversations")) {
    LOOPLM_ASSIGN_OR_RETURN(object["prompt"], messages_of_conversations(object["conversations"]));
  } else {
    return object;
  }
  for (const char* key : {"chosen", "rejected"}) {
    if (!object.contains(key)) continue;
    LOOPLM_ASSIGN_OR_RETURN(object[key], answer_messages(object[key]));
  }
  return object;
}

}  // namespace

bool is_chat_example(const Json& object) {
  return object.contains("messages") || object.contains("conversations") ||
         is_list(object, "prompt") || is_list(object, "completion") || is_instruction(object);
}

Result<CorpusDocument> render_chat_example(const OrderedJson& object, const ChatTemplate& chat) {
  for (const char* form : {"messages", "conversations"}) {
    if (!object.contains(form)) continue;
    LOOPLM_RETURN_IF_ERROR(
        check_one_form(object, form, {"text", "turns", "messages", "conversations"}));
    OrderedJson list = object[form];
    if (std::string_view(form) == "conversations") {
      LOOPLM_ASSIGN_OR_RETURN(list, messages_of_conversations(list));
    }
    LOOPLM_RETURN_IF_ERROR(check_repeats(object, form, list, {"prompt"}, {"completion"}));
    if (is_instruction(object)) {
      LOOPLM_RETURN_IF_ERROR(
          check_repeats(object, form, list, {"instruction"}, {"output", "response"}));
    }
    return render_messages(object, list, form, 0, chat);
  }
  if (is_instruction(object)) {
    // Alpaca's 'text' repeats the instruction and its output.
    LOOPLM_RETURN_IF_ERROR(
        check_one_form(object, "instruction", {"prompt", "completion", "turns"}));
    return render_instruction(object, chat);
  }
  LOOPLM_RETURN_IF_ERROR(check_one_form(object, "prompt", {"text", "turns"}));
  return render_completion(object, chat);
}

bool is_preference(const Json& object) {
  return object.contains("chosen") || object.contains("rejected") ||
         object.contains("preferred_output") || object.contains("non_preferred_output");
}

bool is_preference_of_chats(const Json& object) {
  const bool other = object.contains("instruction") || object.contains("conversations") ||
                     object.contains("preferred_output") || object.contains("non_preferred_output");
  return other || is_list(object, "chosen") || is_list(object, "rejected") ||
         is_list(object, "prompt");
}

Result<CorpusDocument> render_preference(const OrderedJson& line, const ChatTemplate& chat) {
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson object, usual_preference(line));
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson chosen, message_list(object, "chosen"));
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson rejected, message_list(object, "rejected"));
  OrderedJson prompt = OrderedJson::array();
  if (object.contains("prompt") && object["prompt"].is_array()) {
    prompt = object["prompt"];
  } else if (object.contains("prompt") && object["prompt"].is_string() && chosen[0].is_object() &&
             chosen[0].contains("role") && chosen[0]["role"] == "assistant") {
    prompt.push_back({{"role", "user"}, {"content", object["prompt"]}});
  }
  size_t shared = prompt.size();
  if (prompt.empty()) {
    while (shared < std::min(chosen.size(), rejected.size()) &&
           chosen[shared] == rejected[shared]) {
      ++shared;
    }
  }
  const Status same = invalid_argument("'chosen' and 'rejected' are the same");
  if (chosen == rejected) return same;
  CorpusDocument document;
  std::string learnt;
  for (const char* key : {"chosen", "rejected"}) {
    const std::string place = (prompt.empty() ? "" : "prompt and ") + std::string(key);
    OrderedJson list = prompt;
    for (const OrderedJson& message : object[key]) list.push_back(message);
    LOOPLM_ASSIGN_OR_RETURN(const CorpusDocument answer,
                            render_messages(object, list, place.c_str(), shared, chat));
    if (!document.empty() && learnt_text(answer) == learnt) return same;
    learnt = learnt_text(answer);
    for (CorpusSegment segment : answer) {
      segment.of_rejected = std::string_view(key) == "rejected";
      document.push_back(std::move(segment));
    }
  }
  const auto speaks = [](const OrderedJson& list) {
    return list[0].is_object() && list[0].value("role", OrderedJson()) == "assistant";
  };
  if (shared == 0 && !(speaks(chosen) && speaks(rejected))) {
    return invalid_argument(
        "'chosen' and 'rejected' begin with different messages, and no 'prompt' stands before "
        "them; expected two answers to the same prompt");
  }
  if (prompt.empty() && !is_list(object, "prompt")) {
    LOOPLM_RETURN_IF_ERROR(check_repeats(object, "chosen", chosen, {"prompt"}, {}));
  }
  return document;
}

}  // namespace looplm
