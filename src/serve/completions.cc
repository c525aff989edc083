// /v1/completions: text from text.
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "serve/api.h"
#include "serve/token_json.h"
#include "text/utf8.h"

namespace looplm {
namespace {

struct CompletionOptions {
  bool echo = false;
  int64_t log_probabilities = -1;
  bool per_token = false;
  bool streams_usage = false;
  bool streams_usage_so_far = false;
  Pieces pieces = Pieces::kNone;
  uint64_t seed = 0;
  int64_t choices = 1;  // per prompt
};

class CompletionFormat : public AnswerFormat {
 public:
  CompletionFormat(const ServedModel& served, const CompletionOptions& options,
                   std::vector<std::vector<int32_t>> prompts)
      : served_(served),
        options_(options),
        prompts_(std::move(prompts)),
        choices_(prompts_.size() * static_cast<size_t>(options.choices)) {}

  void token(size_t index, const GeneratedToken& token, std::vector<StreamEvent>& out) override {
    Choice& choice = choices_[index];
    std::string text = open(index);
    text += token.text;
    choice.text += token.text;
    if (tells_of_tokens()) choice.tokens.push_back(token);
    if (options_.pieces == Pieces::kNone || holds_back()) return;
    if (options_.pieces == Pieces::kJson || tells_of_tokens() || options_.streams_usage_so_far) {
      out.push_back({"", chunk(index, text, nullptr, {&token, 1})});
      return;
    }
    if (!choice.plain) choice.plain.emplace(chunk(index, "", nullptr, {}), "text");
    out.push_back(choice.plain->with(text));
  }

  void provisional(size_t index, const ProvisionalToken& token,
                   std::vector<StreamEvent>& out) override {
    OrderedJson data = head();
    data["choices"] = OrderedJson::array();
    data["loop"] = {{"provisional", provisional_json(served_, index, token)}};
    out.push_back({"", std::move(data)});
  }

  void ended(size_t index, const Generation& generation, std::vector<StreamEvent>& out) override {
    Choice& choice = choices_[index];
    // What was held back until it was certain, and is not part of a stop.
    std::string rest = generation.text.substr(std::min(choice.text.size(), generation.text.size()));
    choice.text = generation.text;
    choice.finish_reason = finish_reason_name(generation.finish_reason);
    choice.prompt = generation.prompt;
    if (holds_back()) {
      OrderedJson data = head();
      data["choices"] = OrderedJson::array({whole_choice(index)});
      out.push_back({"", std::move(data)});
      return;
    }
    rest = open(index) + rest;
    out.push_back({"", chunk(index, rest, choice.finish_reason.c_str(), {})});
  }

  void closed(const Usage& usage, std::vector<StreamEvent>& out) override {
    if (!options_.streams_usage) return;
    OrderedJson data = head();
    data["choices"] = OrderedJson::array();
    data["usage"] = usage.json();
    out.push_back({"", std::move(data)});
  }

  bool tells_usage_so_far() const override { return options_.streams_usage_so_far; }

  OrderedJson whole(const Usage& usage) override {
    OrderedJson data = head();
    data["choices"] = OrderedJson::array();
    for (size_t i = 0; i < choices_.size(); ++i) data["choices"].push_back(whole_choice(i));
    data["usage"] = usage.json();
    return data;
  }

 private:
  struct Choice {
    bool opened = false;
    std::string text;  // of the completion alone
    std::vector<GeneratedToken> tokens;
    std::vector<PositionReading> prompt;
    std::string finish_reason;
    int64_t offset = 0;  // in characters, of the next token
    std::optional<TextEvent> plain{};
  };

  bool tells_of_tokens() const { return options_.log_probabilities >= 0 || options_.per_token; }

  // The prompt's log-probabilities are known at the end alone.
  bool holds_back() const { return options_.echo && options_.log_probabilities >= 0; }

  const std::vector<int32_t>& prompt_of(size_t index) const {
    return prompts_[index / static_cast<size_t>(options_.choices)];
  }

  std::string prompt_text(size_t index) const {
    const Tokenizer* tokenizer = served_.model->tokenizer();
    return tokenizer == nullptr ? "" : tokenizer->decode(prompt_of(index), true);
  }

  // The prompt, where it is echoed and has not been.
  std::string open(size_t index) {
    if (!options_.echo || std::exchange(choices_[index].opened, true)) return "";
    return prompt_text(index);
  }

  OrderedJson head() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", served_.name},
            {"system_fingerprint", fingerprint(served_)},
            {"seed", options_.seed}};
  }

  OrderedJson chunk(size_t index, const std::string& text, const char* finish_reason,
                    std::span<const GeneratedToken> tokens) {
    OrderedJson choice = {{"index", index}, {"text", text}, {"logprobs", nullptr}};
    if (options_.log_probabilities >= 0 && !tokens.empty()) {
      choice["logprobs"] = log_probabilities({}, {}, tokens, choices_[index].offset);
    }
    if (options_.per_token && !tokens.empty())
      choice["loop"] = {{"tokens", token_loops_json(served_, tokens)}};
    choice["finish_reason"] = finish_reason == nullptr ? OrderedJson() : OrderedJson(finish_reason);
    OrderedJson data = head();
    data["choices"] = OrderedJson::array({std::move(choice)});
    if (options_.streams_usage) data["usage"] = nullptr;
    return data;
  }

