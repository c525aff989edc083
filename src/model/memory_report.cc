#include "model/memory_report.h"

#include <map>
#include <string>

#include <fmt/format.h>

#include "base/check.h"
#include "model/parameters.h"

namespace looplm {
namespace {

int64_t loops_of(const ModelConfig& config, const MemoryRequest& request) {
  return request.loops == 0 ? config.loops : request.loops;
}

void add_weights(const ModelConfig& config, DType dtype, MemoryPlan& plan) {
  std::map<ParameterRole, int64_t> counts;
  for (const ParameterSpec& spec : parameter_specs(config)) counts[spec.role] += spec.count();
  const auto add = [&](const char* name, int64_t count, std::string note) {
    plan.add(name, static_cast<uint64_t>(count) * dtype_size(dtype), std::move(note));
  };
  add("block matrices", counts[ParameterRole::kLinear],
      fmt::format("{} layers, {}, read once per loop", config.layers, dtype_name(dtype)));
  add("embedding", counts[ParameterRole::kEmbedding],
      fmt::format("{} x {}{}", config.vocab_size, config.hidden_size,
                  config.tie_embeddings ? ", also the head" : ""));
  if (!config.tie_embeddings) {
    add("head", counts[ParameterRole::kHead],
        fmt::format("{} x {}", config.vocab_size, config.hidden_size));
  }
  add("norms and gate",
      counts[ParameterRole::kNorm] + counts[ParameterRole::kGateWeight] +
          counts[ParameterRole::kGateBias],
      "");
}

}  // namespace

uint64_t kv_bytes_per_token_per_plane(const ModelConfig& config, DType kv_dtype) {
  return static_cast<uint64_t>(2 * config.layers * config.kv_size()) * dtype_size(kv_dtype);
}

KvNeed kv_need(const ModelConfig& config, const MemoryRequest& request) {
  LOOPLM_CHECK(0 <= request.prompt_tokens && request.prompt_tokens <= request.context_tokens &&
                   request.context_tokens <= kMaxPositions,
               "{} prompt tokens of {}", request.prompt_tokens, request.context_tokens);
  const int64_t loops = loops_of(config, request);
  LOOPLM_CHECK(1 <= loops && loops <= kMaxLoops, "{} loops", loops);
  // At the config's bounds the product is 2^63.
  const auto bytes = [&](int64_t planes, int64_t tokens) {
    return kv_bytes_per_token_per_plane(config, request.kv_dtype) * static_cast<uint64_t>(planes) *
           static_cast<uint64_t>(tokens);
  };
  return {bytes(loops, request.prompt_tokens),
          bytes(kv_planes(request.kv_policy, loops), request.context_tokens)};
}

uint64_t weight_bytes(const ModelConfig& config, DType dtype) {
  return static_cast<uint64_t>(config.parameter_count()) * dtype_size(dtype);
}

MemoryPlan model_memory_plan(const ModelConfig& config, const MemoryRequest& request) {
  MemoryPlan plan;
  add_weights(config, request.weight_dtype, plan);
  const int64_t loops = loops_of(config, request);
  const int64_t planes = kv_planes(request.kv_policy, loops);
  const KvNeed need = kv_need(config, request);
  plan.add(fmt::format("kv cache ({})", kv_policy_name(request.kv_policy)), need.peak_bytes(),
           fmt::format("{} per token and plane, {}; prompt {} tokens x {} planes = {}, then {} "
                       "tokens x {} planes = {}",
                       bytes_text(kv_bytes_per_token_per_plane(config, request.kv_dtype)),
                       dtype_name(request.kv_dtype), request.prompt_tokens, loops,
                       bytes_text(need.prefill_bytes), request.context_tokens, planes,
                       bytes_text(need.decode_bytes)));
  return plan;
}

}  // namespace looplm
