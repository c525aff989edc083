// OpenAI's /v1/responses without memory: each request brings the whole conversation. A translation
// to and from chat completions.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "serve/generation_request.h"
#include "serve/translated_answer.h"

namespace looplm {
namespace {

class ResponsesAnswer : public TranslatedAnswer {
 public:
  // `echoed`: what the response repeats of its request.
  ResponsesAnswer(std::unique_ptr<AnswerFormat> openai, const ServedModel& served,
                  OrderedJson echoed)
      : TranslatedAnswer(std::move(openai)), served_(served), echoed_(std::move(echoed)) {}

  StreamEvent stream_error(const ApiError& e) override {
    return event("error", {{"code", e.code}, {"message", e.message}, {"param", e.param}});
  }

 protected:
  void delta(const OrderedJson& d, std::vector<StreamEvent>& out) override {
    start(out);
    // Tokens of reasoning and of calls have none in this API.
    if (d.contains("reasoning_content") || d.contains("tool_calls")) unsaid_.clear();
    if (const std::string text = text_at(d, "reasoning_content"); !text.empty()) {
      open({{"id", random_id("rs_")},
            {"type", "reasoning"},
            {"summary", OrderedJson::array()},
            {"content", OrderedJson::array()}},
           0, out);
      add_text("response.reasoning_text.delta", text, out);
    }
    if (const std::string text = text_at(d, "content"); !text.empty()) {
      open({{"id", random_id("msg_")},
            {"type", "message"},
            {"status", "in_progress"},
            {"role", "assistant"},
            {"content", OrderedJson::array()}},
           0, out);
      add_text("response.output_text.delta", text, out);
    }
    for (const OrderedJson& call : value_at(d, "tool_calls")) {
      const OrderedJson& function = call["function"];
      const auto number = call["index"].get<size_t>();
      if (call.contains("id")) {
        open({{"id", random_id("fc_")},
              {"type", "function_call"},
              {"status", "in_progress"},
              {"call_id", call["id"]},
              {"name", function["name"]},
              {"arguments", ""}},
             number, out);
      }
      const std::string piece = text_at(function, "arguments");
      if (piece.empty()) continue;
      items_.back()["arguments"] = items_.back()["arguments"].get<std::string>() + piece;
      out.push_back(event("response.function_call_arguments.delta", in_item({{"delta", piece}})));
    }
  }

  void log_probabilities(const OrderedJson& tokens) override {
    for (const OrderedJson& token : tokens) unsaid_.push_back(token);
  }

  void close(const OrderedJson& /*message*/, const Usage& usage,
             std::vector<StreamEvent>& out) override {
    start(out);
    shut(out);
    out.push_back(event(cut_short() ? "response.incomplete" : "response.completed",
                        {{"response", response(usage)}}));
  }

  // The items were put together on the way, streamed or not.
  OrderedJson answer(const OrderedJson& /*message*/, const Usage& usage) override {
    std::vector<StreamEvent> unsent;
    shut(unsent);
    return response(usage);
  }

 private:
  bool cut_short() const { return finish_reason() == "length"; }

  OrderedJson head(const char* status) const {
    OrderedJson json = {{"id", id_},
                        {"object", "response"},
                        {"created_at", created_},
                        {"status", status},
                        {"error", nullptr},
                        {"incomplete_details", nullptr},
                        {"model", served_.name},
                        {"output", OrderedJson::array()}};
    json.update(echoed_);
    return json;
  }

