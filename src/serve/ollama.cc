// Ollama's /api, as a translation to and from chat completions and completions. Streams are lines
// of JSON.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "infer/parts.h"
#include "serve/generation_request.h"
#include "serve/translated_answer.h"

namespace looplm {
namespace {

using Clock = std::chrono::steady_clock;

OrderedJson ollama_error(const ApiError& error) { return {{"error", error.message}}; }

std::string utc(std::time_t seconds) {
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

int64_t nanoseconds(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// Whether the words stand in "message" (/api/chat) or beside it (/api/generate).
enum class OllamaForm { kChat, kGenerate };

class OllamaAnswer : public TranslatedAnswer {
 public:
  OllamaAnswer(std::unique_ptr<AnswerFormat> openai, const ServedModel& served, OllamaForm form)
      : TranslatedAnswer(std::move(openai)), served_(served), form_(form) {}

  OrderedJson error(const ApiError& e) const override { return ollama_error(e); }
  const char* stream_type() const override { return "application/x-ndjson"; }
  std::string framed(const StreamEvent& event) const override {
    return dump_json(event.data) + "\n";
  }
  std::string ping() const override { return ""; }

 protected:
  void delta(const OrderedJson& d, std::vector<StreamEvent>& out) override {
    const std::string text = text_at(d, "content");
    const std::string thinking = text_at(d, "reasoning_content");
    if (text.empty() && thinking.empty()) return;
    out.push_back({"", said(text, thinking, {})});
    if (!unsaid_.empty())
      out.back().data["logprobs"] = std::exchange(unsaid_, OrderedJson::array());
  }
  void log_probabilities(const OrderedJson& tokens) override {
    for (const OrderedJson& token : tokens) {
      all_.push_back(token);
      unsaid_.push_back(token);
    }
  }
  void close(const OrderedJson& message, const Usage& usage,
             std::vector<StreamEvent>& out) override {
    // Calls come whole.
    if (message.contains("tool_calls")) out.push_back({"", said("", "", message["tool_calls"])});
    OrderedJson last = said("", "", {});
    if (!unsaid_.empty()) last["logprobs"] = unsaid_;
    add_figures(usage, last);
    out.push_back({"", std::move(last)});
  }
  OrderedJson answer(const OrderedJson& message, const Usage& usage) override {
    OrderedJson whole = said(text_at(message, "content"), text_at(message, "reasoning_content"),
                             value_at(message, "tool_calls"));
    if (!all_.empty()) whole["logprobs"] = all_;
    add_figures(usage, whole);
    return whole;
  }
  void over(const Generation& generation) override { statistics_ = generation.statistics; }

 private:
  OrderedJson said(const std::string& text, const std::string& thinking,
                   const OrderedJson& calls) const {
    OrderedJson json = {{"model", served_.name}, {"created_at", utc(now_seconds())}};
    if (form_ == OllamaForm::kGenerate) {
      json["response"] = text;
      if (!thinking.empty()) json["thinking"] = thinking;
    } else {
      json["message"] = {{"role", "assistant"}, {"content", text}};
      if (!thinking.empty()) json["message"]["thinking"] = thinking;
      for (const OrderedJson& call : calls) {
        const OrderedJson& function = call["function"];
        json["message"]["tool_calls"].push_back(
            {{"function",
              {{"name", function["name"]},
               {"arguments", arguments_object(function["arguments"])}}}});
      }
    }
    json["done"] = false;
    return json;
  }

  void add_figures(const Usage& usage, OrderedJson& json) const {
    json["done"] = true;
    json["done_reason"] = finish_reason() == "length" ? "length" : "stop";
    json["total_duration"] =
        nanoseconds(std::chrono::duration<double>(Clock::now() - began_).count());
    json["load_duration"] = 0;
    json["prompt_eval_count"] = usage.prompt_tokens;
    json["prompt_eval_duration"] = nanoseconds(statistics_.prompt_seconds);
    json["eval_count"] = usage.completion_tokens;
    json["eval_duration"] = nanoseconds(statistics_.decode_seconds);
    json["loop"] = usage.json()["loop"];
  }

  const ServedModel& served_;
  const OllamaForm form_;
  const Clock::time_point began_ = Clock::now();
  GenerateStatistics statistics_;
  // Log-probabilities of all tokens, and of those whose text has not come yet.
  OrderedJson all_ = OrderedJson::array();
  OrderedJson unsaid_ = OrderedJson::array();
};

// Fields that chat and generate share.
void translate_options(Fields& f, const ServedModel& served, OrderedJson& openai) {
  openai["stream"] = f.boolean("stream", true);
  openai["max_tokens"] = served.context;
  if (const OrderedJson* options = f.find("options")) {
    Fields o(*options, "options");
    if (!o.failed()) {
      copy_fields(*options,
                  {"temperature", "top_k", "top_p", "min_p", "seed", "stop", "repeat_penalty",
                   "presence_penalty", "frequency_penalty", "mirostat", "typical_p", "tfs_z"},
                  openai);
    }
    const int64_t limit = o.integer("num_predict", -1, -2, kMaxPositions);
    if (limit > 0) openai["max_tokens"] = limit;
    f.adopt(o);
  }
  if (const OrderedJson* format = f.find("format"); format != nullptr && *format != "") {
    if (*format == "json") {
      openai["response_format"] = {{"type", "json_object"}};
    } else if (format->is_object()) {
      openai["response_format"] = {{"type", "json_schema"},
                                   {"json_schema", {{"name", "format"}, {"schema", *format}}}};
    } else {
      f.wrong_value("format", *format, "\"json\" or a JSON schema");
    }
  }
  if (const OrderedJson* think = f.find("think")) {
    if (think->is_boolean()) {
      openai["chat_template_kwargs"] = {{"enable_thinking", *think}};
    } else {
      openai["reasoning_effort"] = f.one_of("think", "", {"low", "medium", "high", "max"});
    }
  }
  f.refuse("images", "the model reads text alone", OrderedJson::array());
  if (const OrderedJson* wanted = f.find("logprobs")) openai["logprobs"] = *wanted;
  if (const OrderedJson* count = f.find("top_logprobs")) openai["top_logprobs"] = *count;
}

OrderedJson translate_messages(Fields& f, const OrderedJson& given) {
  OrderedJson messages = OrderedJson::array();
  if (!given.is_array()) f.wrong_value("messages", given, "a list of messages");
  // Ollama's messages have no ids.
  int64_t calls = 0;
  std::set<std::pair<std::string, int64_t>> by_name;  // calls without a result
  std::map<int64_t, std::string> open;                // the same, in their order
  for (size_t i = 0; i < given.size() && !f.failed(); ++i) {
    const OrderedJson& message = given[i];
    const std::string place = fmt::format("messages[{}]", i);
    Fields m(message, place);
    m.refuse("images", "the model reads text alone", OrderedJson::array());
    OrderedJson said = {{"role", m.text("role", "")}, {"content", m.text("content", "")}};
    if (m.has("thinking")) said["reasoning_content"] = m.text("thinking", "");
    // A result says at most which function it is of: the first open call of it.
    if (said["role"] == "tool") {
      if (calls == 0) m.wrong("role", "is 'tool', and no call stands before it");
      const std::string name = m.text("tool_name", "");
      const auto named = by_name.lower_bound({name, 0});
      int64_t call = calls;
      if (named != by_name.end() && named->first == name) {
        call = named->second;
      } else if (!open.empty()) {
        call = open.begin()->first;
      }
      said["tool_call_id"] = fmt::format("call_{}", call);
      if (const auto answered = open.find(call); answered != open.end()) {
        by_name.erase(std::pair(answered->second, call));
        open.erase(answered);
      }
    }
    const OrderedJson tool_calls = value_at(message, "tool_calls");
    for (const OrderedJson& call : tool_calls) {
      const OrderedJson function = value_at(call, "function");
      const std::string name = text_at(function, "name");
      open.emplace(++calls, name);
      by_name.emplace(name, calls);
      said["tool_calls"].push_back({{"id", fmt::format("call_{}", calls)},
                                    {"type", "function"},
                                    {"function",
                                     {{"name", value_at(function, "name")},
                                      {"arguments", dump_json(value_at(function, "arguments"))}}}});
    }
    f.adopt(m);
    messages.push_back(std::move(said));
  }
  return messages;
}

// What Ollama answers to a request without a text: it only loads the model.
OrderedJson loaded_json(const ServedModel& served, OllamaForm form) {
  OrderedJson json = {{"model", served.name}, {"created_at", utc(now_seconds())}};
  if (form == OllamaForm::kChat) {
    json["message"] = {{"role", "assistant"}, {"content", ""}};
  } else {
    json["response"] = "";
  }
  json["done"] = true;
  json["done_reason"] = "load";
  return json;
}

ApiCall translated(const ApiContext& context, const ApiCall& call, OrderedJson openai,
                   OllamaForm form) {
  ApiCall result = call;
  result.renamed = {{"response_format.json_schema.schema", "format"},
                    {"response_format", "format"},
                    {"reasoning_effort", "think"}};
  result.body = std::move(openai);
  result.translate = [&served = context.served, form](std::unique_ptr<AnswerFormat> answer,
                                                      int64_t /*tokens*/) {
    return std::make_unique<OllamaAnswer>(std::move(answer), served, form);
  };
  return result;
}

enum class EmbedForm { kMany, kOne };

class OllamaEmbedding : public AnswerFormat {
 public:
  OllamaEmbedding(std::unique_ptr<AnswerFormat> openai, EmbedForm form)
      : openai_(std::move(openai)), form_(form) {}

  void token(size_t, const GeneratedToken&, std::vector<StreamEvent>&) override {}
  void ended(size_t index, const Generation& generation, std::vector<StreamEvent>& out) override {
    openai_->ended(index, generation, out);
  }
  void closed(const Usage&, std::vector<StreamEvent>&) override {}
  OrderedJson error(const ApiError& e) const override { return ollama_error(e); }
  OrderedJson whole(const Usage& usage) override {
    const OrderedJson answer = openai_->whole(usage);
    if (form_ == EmbedForm::kOne) return {{"embedding", answer["data"][0]["embedding"]}};
    OrderedJson vectors = OrderedJson::array();
    for (const OrderedJson& one : answer["data"]) vectors.push_back(one["embedding"]);
    return {{"model", answer["model"]},
            {"embeddings", std::move(vectors)},
            {"total_duration",
             nanoseconds(std::chrono::duration<double>(Clock::now() - began_).count())},
            {"load_duration", 0},
            {"prompt_eval_count", usage.prompt_tokens}};
  }

 private:
  const std::unique_ptr<AnswerFormat> openai_;
  const EmbedForm form_;
  const Clock::time_point began_ = Clock::now();
};

void embed(const ApiContext& context, const ApiCall& call, OrderedJson openai, EmbedForm form) {
  copy_fields(call.body, {"dimensions", "loop"}, openai);
  ApiCall translated = call;
  translated.body = std::move(openai);
  translated.translate = [form](std::unique_ptr<AnswerFormat> answer, int64_t /*tokens*/) {
    return std::make_unique<OllamaEmbedding>(std::move(answer), form);
  };
  serve_embeddings(context, translated);
}

std::string size_text(int64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count >= 1e9 ? fmt::format("{:.1f}B", count / 1e9) : fmt::format("{:.1f}M", count / 1e6);
}

// Without a prompt the model is only loaded, but what stands beside must be right all the same.
void answer_loaded(const ApiContext& context, const ApiCall& call, const OrderedJson& openai,
                   OllamaForm form) {
  Fields f(openai);
  GenerationRequest ignored;
  read_generation_fields(f, context.served, ignored);
  if (f.failed()) return call.refuse(f.error());
  call.answer(loaded_json(context.served, form));
}

// Tells models apart, as Ollama's programs expect of a digest; it says nothing about the files.
std::string digest_text(const ServedModel& served) {
  return fmt::format("{:02x}", fmt::join(sha256_of(served.name), ""));
}

OrderedJson details_json(const ServedModel& served) {
  return {{"parent_model", served.base},
          {"format", ""},
          {"family", "looped"},
          {"families", {"looped"}},
          {"parameter_size", size_text(served.model->config().parameter_count())},
          {"quantization_level", ""}};
}

}  // namespace

const Dialect kOllama = {ollama_error};

void serve_ollama_chat(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  OrderedJson openai = OrderedJson::object();
  copy_extensions(call.body, openai);
  translate_options(f, context.served, openai);
  const OrderedJson* messages = f.find("messages");
  if (messages != nullptr) openai["messages"] = translate_messages(f, *messages);
  copy_fields(call.body, {"tools"}, openai);
  if (f.failed()) return call.refuse(f.error());
  if (messages == nullptr || messages->empty()) {
    return answer_loaded(context, call, openai, OllamaForm::kChat);
  }
  serve_chat(context, translated(context, call, std::move(openai), OllamaForm::kChat));
}

void serve_ollama_generate(const ApiContext& context, const ApiCall& call) {
  const ServedModel& served = context.served;
  Fields f(call.body);
  OrderedJson openai = OrderedJson::object();
  copy_extensions(call.body, openai);
  translate_options(f, served, openai);
  const std::string prompt = f.text("prompt", "");
  const std::string system = f.text("system", "");
  const bool raw = f.boolean("raw", false);
  f.refuse("suffix", "text is completed from the left", "");
  f.refuse("template", "the model's own is used", "");
  f.refuse("context", "nothing is kept between requests; /api/chat takes the whole conversation",
           OrderedJson::array());
  if (f.failed()) return call.refuse(f.error());
  if (prompt.empty()) return answer_loaded(context, call, openai, OllamaForm::kGenerate);
  // A model without turns of its own continues the text.
  if (raw || !served.converses()) {
    openai["prompt"] = system.empty() || raw ? prompt : system + "\n" + prompt;
    openai.erase("chat_template_kwargs");
    openai.erase("reasoning_effort");
    f.refuse("logprobs", "supported only in conversations: /api/chat", false);
    f.refuse("top_logprobs", "supported only in conversations: /api/chat", 0);
    if (f.failed()) return call.refuse(f.error());
    openai.erase("logprobs");
    openai.erase("top_logprobs");
    return serve_completions(context,
                             translated(context, call, std::move(openai), OllamaForm::kGenerate));
  }
  OrderedJson messages = OrderedJson::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  openai["messages"] = std::move(messages);
  serve_chat(context, translated(context, call, std::move(openai), OllamaForm::kGenerate));
}

void serve_ollama_show(const ApiContext& context, const ApiCall& call) {
  const ServedModel& served = context.served;
  const ModelConfig& config = served.model->config();
  OrderedJson capabilities = {"completion"};
  if (served.converses()) capabilities.push_back("tools");
  call.answer({{"modelfile", ""},
               {"parameters", ""},
               {"template", served.chat == nullptr ? "" : served.chat->source()},
               {"details", details_json(served)},
               {"model_info",
                {{"general.architecture", "looped"},
                 {"general.parameter_count", config.parameter_count()},
                 {"looped.context_length", served.context},
                 {"looped.embedding_length", config.hidden_size},
                 {"looped.block_count", config.layers},
                 {"looped.loop_count", config.loops}}},
               {"capabilities", std::move(capabilities)},
               {"modified_at", utc(served.created)}});
}

void serve_ollama_embed(const ApiContext& context, const ApiCall& call) {
  OrderedJson openai = {{"truncate", true}};  // what Ollama does unless it is told otherwise
  copy_fields(call.body, {"input"}, openai);
  if (const OrderedJson value = value_at(call.body, "truncate"); !value.is_null()) {
    openai["truncate"] = value;
  }
  embed(context, call, std::move(openai), EmbedForm::kMany);
}

void serve_ollama_embeddings(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  const std::string prompt = f.text("prompt", "");
  if (f.failed()) return call.refuse(f.error());
  embed(context, call, {{"input", prompt}, {"normalize", false}}, EmbedForm::kOne);
}

OrderedJson ollama_ps_json(std::span<const ServedModel* const> models) {
  OrderedJson list = OrderedJson::array();
  for (const ServedModel* served : models) {
    list.push_back({{"name", served->name},
                    {"model", served->name},
                    {"size", served->model->parts().weights.packed_bytes()},
                    {"size_vram", 0},
                    {"digest", digest_text(*served)},
                    {"expires_at", "9999-12-31T23:59:59Z"},  // models stay in memory
                    {"details", details_json(*served)},
                    {"context_length", served->context}});
  }
  return {{"models", std::move(list)}};
}

OrderedJson ollama_tags_json(std::span<const ServedModel* const> models) {
  OrderedJson list = OrderedJson::array();
  for (const ServedModel* served : models) {
    list.push_back({{"name", served->name},
                    {"model", served->name},
                    {"modified_at", utc(served->created)},
                    {"size", served->model->parts().weights.packed_bytes()},
                    {"digest", digest_text(*served)},
                    {"details", details_json(*served)}});
  }
  return {{"models", std::move(list)}};
}

}  // namespace looplm
