#include "experiments/safety/answers.h"

#include <optional>

#include <fmt/format.h>

#include "eval/ascii.h"

namespace looplm {

Result<std::vector<int32_t>> ask_ids(const Tokenizer& tokenizer, const AskOptions& options,
                                     const std::string& prompt) {
  std::vector<int32_t> ids;
  Status status;
  const auto add = [&](const std::string& text, const EncodeOptions& as) {
    Result<std::vector<int32_t>> more = tokenizer.encode(text, as);
    if (more.ok()) ids.insert(ids.end(), more->begin(), more->end());
    if (status.ok()) status = more.status();
  };
  constexpr EncodeOptions kText = {.as = EncodeAs::kContinuation, .parse_special = false};
  constexpr EncodeOptions kOpening = {.as = EncodeAs::kContinuation};
  if (options.chat == ChatTemplate::kRaw) {
    add(prompt, {.as = EncodeAs::kPrompt, .parse_special = false});
    if (!options.opening.empty()) add(options.opening, kOpening);
  } else {
    const std::optional<int32_t> start = tokenizer.id_of("<|im_start|>");
    const std::optional<int32_t> end = tokenizer.id_of("<|im_end|>");
    if (!start.has_value() || !end.has_value()) {
      return invalid_argument(
          "the model's tokenizer has no <|im_start|> and <|im_end|>, which the template chatml "
          "needs; expected template raw");
    }
    const auto turn = [&](const std::string& role, const std::string& text) {
      ids.push_back(*start);
      add(role + "\n" + text, kText);
      ids.push_back(*end);
      add("\n", kText);
    };
    if (!options.system.empty()) turn("system", options.system);
    turn("user", prompt);
    ids.push_back(*start);
    add("assistant\n", kText);
    if (!options.opening.empty()) add(options.opening, kOpening);
  }
  LOOPLM_RETURN_IF_ERROR(status.with_context(fmt::format("prompt '{}'", prompt)));
  if (ids.empty()) return invalid_argument(fmt::format("prompt '{}' has no tokens", prompt));
  return ids;
}

Status answer_all(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                  const std::vector<size_t>& which, const GenerateOptions& options,
                  uint64_t kv_bytes, const std::atomic<bool>* stop,
                  const std::function<Status(size_t index, const Answer&)>& done) {
  EngineOptions engine_options;
  engine_options.kv_bytes = kv_bytes;
  Status failure;
  Engine engine(model, engine_options);  // the last to be made: its end calls back
  for (size_t index : which) {
    Request request;
    request.prompt = prompts[index];
    request.options = options;
    request.options.sampling.seed += index;
    request.done = [&, index](const Generation& g) {
      if (failure.ok()) failure = g.status;
      if (!failure.ok() || g.finish_reason == FinishReason::kCancelled) return;
      Answer answer;
      answer.tokens = static_cast<int64_t>(g.tokens.size());
      answer.ended = g.finish_reason == FinishReason::kStop;
      std::vector<int32_t> ids;
      for (const GeneratedToken& token : g.tokens) ids.push_back(token.id);
      if (answer.ended) ids.pop_back();
      answer.text = model.tokenizer()->decode(ids, /*skip_special=*/false);
      failure = done(index, answer);
    };
    LOOPLM_RETURN_IF_ERROR(engine.submit(std::move(request))
                               .status()
                               .with_context(fmt::format("prompt {}", index + 1)));
  }
  while (failure.ok()) {
    if (stop != nullptr && stop->load()) return Status(StatusCode::kCancelled, "stopped");
    if (!engine.step()) break;
  }
  return failure;
}

std::optional<std::string> final_answer(const std::string& text, const std::string& mark) {
  size_t from = 0;
  if (!mark.empty()) {
    const size_t at = text.rfind(mark);
    if (at == std::string::npos) return std::nullopt;
    from = at + mark.size();
  }
  return std::string(stripped(std::string_view(text).substr(from)));
}

Result<std::vector<float>> last_states(Model& model, std::span<const int32_t> prompt,
                                       int64_t loops) {
  if (prompt.empty()) return invalid_argument("a prompt of 0 tokens; expected 1 or more");
  if (loops < 1) return invalid_argument(fmt::format("loops is {}; expected 1 or more", loops));
  Request request;
  request.prompt.assign(prompt.begin(), prompt.end());
  GenerateOptions& o = request.options;
  o.max_tokens = 0;
  o.exit.max_loops = loops;
  o.plan.prompt = ReadLoops::kEvery;
  o.plan.first = static_cast<int64_t>(prompt.size()) - 1;
  o.plan.states = true;
  LOOPLM_ASSIGN_OR_RETURN(const Generation read, generate(model, std::move(request)));
  std::vector<float> states;
  for (const LoopReading& loop : read.prompt.front().loops) {
    states.insert(states.end(), loop.state.begin(), loop.state.end());
  }
  return states;
}

}  // namespace looplm
