// Anthropic's /v1/messages, as a translation to and from chat completions.
#include <fmt/format.h>

#include "serve/generation_request.h"
#include "serve/translated_answer.h"

namespace looplm {
namespace {

OrderedJson anthropic_error(const ApiError& error) {
  const char* type = error.status == 401   ? "authentication_error"
                     : error.status == 403 ? "permission_error"
                     : error.status == 404 ? "not_found_error"
                     : error.status == 413 ? "request_too_large"
                     : error.status == 429 ? "rate_limit_error"
                     : error.status == 503 ? "overloaded_error"
                     : error.status >= 500 ? "api_error"
                                           : "invalid_request_error";
  return {{"type", "error"}, {"error", {{"type", type}, {"message", error.message}}}};
}

class MessagesAnswer : public TranslatedAnswer {
 public:
  MessagesAnswer(std::unique_ptr<AnswerFormat> openai, const ServedModel& served,
                 std::vector<std::string> stops, int64_t prompt_tokens)
      : TranslatedAnswer(std::move(openai)),
        served_(served),
        stops_(std::move(stops)),
        prompt_tokens_(prompt_tokens) {}

  OrderedJson error(const ApiError& e) const override { return anthropic_error(e); }
  StreamEvent stream_error(const ApiError& e) override { return {"error", anthropic_error(e)}; }

 protected:
  void delta(const OrderedJson& d, std::vector<StreamEvent>& out) override {
    start(out);
    if (d.contains("reasoning_content")) {
      open("thinking", 0, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}, out);
      add({{"type", "thinking_delta"}, {"thinking", d["reasoning_content"]}}, out);
    }
    if (d.contains("content") && d["content"].is_string() && d["content"] != "") {
      open("text", 0, {{"type", "text"}, {"text", ""}}, out);
      add({{"type", "text_delta"}, {"text", d["content"]}}, out);
    }
    if (!d.contains("tool_calls")) return;
    for (const OrderedJson& call : d["tool_calls"]) {
      const OrderedJson& function = call["function"];
      if (call.contains("id")) {
        open("tool_use", call["index"].get<size_t>(),
             {{"type", "tool_use"},
              {"id", call["id"]},
              {"name", function["name"]},
              {"input", OrderedJson::object()}},
             out);
      }
      if (function["arguments"] == "") continue;
      add({{"type", "input_json_delta"}, {"partial_json", function["arguments"]}}, out);
    }
  }

  void close(const OrderedJson& /*message*/, const Usage& usage,
             std::vector<StreamEvent>& out) override {
    start(out);
    shut(out);
    out.push_back({"message_delta",
                   {{"type", "message_delta"},
                    {"delta", {{"stop_reason", stop_reason()}, {"stop_sequence", stop_sequence()}}},
                    {"usage", usage_json(usage)}}});
    out.push_back({"message_stop", {{"type", "message_stop"}}});
  }

  OrderedJson answer(const OrderedJson& message, const Usage& usage) override {
    OrderedJson content = OrderedJson::array();
    if (message.contains("reasoning_content")) {
      content.push_back(
          {{"type", "thinking"}, {"thinking", message["reasoning_content"]}, {"signature", ""}});
    }
    if (message["content"].is_string() && message["content"] != "") {
      content.push_back({{"type", "text"}, {"text", message["content"]}});
    }
    if (message.contains("tool_calls")) {
      for (const OrderedJson& call : message["tool_calls"]) {
        content.push_back({{"type", "tool_use"},
                           {"id", call["id"]},
                           {"name", call["function"]["name"]},
                           {"input", arguments_object(call["function"]["arguments"])}});
      }
    }
    OrderedJson json = head();
    json["content"] = std::move(content);
    json["stop_reason"] = stop_reason();
    json["stop_sequence"] = stop_sequence();
    json["usage"] = usage_json(usage);
    return json;
  }

  // Which of the stops ended the text: the one that follows it in what the tokens say.
  void over(const Generation& generation) override {
    if (generation.finish_reason != FinishReason::kStop || stops_.empty()) return;
    std::vector<int32_t> ids;
    for (const GeneratedToken& token : generation.tokens) ids.push_back(token.id);
    const std::string all = served_.model->tokenizer()->decode(ids, true);
    if (!all.starts_with(generation.text)) return;
    const std::string_view rest = std::string_view(all).substr(generation.text.size());
    for (const std::string& stop : stops_) {
      if (rest.starts_with(stop)) stop_ = stop;
    }
  }

 private:
  OrderedJson head() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", served_.name},
            {"content", OrderedJson::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }

  OrderedJson stop_reason() const {
    if (!stop_.empty()) return "stop_sequence";
    return finish_reason() == "length"       ? "max_tokens"
           : finish_reason() == "tool_calls" ? "tool_use"
                                             : "end_turn";
  }
  OrderedJson stop_sequence() const { return stop_.empty() ? OrderedJson() : OrderedJson(stop_); }

