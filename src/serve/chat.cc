// /v1/chat/completions: answers to conversations, with reasoning and tool calls.
#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "chat/tool_grammar.h"
#include "serve/api.h"
#include "serve/chat_constraint.h"
#include "serve/token_json.h"

namespace looplm {
namespace {

struct ChatOptions {
  int64_t log_probabilities = -1;
  bool per_token = false;
  bool streams_usage = false;
  bool streams_usage_so_far = false;
  Pieces pieces = Pieces::kNone;
  uint64_t seed = 0;
  size_t choices = 1;
  uint64_t call_seed = 0;  // of the calls' ids
  ChatParseOptions parse{};
  size_t most_calls = SIZE_MAX;  // more are left out
  std::string prefix{};          // the assistant's message that is continued
};

OrderedJson tool_call_json(size_t index, const std::string& id, const std::string& name,
                           const std::string& arguments) {
  OrderedJson json = {{"index", index}};
  if (!id.empty()) {
    json["id"] = id;
    json["type"] = "function";
    json["function"] = {{"name", name}, {"arguments", arguments}};
  } else {
    json["function"] = {{"arguments", arguments}};
  }
  return json;
}

class ChatAnswer : public AnswerFormat {
 public:
  ChatAnswer(const ServedModel& served, const ChatOptions& options)
      : served_(served), options_(options), markers_(chat_markers(options.parse.format)) {
    for (size_t i = 0; i < options.choices; ++i) {
      ChatParseOptions parse = options.parse;
      parse.id_seed = options.call_seed + i;
      choices_.push_back({.parser = ChatOutputParser(parse),
                          .counter = ReasoningBudget::create(
                              *served.model->tokenizer(), parse.format, parse.in_reasoning, -1)});
    }
  }

  void token(size_t index, const GeneratedToken& token, std::vector<StreamEvent>& out) override {
    Choice& c = choices_[index];
    if (tells_of_tokens()) c.tokens.push_back(token);
    if (c.counter.ok()) c.counter->accept(token.id);
    // A tag that is a special token has no text; the parser needs to see it.
    std::string text;
    const Tokenizer& tokenizer = *served_.model->tokenizer();
    if (tokenizer.is_special(token.id)) {
      const std::string_view bytes = tokenizer.bytes(token.id);
      for (const std::string& marker : markers_) {
        if (marker == bytes) text = marker;
      }
    }
    text += token.text;
    c.written += token.text.size();
    open(index, out);
    const std::vector<ChatDelta> deltas = c.parser.push(text);
    if (deltas.empty() && !tells_of_tokens()) return;
    add(index, deltas, {&token, 1}, out);
  }

  void provisional(size_t index, const ProvisionalToken& token,
                   std::vector<StreamEvent>& out) override {
    OrderedJson data = head("chat.completion.chunk");
    data["choices"] = OrderedJson::array();
    data["loop"] = {{"provisional", provisional_json(served_, index, token)}};
    out.push_back({"", std::move(data)});
  }

  void ended(size_t index, const Generation& generation, std::vector<StreamEvent>& out) override {
    Choice& c = choices_[index];
    open(index, out);
    std::vector<ChatDelta> deltas =
        c.parser.push(generation.text.substr(std::min(c.written, generation.text.size())));
    const bool cut = generation.finish_reason == FinishReason::kLength;
    for (ChatDelta& delta : c.parser.finish(cut ? AnswerEnd::kCut : AnswerEnd::kWhole)) {
      deltas.push_back(std::move(delta));
    }
    if (!deltas.empty()) add(index, deltas, {}, out);
    const bool called = !c.parser.message().tool_calls.empty();
    c.finish_reason = called && generation.finish_reason == FinishReason::kStop
                          ? "tool_calls"
                          : finish_reason_name(generation.finish_reason);
    OrderedJson data = chunk(index, OrderedJson::object());
    data["choices"][0]["finish_reason"] = c.finish_reason;
    out.push_back({"", std::move(data)});
  }

  void closed(const Usage& usage, std::vector<StreamEvent>& out) override {
    if (!options_.streams_usage) return;
    OrderedJson data = head("chat.completion.chunk");
    data["choices"] = OrderedJson::array();
    data["usage"] = usage.json();
    out.push_back({"", std::move(data)});
  }

  bool tells_usage_so_far() const override { return options_.streams_usage_so_far; }

