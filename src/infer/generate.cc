#include "looplm/generate.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/timer.h"
#include "infer/parts.h"
#include "infer/position.h"
#include "infer/sampler.h"
#include "infer/sequence.h"
#include "infer/softmax.h"
#include "infer/stop_strings.h"

namespace looplm {
namespace {

// The request with its defaults filled in.
struct Resolved {
  int64_t max_loops = 0;
  std::unique_ptr<ExitRule> rule;
};

Status check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return {};
  return invalid_argument(fmt::format("{} is {}; expected {} to {}", name, value, least, most));
}

Status check_prompt(std::span<const int32_t> prompt, const ModelConfig& config) {
  if (prompt.empty()) return invalid_argument("the prompt is empty; expected at least one token");
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] < 0 || prompt[i] >= config.vocab_size) {
      return invalid_argument(fmt::format("prompt token {} is {}; expected 0 to {}", i, prompt[i],
                                          config.vocab_size - 1));
    }
  }
  return {};
}

Result<Resolved> resolve(const GenerateOptions& o, std::span<const int32_t> prompt, Model& model) {
  const ModelConfig& config = model.config();
  LOOPLM_RETURN_IF_ERROR(check_prompt(prompt, config));
  Resolved resolved;
  resolved.max_loops = o.exit.max_loops == 0 ? config.loops : o.exit.max_loops;
  LOOPLM_RETURN_IF_ERROR(check_range("max_loops", resolved.max_loops, 1, kMaxLoops));
  LOOPLM_RETURN_IF_ERROR(check_range("min_loops", o.exit.min_loops, 1, resolved.max_loops));
  LOOPLM_RETURN_IF_ERROR(check_range("prompt_chunk", o.prompt_chunk, 1, kMaxPositions));
  LOOPLM_RETURN_IF_ERROR(check_range("max_tokens", o.max_tokens, 0, kMaxPositions));
  const auto room = config.max_positions - static_cast<int64_t>(prompt.size());
  if (o.max_tokens > room) {
    return invalid_argument(
        fmt::format("a prompt of {} tokens and {} more exceed the model's {} positions",
                    prompt.size(), o.max_tokens, config.max_positions));
  }
  LOOPLM_RETURN_IF_ERROR(check_sampling(o.sampling, config.vocab_size));
  if (o.read_out == ReadOut::kWeighted && !config.exit_gate) {
    return unsupported("this model has no exit gate to weight loops by");
  }
  if (!o.stop_strings.empty() && model.tokenizer() == nullptr) {
    return invalid_argument(
        fmt::format("stop strings need a tokenizer; '{}' has none", model.directory()));
  }
  LOOPLM_ASSIGN_OR_RETURN(resolved.rule, make_exit_rule(o.exit, config.exit_gate));
  return resolved;
}

// Collects tokens and text, and knows when to stop.
class Output {
 public:
  Output(const GenerateOptions& options, const Model& model, const TokenCallback& callback)
      : options_(options), callback_(callback), stops_(options.stop_strings) {
    stop_ids_ = options.stop_ids;
    if (!options.ignore_eos) {
      for (int64_t id : model.config().eos_token_ids) {
        stop_ids_.push_back(static_cast<int32_t>(id));
      }
    }
    if (model.tokenizer() != nullptr) detokenizer_.emplace(*model.tokenizer());
  }

  // Returns true when generation is over.
  bool add(GeneratedToken token) {
    const bool stop_id = std::find(stop_ids_.begin(), stop_ids_.end(), token.id) != stop_ids_.end();
    const bool last = stop_id || size() + 1 == options_.max_tokens;
    if (detokenizer_.has_value()) {
      if (!stop_id) token.text = stops_.push(detokenizer_->push(token.id));
      if (last && !stops_.stopped()) {
        token.text += stops_.push(detokenizer_->finish());
        token.text += stops_.finish();
      }
      text_ += token.text;
    }
    tokens_.push_back(std::move(token));
    const bool go_on = !callback_ || callback_(tokens_.back());
    if (stop_id || stops_.stopped()) {
      reason_ = FinishReason::kStop;
    } else if (!go_on) {
      reason_ = FinishReason::kCancelled;
    } else {
      return last;
    }
    return true;
  }

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  int32_t last_id() const { return tokens_.back().id; }
  void move_into(Generation& generation) {
    generation.tokens = std::move(tokens_);
    generation.text = std::move(text_);
    generation.finish_reason = reason_;
  }

 private:
  const GenerateOptions& options_;
  const TokenCallback& callback_;
  StopStrings stops_;
  std::vector<int32_t> stop_ids_;
  std::optional<Detokenizer> detokenizer_;
  std::vector<GeneratedToken> tokens_;
  std::string text_;
  FinishReason reason_ = FinishReason::kLength;
};

// The token that follows the last position the reader has read.
GeneratedToken choose_token(const PositionReader& reader, Sampler& sampler, int64_t position) {
  GeneratedToken token;
  token.id = sampler.choose(reader.logits(), position);
  token.loops = reader.loops();
  token.log_probability =
      static_cast<float>(static_cast<double>(reader.logits()[static_cast<size_t>(token.id)]) -
                         log_sum_exp(reader.logits()));
  sampler.accept(token.id);
  return token;
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

double Generation::mean_loops() const {
  double sum = 0;
  for (const GeneratedToken& token : tokens) sum += static_cast<double>(token.loops);
  return tokens.empty() ? 0 : sum / static_cast<double>(tokens.size());
}

Result<Generation> generate(Model& model, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const TokenCallback& callback) {
  LOOPLM_ASSIGN_OR_RETURN(const Resolved resolved, resolve(options, prompt, model));
  Generation generation;
  generation.statistics.prompt_tokens = static_cast<int64_t>(prompt.size());
  if (options.max_tokens == 0) return generation;

  Model::Parts& parts = model.parts();
  PassRunner& runner = *parts.runner;
  Sequence sequence(runner, parts.pages, resolved.max_loops, options.kv);
  PositionReader reader(runner, *resolved.rule, options.read_out, options.exit.min_loops,
                        resolved.max_loops);
  Sampler sampler(options.sampling, prompt);
  Output output(options, model, callback);

  Timer timer;
  const auto last = static_cast<int64_t>(prompt.size()) - 1;
  const int64_t width = model.config().hidden_size;
  reader.begin();
  LOOPLM_RETURN_IF_ERROR(sequence.read_prompt(
      prompt, options.prompt_chunk, [&](const Sequence::ChunkLoop& c) -> Status {
        const int64_t row = last - c.first;
        if (row >= c.count) return {};
        reader.feed(c.loop + 1, c.normed + row * width,
                    c.lanes[static_cast<size_t>(row)].gate_logit);
        return {};
      }));
  sequence.end_prompt();
  const int64_t passes_before = runner.passes();
  generation.statistics.prompt_seconds = timer.seconds();
  timer.restart();

  while (!output.add(choose_token(reader, sampler, sequence.length()))) {
    sequence.extend(output.last_id(), reader);
  }
  generation.statistics.decode_seconds = timer.seconds();
  generation.statistics.decode_passes = runner.passes() - passes_before;
  generation.statistics.kv_bytes = sequence.cache().bytes();
  output.move_into(generation);
  return generation;
}

}  // namespace looplm
