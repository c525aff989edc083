// What config.json's keys may say, stated once for the reader, the writer and validate().
#ifndef LOOPLM_MODEL_CONFIG_RULES_H_
#define LOOPLM_MODEL_CONFIG_RULES_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/config.h"

#include "base/json.h"

namespace looplm {

// An integer key with its range.
struct SizeRule {
  const char* key;
  int64_t ModelConfig::*field;
  int64_t max;  // the least is 1
};
inline constexpr std::array<SizeRule, 9> kSizeRules = {{
    {"vocab_size", &ModelConfig::vocab_size, kMaxVocabSize},
    {"hidden_size", &ModelConfig::hidden_size, kMaxHiddenSize},
    {"intermediate_size", &ModelConfig::intermediate_size, kMaxIntermediateSize},
    {"num_hidden_layers", &ModelConfig::layers, kMaxLayers},
    {"num_attention_heads", &ModelConfig::heads, kMaxHeads},
    {"num_key_value_heads", &ModelConfig::kv_heads, kMaxHeads},
    {"head_dim", &ModelConfig::head_dim, kMaxHeadDim},
    {"max_position_embeddings", &ModelConfig::max_positions, kMaxPositions},
    {"total_ut_steps", &ModelConfig::loops, kMaxLoops},
}};

struct NumberRule {
  const char* key;
  double ModelConfig::*field;
  double min;
  double max;
};
inline constexpr std::array<NumberRule, 5> kNumberRules = {{
    {"rope_theta", &ModelConfig::rope_theta, 1.0, 1e12},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-12, 0.1},
    {"initializer_range", &ModelConfig::initializer_range, 0.0, 10.0},
    {"embedding_initializer_range", &ModelConfig::embedding_initializer_range, 0.0, 10.0},
    // Above 1 means the same as 1, all loops; such values exist to switch the exit off.
    {"early_exit_threshold", &ModelConfig::early_exit_threshold, 0.0, 1000.0},
}};

// A model type that looplm reads, with the structure that its name implies.
struct ModelFamily {
  const char* model_type;
  const char* class_prefix;  // of Hugging Face's classes: "Ouro" in OuroForCausalLM
  const char* loops_key;     // the key that says the loop count; nullptr: always one loop
  int64_t loops;             // where the key is absent
  NormPlacement norm_placement;
  bool exit_gate;
  bool biases_unless_denied;  // q, k and v have biases unless "attention_bias" is false
  bool window_unless_null;    // attention has a window unless "sliding_window" is null
  bool remote_code;           // Hugging Face loads it through "auto_map"
};
inline constexpr std::array<ModelFamily, 5> kModelFamilies = {{
    {"ouro", "Ouro", "total_ut_steps", 4, NormPlacement::kSandwich, true, false, false, true},
    {"llama", "Llama", nullptr, 1, NormPlacement::kPre, false, false, false, false},
    {"mistral", "Mistral", nullptr, 1, NormPlacement::kPre, false, false, true, false},
    {"qwen2", "Qwen2", nullptr, 1, NormPlacement::kPre, false, true, false, false},
    {"nanbeige", "Nanbeige", "num_loops", 1, NormPlacement::kPre, false, false, false, true},
}};

// "ouro, llama, ..."
inline std::string model_types_text() {
  std::string text;
  for (const ModelFamily& family : kModelFamilies) {
    text += (text.empty() ? "" : ", ") + std::string(family.model_type);
  }
  return text;
}

// nullptr for a model type that looplm does not know.
inline const ModelFamily* find_model_family(std::string_view model_type) {
  for (const ModelFamily& family : kModelFamilies) {
    if (model_type == family.model_type) return &family;
  }
  return nullptr;
}

inline constexpr std::array<const char*, 3> kConfigDtypes = {"bfloat16", "float16", "float32"};

// "eos_token_id" of a config.json or generation_config.json: a number, a list, or null or missing
// for none.
Result<std::vector<int64_t>> read_eos_token_ids(const Json& json, int64_t vocab_size);

inline constexpr const char* kSandwichName = "sandwich";
inline constexpr const char* kPreName = "pre";

}  // namespace looplm

#endif  // LOOPLM_MODEL_CONFIG_RULES_H_