  OrderedJson whole(const Usage& usage) override {
    OrderedJson data = head("chat.completion");
    data["choices"] = OrderedJson::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      const Choice& c = choices_[i];
      const ChatMessage& m = c.parser.message();
      const std::string content = m.text();
      OrderedJson message = {{"role", "assistant"}, {"content", content}};
      if (content.empty() && !m.tool_calls.empty()) message["content"] = nullptr;
      if (!m.reasoning.empty()) message["reasoning_content"] = m.reasoning;
      const size_t calls = std::min(m.tool_calls.size(), options_.most_calls);
      for (const ToolCall& call : std::span(m.tool_calls).first(calls)) {
        message["tool_calls"].push_back(
            {{"id", call.id},
             {"type", "function"},
             {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
      }
      OrderedJson choice = {{"index", i}, {"message", std::move(message)}, {"logprobs", nullptr}};
      if (options_.log_probabilities >= 0) choice["logprobs"] = log_probabilities(c.tokens);
      if (options_.per_token) choice["loop"] = {{"tokens", token_loops_json(served_, c.tokens)}};
      choice["finish_reason"] = c.finish_reason;
      data["choices"].push_back(std::move(choice));
    }
    data["usage"] = usage.json();
    return data;
  }

  int64_t reasoning_tokens() const override {
    int64_t sum = 0;
    for (const Choice& c : choices_)
      sum += c.counter.ok() ? c.counter.value().reasoning_tokens() : 0;
    return sum;
  }

 private:
  struct Choice {
    ChatOutputParser parser;
    Result<ReasoningBudget> counter;  // counts the tokens of reasoning
    std::vector<GeneratedToken> tokens{};
    size_t written = 0;  // bytes of the engine's text that the parser has had
    bool opened = false;
    std::string finish_reason{};
    std::optional<TextEvent> plain_content{};
    std::optional<TextEvent> plain_reasoning{};
  };

  bool tells_of_tokens() const { return options_.log_probabilities >= 0 || options_.per_token; }

  OrderedJson head(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", served_.name},
            {"system_fingerprint", fingerprint(served_)},
            {"seed", options_.seed}};
  }

  OrderedJson chunk(size_t index, OrderedJson delta) const {
    OrderedJson data = head("chat.completion.chunk");
    data["choices"] = OrderedJson::array({{{"index", index},
                                           {"delta", std::move(delta)},
                                           {"logprobs", nullptr},
                                           {"finish_reason", nullptr}}});
    if (options_.streams_usage) data["usage"] = nullptr;
    return data;
  }

  void open(size_t index, std::vector<StreamEvent>& out) {
    if (std::exchange(choices_[index].opened, true)) return;
    out.push_back({"", chunk(index, {{"role", "assistant"}, {"content", ""}})});
  }

  void add(size_t index, const std::vector<ChatDelta>& deltas,
           std::span<const GeneratedToken> tokens, std::vector<StreamEvent>& out) {
    if (options_.pieces == Pieces::kNone) return;
    if (add_plain(index, deltas, out)) return;
    OrderedJson delta = OrderedJson::object();
    for (const ChatDelta& d : deltas) {
      if (d.call >= options_.most_calls) continue;
      const auto append = [&](const char* field) {
        delta[field] = delta.contains(field) ? delta[field].get<std::string>() + d.text : d.text;
      };
      switch (d.kind) {
        case ChatDelta::Kind::kReasoning:
          append("reasoning_content");
          break;
        case ChatDelta::Kind::kContent:
          append("content");
          break;
        case ChatDelta::Kind::kToolCall:
          delta["tool_calls"].push_back(tool_call_json(d.call, d.id, d.name, ""));
          break;
        case ChatDelta::Kind::kArguments:
          delta["tool_calls"].push_back(tool_call_json(d.call, "", "", d.text));
          break;
      }
    }
    OrderedJson data = chunk(index, std::move(delta));
    if (options_.log_probabilities >= 0 && !tokens.empty()) {
      data["choices"][0]["logprobs"] = log_probabilities(tokens);
    }
    if (options_.per_token && !tokens.empty())
      data["choices"][0]["loop"] = {{"tokens", token_loops_json(served_, tokens)}};
    out.push_back({"", std::move(data)});
  }

  // The usual piece, of content or reasoning alone. False where it is another.
  bool add_plain(size_t index, const std::vector<ChatDelta>& deltas,
                 std::vector<StreamEvent>& out) {
    if (options_.pieces == Pieces::kJson || tells_of_tokens() || options_.streams_usage_so_far ||
        deltas.size() != 1) {
      return false;
    }
    const bool content = deltas[0].kind == ChatDelta::Kind::kContent;
    if (!content && deltas[0].kind != ChatDelta::Kind::kReasoning) return false;
    Choice& c = choices_[index];
    const char* const field = content ? "content" : "reasoning_content";
    std::optional<TextEvent>& plain = content ? c.plain_content : c.plain_reasoning;
    if (!plain) plain.emplace(chunk(index, {{field, ""}}), field);
    out.push_back(plain->with(deltas[0].text));
    return true;
  }

  OrderedJson entry(int32_t id, double log_probability) const {
    return {{"token", token_name(served_, id)},
            {"logprob", told_log_probability(log_probability)},
            {"bytes", token_bytes_json(served_, id)}};
  }

  OrderedJson log_probabilities(std::span<const GeneratedToken> tokens) const {
    OrderedJson content = OrderedJson::array();
    for (const GeneratedToken& token : tokens) {
      OrderedJson one = entry(token.id, token.log_probability);
      one["top_logprobs"] = OrderedJson::array();
      if (const LoopReading* reading = chosen_reading(token)) {
        for (const TopToken& t : reading->top)
          one["top_logprobs"].push_back(entry(t.id, t.log_probability));
      }
      content.push_back(std::move(one));
    }
    return {{"content", std::move(content)}};
  }

  const ServedModel& served_;
  const ChatOptions options_;
  const std::vector<std::string> markers_;
  std::vector<Choice> choices_;
  const std::string id_ = random_id("chatcmpl-");
  const int64_t created_ = now_seconds();
};

// The same request gives the same ids, and the next turn of the conversation gives others: ids of
// one conversation differ also where all its requests have the same seed.
uint64_t seed_of_call_ids(uint64_t seed, std::span<const int32_t> prompt) {
  uint64_t hash = seed;
  for (const int32_t id : prompt) {
    hash = (hash ^ static_cast<uint64_t>(id)) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

struct Conversation {
  std::vector<ChatMessage> messages;
  ChatRenderOptions render;
  bool calls_tools = false;
  bool parallel_calls = true;
  std::string tool_choice = "auto";  // none, auto, required
  bool some_tools = false;           // of those in the request
  ToolGrammarOptions tool_grammar;
  int64_t reasoning_budget = -1;
};

// What a tool says answers a call that stands before it, as OpenAI has it.
void check_tool_answers(Fields& f, const std::vector<ChatMessage>& messages) {
  std::set<std::string> ids;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& m = messages[i];
    for (const ToolCall& call : m.tool_calls) ids.insert(call.id);
    if (m.role != ChatRole::kTool) continue;
    const std::string name = fmt::format("messages[{}].tool_call_id", i);
    if (m.tool_call_id.empty()) {
      return f.wrong(name, "is missing; expected the id of the call that the tool answers");
    }
    if (ids.contains(m.tool_call_id)) continue;
    constexpr size_t kMostShown = 10;
    std::vector<std::string> shown;
    for (const std::string& id : ids) {
      if (shown.size() < kMostShown) shown.push_back(id);
    }
    const std::string expected =
        ids.empty() ? "and no call stands before it"
                    : fmt::format("and the calls before it are '{}'{}", fmt::join(shown, "', '"),
                                  ids.size() > kMostShown ? " ..." : "");
    return f.wrong(name, fmt::format("is '{}', {}", m.tool_call_id, expected));
  }
}

void read_messages(Fields& f, Conversation& c) {
  const OrderedJson* messages = f.find("messages");
  if (messages == nullptr) return f.wrong("messages", "is missing");
  Result<std::vector<ChatMessage>> parsed = parse_chat_messages(dump_json(*messages));
  if (!parsed.ok()) return f.wrong("messages", "is not accepted: " + parsed.status().message());
  c.messages = std::move(parsed).value();
  if (c.messages.empty()) return f.wrong("messages", "is empty; expected at least one message");
  check_tool_answers(f, c.messages);
}

std::set<std::string> names_of(const std::vector<ChatTool>& tools) {
  std::set<std::string> names;
  for (const ChatTool& tool : tools) names.insert(tool.name);
  return names;
}

// A name of one of the tools; empty, with an error, where it is none.
std::string read_tool_name(Fields& function, const std::set<std::string>& known) {
  std::string name = function.text("name", "");
  if (name.empty()) function.wrong("name", "is missing");
  if (!name.empty() && !known.contains(name)) {
    function.wrong("name", fmt::format("is '{}'; expected the name of one of the tools", name));
  }
  return function.failed() ? "" : name;
}

// The rest of the tools are neither called nor shown.
void read_allowed_tools(Fields& choice, Conversation& c) {
  Fields allowed = choice.inner("allowed_tools");
  c.tool_choice = allowed.one_of("mode", "auto", {"auto", "required"});
  const OrderedJson* tools = allowed.list("tools", "a list of tools");
  if (tools == nullptr || tools->empty()) allowed.wrong("tools", "is missing or empty");
  const std::set<std::string> known = names_of(c.render.tools);
  std::set<std::string> names;
  for (size_t i = 0; !allowed.failed() && i < tools->size(); ++i) {
    const std::string place = allowed.path_of(fmt::format("tools[{}]", i));
    Fields tool((*tools)[i], place);
    tool.one_of("type", "function", {"function"});
    Fields function = tool.inner("function");
    names.insert(read_tool_name(function, known));
    allowed.adopt(tool);
    allowed.adopt(function);
  }
  std::erase_if(c.render.tools, [&](const ChatTool& t) { return !names.contains(t.name); });
  c.some_tools = true;
  choice.adopt(allowed);
}

void read_tools(Fields& f, Conversation& c) {
  f.refuse("functions", "write tools");
  f.refuse("function_call", "write tool_choice");
  if (const OrderedJson* tools = f.list("tools", "a list of tools")) {
    Result<std::vector<ChatTool>> parsed = parse_chat_tools(dump_json(*tools));
    if (!parsed.ok()) return f.wrong("tools", "is not accepted: " + parsed.status().message());
    c.render.tools = std::move(parsed).value();
    // A call's arguments are an object. Training data may say so in other words ("dict").
    for (size_t i = 0; i < tools->size(); ++i) {
      const OrderedJson parameters = (*tools)[i]["function"].value("parameters", OrderedJson());
      if (!parameters.is_object()) continue;
      const OrderedJson type = parameters.value("type", OrderedJson());
      if (!type.is_string() || type == "object") continue;
      return f.wrong("tools", fmt::format("is not accepted: tools[{}].function.parameters.type is "
                                          "{}; expected \"object\"",
                                          i, shown_json(type)));
    }
  }
  if (const OrderedJson* choice = f.find("tool_choice")) {
    if (choice->is_object()) {
      Fields named(*choice, "tool_choice");
      if (named.one_of("type", "function", {"function", "allowed_tools"}) == "allowed_tools") {
        read_allowed_tools(named, c);
      } else {
        Fields function = named.inner("function");
        c.tool_grammar.only = read_tool_name(function, names_of(c.render.tools));
        named.adopt(function);
        c.tool_choice = "required";
        c.tool_grammar.most_calls = 1;
      }
      f.adopt(named);
    } else {
      c.tool_choice = f.one_of("tool_choice", "auto", {"none", "auto", "required"});
    }
    if (c.tool_choice == "required" && c.render.tools.empty()) {
      f.wrong("tool_choice", "asks for a call, and there are no tools");
    }
  }
  c.parallel_calls = f.boolean("parallel_tool_calls", true);
  if (!c.parallel_calls) c.tool_grammar.most_calls = 1;
  if (c.tool_choice == "none") c.render.tools.clear();
  c.calls_tools = !c.render.tools.empty();
}

void read_reasoning(Fields& f, Conversation& c) {
  const std::string effort = f.one_of("reasoning_effort", "",
                                      {"none", "minimal", "low", "medium", "high", "xhigh", "max"});
  if (effort == "none") {
    c.render.enable_thinking = false;
    c.reasoning_budget = 0;
  } else if (!effort.empty()) {
    c.render.enable_thinking = true;
    c.reasoning_budget = effort == "minimal"  ? 128
                         : effort == "low"    ? 512
                         : effort == "medium" ? 2048
                                              : -1;
  }
  if (f.has("thinking_budget")) {
    c.reasoning_budget = f.integer("thinking_budget", -1, -1, kMaxPositions);
  }
  if (const OrderedJson* more = f.find("chat_template_kwargs")) {
    if (!more->is_object()) return f.wrong_value("chat_template_kwargs", *more, "an object");
    OrderedJson arguments = *more;
    if (arguments.contains("enable_thinking")) {
      Fields inner(arguments, "chat_template_kwargs");
      c.render.enable_thinking = inner.boolean("enable_thinking", true);
      f.adopt(inner);
      arguments.erase("enable_thinking");
    }
    if (!arguments.empty()) c.render.arguments = dump_json(arguments);
  }
}

void read_rendering(Fields& f, Conversation& c) {
  // A conversation that ends with the assistant's words goes on with them.
  const bool prefilled = !c.messages.empty() && c.messages.back().role == ChatRole::kAssistant &&
                         c.messages.back().tool_calls.empty();
  c.render.continue_final_message = f.boolean("continue_final_message", prefilled);
  c.render.add_generation_prompt =
      f.boolean("add_generation_prompt", !c.render.continue_final_message);
  if (c.render.continue_final_message && c.render.add_generation_prompt) {
    f.wrong("continue_final_message", "and add_generation_prompt exclude each other");
  }
}

Conversation read_conversation(Fields& f, const ServedModel& served) {
  Conversation c;
  if (served.chat == nullptr) {
    f.wrong("messages", "need a model with a tokenizer, and this one has none");
    return c;
  }
  read_messages(f, c);
  read_tools(f, c);
  read_reasoning(f, c);
  read_rendering(f, c);
  return c;
}

// A conversation as the model reads it.
struct ChatPrompt {
  std::string text;
  std::vector<int32_t> ids;
  bool in_reasoning = false;
};

ChatPrompt read_chat_prompt(Fields& f, const ServedModel& served, const Conversation& c) {
  if (f.failed()) return {};
  const Result<RenderedChat> rendered = served.chat->render(c.messages, c.render);
  if (!rendered.ok()) {
    f.wrong("messages", "cannot be rendered: " + rendered.status().message());
    return {};
  }
  Result<EncodedChat> encoded = encode_chat(*served.model->tokenizer(), rendered.value());
  if (!encoded.ok()) {
    f.wrong("messages", "cannot be encoded: " + encoded.status().message());
    return {};
  }
  return {rendered.value().text, std::move(encoded.value().ids), rendered.value().in_reasoning};
}

// The constraint of each choice; null where there is none to hold.
std::function<std::shared_ptr<TokenConstraint>()> constraint_of(
    Fields& f, const ServedModel& served, const Conversation& c, bool in_reasoning,
    std::shared_ptr<CompiledGrammar> grammar) {
  const bool bounded = c.reasoning_budget >= 0;
  const bool reasons = bounded || (in_reasoning && grammar != nullptr);
  if (!reasons && grammar == nullptr) return {};
  std::optional<ReasoningBudget> reasoning;
  if (reasons) {
    Result<ReasoningBudget> made = ReasoningBudget::create(
        *served.model->tokenizer(), served.chat->format(), in_reasoning, c.reasoning_budget);
    // A level of effort is no promise: what cannot be ended may not be there to end.
    if (made.ok()) {
      reasoning = std::move(made).value();
    } else if (f.has("thinking_budget") || !bounded) {
      f.wrong(bounded ? "thinking_budget" : "response_format",
              "cannot be obeyed, as the model cannot be made to end its reasoning: " +
                  made.status().message());
      return {};
    }
  }
  return [&served, reasoning = std::move(reasoning),
          grammar = std::move(grammar)]() -> std::shared_ptr<TokenConstraint> {
    std::shared_ptr<TokenConstraint> after;
    if (grammar != nullptr) after = std::make_shared<GrammarConstraint>(grammar, served.end_ids);
    return std::make_shared<ChatConstraint>(reasoning, std::move(after));
  };
}

}  // namespace

void serve_chat(const ApiContext& context, const ApiCall& call) {
  const ServedModel& served = context.served;
  Fields f(call.body);
  GenerationRequest r;
  read_generation_fields(f, served, r);
  r.options.max_tokens = f.integer("max_tokens", -1, 1, kMaxPositions);
  r.options.max_tokens = f.integer("max_completion_tokens", r.options.max_tokens, 1, kMaxPositions);
  ChatOptions options;
  if (f.boolean("logprobs", false)) {
    options.log_probabilities = f.integer("top_logprobs", 0, 0, kMostTopTokens);
  } else if (f.integer("top_logprobs", 0, 0, kMostTopTokens) > 0) {
    f.wrong("top_logprobs", "needs \"logprobs\": true");
  }
  for (const char* name : {"audio", "web_search_options"}) {
    f.refuse(name, "the model reads and writes text alone");
  }
  f.refuse("modalities", "the model writes text alone", OrderedJson::array({"text"}));
  f.refuse("echo", "a conversation is not repeated", false);
  f.refuse("chat_template", "the server's own is used");
  for (const char* name : {"prompt", "suffix", "best_of", "documents"}) {
    f.refuse(name, "a conversation stands in messages");
  }
  const Conversation c = read_conversation(f, served);
  const ChatPrompt prompt = read_chat_prompt(f, served, c);
  if (f.failed()) return call.refuse(f.error());
  const auto refuse_lengths = [&call](const Status& status) {
    ApiError error = api_error_of(status);
    error.param = "messages";
    if (status.code() == StatusCode::kInvalidArgument) error.code = "context_length_exceeded";
    call.refuse(error);
  };
  // Before the tools become a grammar, which may be much work.
  if (const Status fits = check_prompt_fits(served, prompt.ids.size(), true); !fits.ok()) {
    return refuse_lengths(fits);
  }
  const bool must_call = c.tool_choice == "required";
  const bool strict = c.some_tools || std::ranges::any_of(c.render.tools, is_strict);
  if (c.calls_tools && (must_call || strict || r.grammar != nullptr)) {
    if (must_call && r.grammar != nullptr)
      f.wrong("tool_choice", "asks for a call and cannot be combined with a grammar");
    const ToolCallFormat form = served.chat->format().tool_calls;  // an adapter's may be another
    std::string key = fmt::format("tools {} {} {}", static_cast<int>(form), c.tool_grammar.only,
                                  c.tool_grammar.most_calls);
    for (const ChatTool& tool : c.render.tools) key += "\n" + tool.json;
    if (!must_call) key += "\nor " + r.grammar_key;
    const Result<std::shared_ptr<CompiledGrammar>> grammar =
        served.grammars->get(key, [&]() -> Result<Grammar> {
          if (!must_call && r.grammar == nullptr) {
            ToolGrammarOptions strict_only = c.tool_grammar;
            strict_only.strict_only = true;
            return answer_or_calls_grammar(form, c.render.tools, strict_only);
          }
          LOOPLM_ASSIGN_OR_RETURN(Grammar calls,
                                  tool_call_grammar(form, c.render.tools, c.tool_grammar));
          if (must_call) return calls;
          LOOPLM_ASSIGN_OR_RETURN(const Grammar answer, r.make_grammar());
          return either_of(std::move(calls), answer);
        });
    if (!grammar.ok()) f.wrong("tools", "cannot be enforced: " + grammar.status().message());
    if (f.failed()) return call.refuse(f.error());
    r.grammar = grammar.value();
  }
  const ChatFormat& format = served.chat->format();
  r.options.stop_free = {format.reasoning_begin, format.reasoning_end, prompt.in_reasoning};
  r.tenant = call.tenant;
  r.make_constraint = constraint_of(f, served, c, prompt.in_reasoning, r.grammar);
  if (f.failed()) return call.refuse(f.error());
  set_read_outs(r, options.log_probabilities);
  options.per_token = r.per_token;
  options.streams_usage = r.stream_usage;
  options.streams_usage_so_far = r.stream_usage_so_far;
  options.pieces = call.pieces(r.stream);
  options.seed = r.options.sampling.seed;
  options.call_seed = seed_of_call_ids(options.seed, prompt.ids);
  options.choices = static_cast<size_t>(r.choices);
  options.parse.format = served.chat->format();
  options.parse.in_reasoning = prompt.in_reasoning;
  options.parse.tool_calls = c.calls_tools;
  options.parse.must_call = must_call;
  if (!c.parallel_calls) options.most_calls = 1;
  Result<std::vector<Request>> requests = make_requests(context, r, {prompt.ids});
  if (!requests.ok()) return refuse_lengths(requests.status());
  Exchange::begin(context.exchange, std::move(requests).value(), 1, r.stream,
                  call.in_dialect(std::make_unique<ChatAnswer>(served, options),
                                  static_cast<int64_t>(prompt.ids.size())),
                  call.reply);
}

void serve_apply_template(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  const ChatPrompt prompt =
      read_chat_prompt(f, context.served, read_conversation(f, context.served));
  if (f.failed()) return call.refuse(f.error());
  call.answer({{"prompt", prompt.text}});
}

void serve_token_count(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  const ChatPrompt prompt =
      read_chat_prompt(f, context.served, read_conversation(f, context.served));
  if (f.failed()) return call.refuse(f.error());
  call.answer({{"input_tokens", prompt.ids.size()}});
}

}  // namespace looplm
