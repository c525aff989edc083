#include "infer/request.h"

#include <fmt/format.h>

#include "base/count_text.h"
#include "infer/exit_rule.h"
#include "infer/parts.h"
#include "infer/sampler.h"

namespace looplm {
namespace {

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

Status check_speculation(const GenerateOptions& o, int64_t max_loops, const ModelConfig& config) {
  if (o.speculate.kind == CommitKind::kNever) return {};
  LOOPLM_RETURN_IF_ERROR(make_commit_rule(o.speculate, config.exit_gate, max_loops).status());
  if (o.kv != KvPolicy::kFull) {
    return invalid_argument(
        fmt::format("speculation needs every loop's keys and values, but the KV policy is {}; "
                    "expected full",
                    kv_policy_name(o.kv)));
  }
  return {};
}

Status check_prompt_kv(const GenerateOptions& o) {
  if (o.prompt_kv == PromptKv::kEveryLoop || kv_planes(o.kv, 2) == 1) return {};
  return invalid_argument(
      fmt::format("prompts read as decoded need a KV policy that keeps one plane, but it is {}; "
                  "expected last, mean or first",
                  kv_policy_name(o.kv)));
}

Status check_adapter(const std::string& adapter, Model& model) {
  if (adapter.empty() || model.parts().find_adapter(adapter) != nullptr) return {};
  std::string names;
  for (const auto& [name, weights] : model.parts().adapters) {
    if (!name.empty()) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", name);
  }
  return not_found(fmt::format("'{}' has no adapter '{}'; {}", model.name(), adapter,
                               names.empty() ? "it has none at all" : "expected " + names));
}

Status check_plan(const GenerateOptions& o, int64_t prompt_size, int64_t max_loops) {
  const ReadOutPlan& plan = o.plan;
  LOOPLM_RETURN_IF_ERROR(check_range("the plan's first", plan.first, 0, prompt_size));
  if (plan.top < 0) {
    return invalid_argument(fmt::format("the plan's top is {}; expected 0 or more", plan.top));
  }
  LOOPLM_RETURN_IF_ERROR(
      check_range("the plan's embedding_loop", plan.embedding_loop, 0, max_loops));
  return {};
}

}  // namespace

Result<int64_t> check_request(const Request& request, Model& model) {
  const ModelConfig& config = model.config();
  const std::vector<int32_t>& prompt = request.prompt;
  const GenerateOptions& o = request.options;
  LOOPLM_RETURN_IF_ERROR(check_prompt(prompt, config));
  LOOPLM_RETURN_IF_ERROR(check_adapter(request.adapter, model));
  const int64_t max_loops = o.exit.max_loops == 0 ? config.loops : o.exit.max_loops;
  LOOPLM_RETURN_IF_ERROR(check_range("max_loops", max_loops, 1, kMaxLoops));
  LOOPLM_RETURN_IF_ERROR(check_range("min_loops", o.exit.min_loops, 1, max_loops));
  LOOPLM_RETURN_IF_ERROR(check_range("prompt_chunk", o.prompt_chunk, 1, kMaxPositions));
  LOOPLM_RETURN_IF_ERROR(check_range("max_tokens", o.max_tokens, 0, kMaxPositions));
  const auto room = config.max_positions - static_cast<int64_t>(prompt.size());
  if (o.max_tokens > room) {
    return invalid_argument(
        fmt::format("a prompt of {} and {} more exceed the model's {} positions",
                    count_text(prompt.size(), "token"), o.max_tokens, config.max_positions));
  }
  LOOPLM_RETURN_IF_ERROR(check_sampling(o.sampling, config.vocab_size));
  if (o.read_out == ReadOut::kWeighted && !config.exit_gate) {
    return unsupported(
        "this model has no exit gate to weight loops by; expected the read-out selected");
  }
  if (!o.stop_strings.empty() && model.tokenizer() == nullptr) {
    return invalid_argument(
        fmt::format("stop strings need a tokenizer; '{}' has none", model.name()));
  }
  LOOPLM_RETURN_IF_ERROR(make_exit_rule(o.exit, config.exit_gate).status());
  LOOPLM_RETURN_IF_ERROR(check_speculation(o, max_loops, config));
  LOOPLM_RETURN_IF_ERROR(check_prompt_kv(o));
  LOOPLM_RETURN_IF_ERROR(check_plan(o, static_cast<int64_t>(prompt.size()), max_loops));
  if (request.replay && request.constraint != nullptr) {
    return invalid_argument("a request has both replay and a constraint; expected one of them");
  }
  return max_loops;
}

}  // namespace looplm
