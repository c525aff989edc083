#include "looplm/config.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/config_rules.h"

namespace looplm {
namespace {

Status check_token_id(const char* key, int64_t id, const ModelConfig& config) {
  if (id >= 0 && id < config.vocab_size) return {};
  return invalid_argument(
      fmt::format("'{}' is {}; expected a token id from 0 to {}", key, id, config.vocab_size - 1));
}

Status check_token_ids(const ModelConfig& config) {
  if (config.bos_token_id != -1) {
    LOOPLM_RETURN_IF_ERROR(check_token_id("bos_token_id", config.bos_token_id, config));
  }
  if (config.pad_token_id != -1) {
    LOOPLM_RETURN_IF_ERROR(check_token_id("pad_token_id", config.pad_token_id, config));
  }
  for (const int64_t id : config.eos_token_ids) {
    LOOPLM_RETURN_IF_ERROR(check_token_id("eos_token_id", id, config));
  }
  return {};
}

}  // namespace

int64_t ModelConfig::parameter_count() const {
  const int64_t attention = 2 * hidden_size * query_size() + 2 * hidden_size * kv_size();
  const int64_t mlp = 3 * hidden_size * intermediate_size;
  const int64_t norms = (norm_placement == NormPlacement::kSandwich ? 4 : 2) * hidden_size;
  const int64_t embeddings = (tie_embeddings ? 1 : 2) * vocab_size * hidden_size;
  const int64_t gate = exit_gate ? hidden_size + 1 : 0;
  return layers * (attention + mlp + norms) + embeddings + hidden_size + gate;
}

Status validate(const ModelConfig& config) {
  for (const SizeRule& rule : kSizeRules) {
    const int64_t value = config.*rule.field;
    if (value < 1 || value > rule.max) {
      return invalid_argument(
          fmt::format("'{}' is {}; expected an integer from 1 to {}", rule.key, value, rule.max));
    }
  }
  for (const NumberRule& rule : kNumberRules) {
    const double value = config.*rule.field;
    if (!(value >= rule.min && value <= rule.max)) {
      return invalid_argument(fmt::format("'{}' is {}; expected a number from {} to {}", rule.key,
                                          value, rule.min, rule.max));
    }
  }
  if (config.heads % config.kv_heads != 0) {
    return invalid_argument(
        fmt::format("'num_attention_heads' is {}; expected a multiple of 'num_key_value_heads' {}",
                    config.heads, config.kv_heads));
  }
  if (config.head_dim % 2 != 0) {
    return invalid_argument(fmt::format(
        "'head_dim' is {}; expected an even number, since RoPE turns pairs", config.head_dim));
  }
  if (find_model_family(config.model_type) == nullptr) {
    return unsupported(fmt::format("'model_type' is '{}'; expected one of {}", config.model_type,
                                   model_types_text()));
  }
  if (std::find(kConfigDtypes.begin(), kConfigDtypes.end(), config.dtype) == kConfigDtypes.end()) {
    return unsupported(
        fmt::format("'dtype' is '{}'; expected bfloat16, float16 or float32", config.dtype));
  }
  return check_token_ids(config);
}

}  // namespace looplm