  static OrderedJson usage_json(const Usage& usage) {
    return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", usage.cached_tokens},
            {"output_tokens", usage.completion_tokens},
            {"loop", usage.json()["loop"]}};
  }

  void start(std::vector<StreamEvent>& out) {
    if (std::exchange(started_, true)) return;
    OrderedJson message = head();
    message["usage"] = {{"input_tokens", prompt_tokens_}, {"output_tokens", 0}};
    out.push_back({"message_start", {{"type", "message_start"}, {"message", std::move(message)}}});
  }
  // A block of this kind is open afterwards.
  void open(const std::string& kind, size_t call, OrderedJson block,
            std::vector<StreamEvent>& out) {
    const std::string name = fmt::format("{} {}", kind, call);
    if (open_ == name) return;
    shut(out);
    open_ = name;
    out.push_back({"content_block_start",
                   {{"type", "content_block_start"},
                    {"index", index_},
                    {"content_block", std::move(block)}}});
  }
  void add(OrderedJson delta, std::vector<StreamEvent>& out) {
    out.push_back(
        {"content_block_delta",
         {{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}}});
  }
  void shut(std::vector<StreamEvent>& out) {
    if (open_.empty()) return;
    open_.clear();
    out.push_back({"content_block_stop", {{"type", "content_block_stop"}, {"index", index_++}}});
  }

  const ServedModel& served_;
  const std::vector<std::string> stops_;
  const int64_t prompt_tokens_;
  const std::string id_ = random_id("msg_");
  bool started_ = false;
  std::string open_;  // kind and call of the open block
  int64_t index_ = 0;
  std::string stop_;
};

// One message becomes several where it holds results of tools.
void translate_message(Fields& f, const std::string& path, const OrderedJson& message,
                       OrderedJson& out) {
  if (!message.is_object()) return f.wrong_value(path, message, "an object");
  const std::string role = text_at(message, "role");
  if (role != "user" && role != "assistant") {
    return f.wrong(path + ".role", fmt::format("is '{}'; expected user or assistant", role));
  }
  const OrderedJson content = value_at(message, "content");
  if (content.is_string()) {
    out.push_back({{"role", role}, {"content", content}});
    return;
  }
  if (!content.is_array()) {
    return f.wrong_value(path + ".content", content, "a text or a list of blocks");
  }
  OrderedJson said = {{"role", role}, {"content", ""}};
  OrderedJson parts = OrderedJson::array();
  for (size_t i = 0; i < content.size() && !f.failed(); ++i) {
    const OrderedJson& block = content[i];
    const std::string place = fmt::format("{}.content[{}]", path, i);
    const std::string type = text_at(block, "type");
    if (type == "text") {
      parts.push_back(block);
    } else if (type == "tool_result" && role == "user") {
      out.push_back(
          {{"role", "tool"},
           {"tool_call_id", text_at(block, "tool_use_id")},
           {"content", block.contains("content")
                           ? text_of_content(f, place + ".content", block["content"], {"text"})
                           : ""}});
    } else if (type == "tool_use" && role == "assistant") {
      said["tool_calls"].push_back({{"id", text_at(block, "id")},
                                    {"type", "function"},
                                    {"function",
                                     {{"name", text_at(block, "name")},
                                      {"arguments", dump_json(value_at(block, "input"))}}}});
    } else if (type == "thinking" && role == "assistant") {
      said["reasoning_content"] = text_at(block, "thinking");
    } else if (type != "redacted_thinking") {
      f.wrong(
          place + ".type",
          fmt::format("is '{}'; expected text, tool_use, tool_result or thinking; the model reads "
                      "text alone",
                      type));
    }
  }
  said["content"] = text_of_content(f, path + ".content", parts, {"text"});
  // Results alone are no message of the user's.
  if (!parts.empty() || role == "assistant") out.push_back(std::move(said));
}