  OrderedJson whole_choice(size_t index) {
    Choice& c = choices_[index];
    OrderedJson choice = {{"index", index},
                          {"text", (options_.echo ? prompt_text(index) : "") + c.text},
                          {"logprobs", nullptr}};
    if (options_.log_probabilities >= 0) {
      int64_t offset = 0;
      choice["logprobs"] = options_.echo
                               ? log_probabilities(prompt_of(index), c.prompt, c.tokens, offset)
                               : log_probabilities({}, {}, c.tokens, offset);
    }
    if (options_.per_token) choice["loop"] = {{"tokens", token_loops_json(served_, c.tokens)}};
    choice["finish_reason"] = c.finish_reason;
    return choice;
  }

  // OpenAI's four lists. The first prompt token has no log-probability.
  OrderedJson log_probabilities(std::span<const int32_t> prompt,
                                std::span<const PositionReading> readings,
                                std::span<const GeneratedToken> tokens, int64_t& offset) const {
    OrderedJson names = OrderedJson::array();
    OrderedJson values = OrderedJson::array();
    OrderedJson tops = OrderedJson::array();
    OrderedJson offsets = OrderedJson::array();
    const auto add = [&](int32_t id, const LoopReading* reading, double value) {
      const std::string name = token_name(served_, id);
      names.push_back(name);
      values.push_back(std::isnan(value) ? OrderedJson()
                                         : OrderedJson(told_log_probability(value)));
      OrderedJson top = OrderedJson::object();
      if (reading != nullptr) {
        for (const TopToken& t : reading->top) {
          top[token_name(served_, t.id)] = told_log_probability(t.log_probability);
        }
      }
      // The token itself is listed too, as OpenAI does.
      if (reading != nullptr) top.emplace(name, told_log_probability(value));
      tops.push_back(reading == nullptr ? OrderedJson() : std::move(top));
      offsets.push_back(offset);
      offset += character_count(served_, id);
    };
    for (size_t i = 0; i < prompt.size(); ++i) {
      // Position i - 1 says what follows it.
      const LoopReading* reading = nullptr;
      if (i > 0 && i - 1 < readings.size() && !readings[i - 1].loops.empty()) {
        reading = &readings[i - 1].loops.back();
      }
      add(prompt[i], reading, reading == nullptr ? std::nan("") : reading->log_probability);
    }
    for (const GeneratedToken& token : tokens) {
      add(token.id, chosen_reading(token), token.log_probability);
    }
    return {{"tokens", std::move(names)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }

  const ServedModel& served_;
  const CompletionOptions options_;
  const std::vector<std::vector<int32_t>> prompts_;
  std::vector<Choice> choices_;
  const std::string id_ = random_id("cmpl-");
  const int64_t created_ = now_seconds();
};

}  // namespace

void serve_completions(const ApiContext& context, const ApiCall& call) {
  Fields f(call.body);
  GenerationRequest r;
  CompletionOptions options;
  read_generation_fields(f, context.served, r);
  r.options.max_tokens = f.integer("max_tokens", 16, 0, kMaxPositions);
  options.echo = f.boolean("echo", false);
  if (f.has("logprobs")) {
    // Chat's form says true where this one says how many.
    const OrderedJson& value = *f.find("logprobs");
    options.log_probabilities = value.is_boolean() ? (value.get<bool>() ? 1 : -1)
                                                   : f.integer("logprobs", 0, 0, kMostTopTokens);
  }
  f.refuse("suffix", "text is completed from the left", "");
  for (const char* name : {"messages", "tools", "top_logprobs"}) {
    f.refuse(name, "it belongs to /v1/chat/completions", OrderedJson::array());
  }
  if (f.integer("best_of", r.choices, 1, 128) != r.choices) {
    f.wrong("best_of", "differs from n; expected the same number");
  }
  const std::vector<std::vector<int32_t>> prompts = read_prompts(f, "prompt", context.served);
  if (r.options.max_tokens == 0 && !options.echo) {
    f.wrong("max_tokens", "is 0, and nothing is echoed; expected at least 1");
  }
  if (f.failed()) return call.refuse(f.error());
  r.tenant = call.tenant;
  set_read_outs(r, options.log_probabilities);
  if (options.echo && options.log_probabilities >= 0) r.options.plan.prompt = ReadLoops::kExit;
  options.per_token = r.per_token;
  options.streams_usage = r.stream_usage;
  options.streams_usage_so_far = r.stream_usage_so_far;
  options.pieces = call.pieces(r.stream);
  options.seed = r.options.sampling.seed;
  options.choices = r.choices;
  Result<std::vector<Request>> requests = make_requests(context, r, prompts);
  if (!requests.ok()) {
    ApiError error = api_error_of(requests.status());
    error.param = "prompt";
    if (requests.status().code() == StatusCode::kInvalidArgument) {
      error.code = "context_length_exceeded";
    }
    return call.refuse(error);
  }
  Exchange::begin(
      context.exchange, std::move(requests).value(), prompts.size(), r.stream,
      call.in_dialect(std::make_unique<CompletionFormat>(context.served, options, prompts),
                      static_cast<int64_t>(prompts[0].size())),
      call.reply);
}

}  // namespace looplm