  OrderedJson response(const Usage& usage) const {
    OrderedJson json = head(cut_short() ? "incomplete" : "completed");
    if (cut_short()) json["incomplete_details"] = {{"reason", "max_output_tokens"}};
    for (const OrderedJson& item : items_) json["output"].push_back(item);
    json["usage"] = {{"input_tokens", usage.prompt_tokens},
                     {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                     {"output_tokens", usage.completion_tokens},
                     {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
                     {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                     {"loop", usage.json()["loop"]}};
    return json;
  }

  StreamEvent event(const std::string& type, const OrderedJson& fields) {
    OrderedJson data = {{"type", type}, {"sequence_number", sequence_++}};
    data.update(fields);
    return {type, std::move(data)};
  }
  OrderedJson in_item(const OrderedJson& fields) const {
    OrderedJson data = {{"item_id", items_.back()["id"]}, {"output_index", items_.size() - 1}};
    data.update(fields);
    return data;
  }

  void start(std::vector<StreamEvent>& out) {
    if (std::exchange(started_, true)) return;
    out.push_back(event("response.created", {{"response", head("in_progress")}}));
    out.push_back(event("response.in_progress", {{"response", head("in_progress")}}));
  }

  // An item of this type, and of this call, is the last one and open afterwards.
  void open(OrderedJson item, size_t call, std::vector<StreamEvent>& out) {
    if (open_ && items_.back()["type"] == item["type"] && call_ == call) return;
    shut(out);
    open_ = true;
    call_ = call;
    items_.push_back(std::move(item));
    out.push_back(event("response.output_item.added",
                        {{"output_index", items_.size() - 1}, {"item", items_.back()}}));
    if (items_.back()["type"] == "function_call") return;
    items_.back()["content"].push_back(empty_part());
    out.push_back(event("response.content_part.added",
                        in_item({{"content_index", 0}, {"part", empty_part()}})));
  }
  OrderedJson empty_part() const {
    if (items_.back()["type"] == "reasoning") return {{"type", "reasoning_text"}, {"text", ""}};
    return {{"type", "output_text"},
            {"text", ""},
            {"annotations", OrderedJson::array()},
            {"logprobs", OrderedJson::array()}};
  }
  void add_text(const char* type, const std::string& text, std::vector<StreamEvent>& out) {
    OrderedJson& part = items_.back()["content"][0];
    part["text"] = part["text"].get<std::string>() + text;
    OrderedJson fields = {{"content_index", 0}, {"delta", text}};
    if (part.contains("logprobs")) {
      fields["logprobs"] = std::exchange(unsaid_, OrderedJson::array());
      for (const OrderedJson& token : fields["logprobs"]) part["logprobs"].push_back(token);
    }
    out.push_back(event(type, in_item(fields)));
  }
  void shut(std::vector<StreamEvent>& out) {
    if (!std::exchange(open_, false)) return;
    OrderedJson& item = items_.back();
    const std::string type = item["type"];
    if (type == "function_call") {
      out.push_back(event("response.function_call_arguments.done",
                          in_item({{"name", item["name"]}, {"arguments", item["arguments"]}})));
    } else {
      const OrderedJson& part = item["content"][0];
      OrderedJson fields = {{"content_index", 0}, {"text", part["text"]}};
      if (part.contains("logprobs")) fields["logprobs"] = part["logprobs"];
      out.push_back(
          event(type == "message" ? "response.output_text.done" : "response.reasoning_text.done",
                in_item(fields)));
      out.push_back(
          event("response.content_part.done", in_item({{"content_index", 0}, {"part", part}})));
    }
    if (item.contains("status")) item["status"] = cut_short() ? "incomplete" : "completed";
    out.push_back(
        event("response.output_item.done", {{"output_index", items_.size() - 1}, {"item", item}}));
  }

  const ServedModel& served_;
  const OrderedJson echoed_;
  const std::string id_ = random_id("resp_");
  const int64_t created_ = now_seconds();
  int64_t sequence_ = 0;
  bool started_ = false;
  std::vector<OrderedJson> items_;
  bool open_ = false;  // the last item goes on
  size_t call_ = 0;    // which of the calls it is
  // Log-probabilities of tokens whose text has not come yet.
  OrderedJson unsaid_ = OrderedJson::array();
};

void add_paragraph(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) text += "\n\n";
  text += more;
}

// Reasoning stands before the assistant's words or calls, and belongs to their message.
void translate_item(Fields& f, const std::string& place, const OrderedJson& item,
                    std::string& reasoning, OrderedJson& messages) {
  if (!item.is_object()) return f.wrong_value(place, item, "an object");
  const std::string type = item.contains("type") ? text_at(item, "type") : "message";
  const auto add = [&](OrderedJson message) {
    const bool answers = message["role"] == "assistant";
    if (std::string thought = std::exchange(reasoning, {}); answers && !thought.empty()) {
      message["reasoning_content"] = std::move(thought);
    }
    messages.push_back(std::move(message));
  };
  if (type == "message") {
    add({{"role", value_at(item, "role")},
         {"content", text_of_content(f, place + ".content", value_at(item, "content"),
                                     {"input_text", "output_text", "text"})}});
  } else if (type == "function_call") {
    const OrderedJson call = {
        {"id", text_at(item, "call_id")},
        {"type", "function"},
        {"function",
         {{"name", value_at(item, "name")}, {"arguments", value_at(item, "arguments")}}}};
    // Calls that follow the same words belong to one message.
    if (messages.empty() || messages.back()["role"] != "assistant") {
      add({{"role", "assistant"}, {"content", ""}});
    } else if (!reasoning.empty()) {
      std::string thought = text_at(messages.back(), "reasoning_content");
      add_paragraph(thought, std::exchange(reasoning, {}));
      messages.back()["reasoning_content"] = std::move(thought);
    }
    messages.back()["tool_calls"].push_back(call);
  } else if (type == "function_call_output") {
    add({{"role", "tool"},
         {"tool_call_id", text_at(item, "call_id")},
         {"content", text_of_content(f, place + ".output", value_at(item, "output"),
                                     {"input_text", "output_text", "text"})}});
  } else if (type == "item_reference") {
    f.wrong(place + ".type", "is 'item_reference', and nothing is kept here; send the item itself");
  } else if (type == "reasoning") {  // what is encrypted or summed up is not the reasoning itself
    if (const OrderedJson content = value_at(item, "content"); !content.is_null()) {
      add_paragraph(reasoning,
                    text_of_content(f, place + ".content", content, {"reasoning_text", "text"}));
    }
  } else {
    f.wrong(place + ".type", fmt::format("is '{}'; expected message, function_call, "
                                         "function_call_output or reasoning",
                                         type));
  }
}

void translate_tools(Fields& f, OrderedJson& chat) {
  if (const OrderedJson* tools = f.list("tools", "a list of tools")) {
    for (const OrderedJson& tool : *tools) {
      if (text_at(tool, "type") != "function") {
        return f.wrong(
            "tools", fmt::format("hold the type '{}'; expected function: this server has no tools "
                                 "of its own",
                                 text_at(tool, "type")));
      }
      chat["tools"].push_back(function_tool(tool, "parameters"));
    }
  }
  if (const OrderedJson* choice = f.find("tool_choice")) {
    if (text_at(*choice, "type") == "allowed_tools") {
      OrderedJson tools = OrderedJson::array();
      for (const OrderedJson& tool : value_at(*choice, "tools")) {
        tools.push_back(
            {{"type", value_at(tool, "type")}, {"function", {{"name", value_at(tool, "name")}}}});
      }
      chat["tool_choice"] = {
          {"type", "allowed_tools"},
          {"allowed_tools", {{"mode", value_at(*choice, "mode")}, {"tools", std::move(tools)}}}};
    } else {
      chat["tool_choice"] = choice->is_object()
                                ? OrderedJson{{"type", value_at(*choice, "type")},
                                              {"function", {{"name", value_at(*choice, "name")}}}}
                                : *choice;
    }
  }
}

void translate_text(Fields& f, OrderedJson& chat) {
  if (!f.has("text")) return;
  Fields text = f.inner("text");
  if (const OrderedJson* format = text.find("format")) {
    text.adopt(text.inner("format"));
    const OrderedJson type = value_at(*format, "type");
    OrderedJson translated = {{"type", type}};
    if (type == "json_schema") {
      translated["json_schema"] = OrderedJson::object();
      copy_fields(*format, {"name", "schema", "strict"}, translated["json_schema"]);
    }
    chat["response_format"] = std::move(translated);
  }
  f.adopt(text);
}

// What a response says of its request.
OrderedJson echo_of(const OrderedJson& body) {
  OrderedJson echoed = {{"instructions", nullptr},
                        {"max_output_tokens", nullptr},
                        {"metadata", OrderedJson::object()},
                        {"parallel_tool_calls", true},
                        {"previous_response_id", nullptr},
                        {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                        {"temperature", 1.0},
                        {"text", {{"format", {{"type", "text"}}}}},
                        {"tool_choice", "auto"},
                        {"tools", OrderedJson::array()},
                        {"top_logprobs", 0},
                        {"top_p", 1.0},
                        {"truncation", "disabled"}};
  for (auto& [name, value] : echoed.items()) {
    if (body.contains(name) && !body[name].is_null()) value = body[name];
  }
  echoed["store"] = false;
  return echoed;
}

}  // namespace

void serve_responses(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    f.refuse(name, "nothing is kept here; send the whole conversation as input");
  }
  f.refuse("background", "answers are sent while they are made", false);
  f.refuse("truncation", "nothing is left out of the input", "disabled");
  OrderedJson chat = OrderedJson::object();
  copy_extensions(call.body, chat);
  copy_fields(call.body, {"model", "stream", "temperature", "top_p", "stop", "parallel_tool_calls"},
              chat);
  if (f.has("max_output_tokens")) {
    chat["max_tokens"] = f.integer("max_output_tokens", 1, 1, kMaxPositions);
  }
  if (const OrderedJson* include = f.list("include", "a list of names")) {
    if (std::ranges::find(*include, "message.output_text.logprobs") != include->end()) {
      chat["logprobs"] = true;
    }
  }
  copy_fields(call.body, {"top_logprobs"}, chat);
  OrderedJson messages = OrderedJson::array();
  if (f.has("instructions")) {
    messages.push_back({{"role", "system"}, {"content", f.text("instructions", "")}});
  }
  const OrderedJson* input = f.find("input");
  if (input == nullptr) {
    f.wrong("input", "is missing");
  } else if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
  } else if (input->is_array() && !input->empty()) {
    std::string reasoning;
    for (size_t i = 0; i < input->size() && !f.failed(); ++i) {
      translate_item(f, fmt::format("input[{}]", i), (*input)[i], reasoning, messages);
    }
  } else {
    f.wrong_value("input", *input, "a text or a non-empty list of items");
  }
  chat["messages"] = std::move(messages);
  translate_tools(f, chat);
  translate_text(f, chat);
  if (f.has("reasoning")) {
    const Fields reasoning = f.inner("reasoning");
    if (const OrderedJson* effort = reasoning.find("effort")) chat["reasoning_effort"] = *effort;
    f.adopt(reasoning);
  }
  if (f.failed()) return call.refuse(f.error());
  ApiCall translated = call;
  translated.renamed = {{"response_format.json_schema", "text.format"},
                        {"response_format", "text.format"},
                        {"reasoning_effort", "reasoning.effort"},
                        {"tool_choice.function", "tool_choice"},
                        {"tool_choice.allowed_tools", "tool_choice"}};
  translated.body = std::move(chat);
  translated.translate = [&served = context.served, echoed = echo_of(call.body)](
                             std::unique_ptr<AnswerFormat> openai, int64_t /*tokens*/) {
    return std::make_unique<ResponsesAnswer>(std::move(openai), served, echoed);
  };
  serve_chat(context, translated);
}

}  // namespace looplm