void translate_tools(Fields& f, const OrderedJson& body, OrderedJson& chat) {
  if (const OrderedJson* tools = f.list("tools", "a list of tools")) {
    for (const OrderedJson& tool : *tools) {
      if (!tool.is_object() || !tool.contains("input_schema")) {
        return f.wrong("tools", fmt::format("hold {}; expected tools of the client's own, with a "
                                            "name and an input_schema: this server has none",
                                            shown_json(tool)));
      }
      chat["tools"].push_back(function_tool(tool, "input_schema"));
    }
  }
  if (!f.has("tool_choice")) return;
  Fields choice(body["tool_choice"], "tool_choice");
  const std::string type = choice.one_of("type", "auto", {"auto", "any", "tool", "none"});
  if (type == "tool") {
    chat["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice.text("name", "")}}}};
  } else {
    chat["tool_choice"] = type == "any" ? "required" : type;
  }
  if (choice.boolean("disable_parallel_tool_use", false)) chat["parallel_tool_calls"] = false;
  f.adopt(choice);
}

// The conversation, its tools and its reasoning: what the prompt is made of.
void translate_prompt(Fields& f, const ApiCall& call, OrderedJson& chat) {
  OrderedJson messages = OrderedJson::array();
  if (const OrderedJson* system = f.find("system")) {
    messages.push_back(
        {{"role", "system"}, {"content", text_of_content(f, "system", *system, {"text"})}});
  }
  const OrderedJson* given = f.find("messages");
  if (given == nullptr || !given->is_array()) {
    f.wrong("messages", given == nullptr ? "is missing" : "is not a list");
  } else {
    for (size_t i = 0; i < given->size() && !f.failed(); ++i) {
      translate_message(f, fmt::format("messages[{}]", i), (*given)[i], messages);
    }
  }
  chat["messages"] = std::move(messages);
  translate_tools(f, call.body, chat);
  if (f.has("thinking")) {
    Fields thinking(call.body["thinking"], "thinking");
    const std::string type =
        thinking.one_of("type", "disabled", {"enabled", "disabled", "adaptive"});
    chat["chat_template_kwargs"] = {{"enable_thinking", type != "disabled"}};
    if (type == "enabled") {
      chat["thinking_budget"] = thinking.integer("budget_tokens", -1, -1, kMaxPositions);
    }
    f.adopt(thinking);
  }
}

void read_format(Fields& format, OrderedJson& chat) {
  format.one_of("type", "json_schema", {"json_schema"});
  const OrderedJson* schema = format.find("schema");
  if (schema == nullptr) format.wrong("schema", "is missing");
  if (!format.failed()) {
    chat["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "format"}, {"schema", *schema}}}};
  }
}

// The answer's form, and how hard to think about it.
void translate_output(Fields& f, OrderedJson& chat) {
  Fields output = f.inner("output_config");
  if (f.has("output_format") && output.has("format")) {
    f.wrong("output_format", "and 'output_config.format' are both given; expected one of them");
  } else if (f.has("output_format")) {  // what it was called first
    Fields before = f.inner("output_format");
    read_format(before, chat);
    f.adopt(before);
  }
  const std::string effort = output.one_of("effort", "", {"low", "medium", "high", "xhigh", "max"});
  if (!effort.empty()) chat["reasoning_effort"] = effort;
  if (output.has("format")) {
    Fields format = output.inner("format");
    read_format(format, chat);
    output.adopt(format);
  }
  f.adopt(output);
}

}  // namespace

const Dialect kAnthropic = {anthropic_error};

void serve_messages(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  OrderedJson chat = OrderedJson::object();
  copy_extensions(call.body, chat);
  copy_fields(call.body, {"model", "stream", "temperature", "top_p"}, chat);
  if (!f.has("max_tokens")) f.wrong("max_tokens", "is missing");
  chat["max_tokens"] = f.integer("max_tokens", 1, 1, kMaxPositions);
  translate_prompt(f, call, chat);
  translate_output(f, chat);
  f.refuse("mcp_servers", "this server calls no tools itself", OrderedJson::array());
  f.refuse("container", "this server runs no code");
  std::vector<std::string> stops;
  if (const OrderedJson* list = f.list("stop_sequences", "a list of texts")) {
    for (const OrderedJson& stop : *list) {
      if (!stop.is_string()) f.wrong_value("stop_sequences", *list, "a list of texts");
      if (stop == "") f.wrong("stop_sequences", "holds an empty text");
      if (stop.is_string()) stops.push_back(stop);
    }
    if (!stops.empty()) chat["stop"] = stops;
  }
  if (f.failed()) return call.refuse(f.error());
  ApiCall translated = call;
  translated.renamed = {{"response_format.json_schema", "output_config.format"},
                        {"reasoning_effort", "output_config.effort"},
                        {"thinking_budget", "thinking.budget_tokens"},
                        {"tool_choice.function", "tool_choice"}};
  translated.body = std::move(chat);
  translated.translate = [&served = context.served, stops](std::unique_ptr<AnswerFormat> openai,
                                                           int64_t tokens) {
    return std::make_unique<MessagesAnswer>(std::move(openai), served, stops, tokens);
  };
  serve_chat(context, translated);
}

void serve_count_tokens(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  ApiCall translated = call;
  translated.body = OrderedJson::object();
  copy_fields(call.body, {"model"}, translated.body);
  translate_prompt(f, call, translated.body);
  if (f.failed()) return call.refuse(f.error());
  serve_token_count(context, translated);
}

}  // namespace looplm
