// The one list of a model's parameters: checkpoint names, shapes and roles. Loading, saving,
// initialisation, the optimiser and parameter counts all walk it.
#ifndef LOOPLM_MODEL_PARAMETERS_H_
#define LOOPLM_MODEL_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/config.h"

#include "tensor/tensor.h"

namespace looplm {

enum class ParameterRole {
  kEmbedding,
  kHead,
  kLinear,  // projections of the blocks
  kNorm,    // RMSNorm scales
  kGateWeight,
  kGateBias,
};

struct ParameterSpec {
  std::string name;  // Hugging Face name, e.g. "model.layers.3.mlp.down_proj.weight"
  Shape shape;       // (out, in) for matrices
  ParameterRole role;

  int64_t count() const { return element_count(shape); }
};

// Of the exit gate, weight or bias.
inline bool is_gate(const ParameterSpec& spec) {
  return spec.role == ParameterRole::kGateWeight || spec.role == ParameterRole::kGateBias;
}

// In a fixed order: embedding, blocks from the first to the last, final norm, gate, head (absent
// when tied). Ouro-1.4B: 269 tensors with 1,434,652,673 elements; Ouro-2.6B: 533 with
// 2,667,974,657.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

// Whether these are all of a model's, and not some of them or what stands beside them.
bool are_all_parameters(const std::vector<ParameterSpec>& specs, const ModelConfig& config);

// Names within a block, without the "model.layers.N." prefix.
inline constexpr const char* kQueryName = "self_attn.q_proj.weight";
inline constexpr const char* kKeyName = "self_attn.k_proj.weight";
inline constexpr const char* kValueName = "self_attn.v_proj.weight";
inline constexpr const char* kOutputName = "self_attn.o_proj.weight";
inline constexpr const char* kGateProjectionName = "mlp.gate_proj.weight";
inline constexpr const char* kUpProjectionName = "mlp.up_proj.weight";
inline constexpr const char* kDownProjectionName = "mlp.down_proj.weight";
inline constexpr const char* kAttentionNormName = "input_layernorm.weight";
// Sandwich only.
inline constexpr const char* kAttentionOutputNormName = "input_layernorm_2.weight";
inline constexpr const char* kMlpNormName = "post_attention_layernorm.weight";
// Sandwich only.
inline constexpr const char* kMlpOutputNormName = "post_attention_layernorm_2.weight";

inline constexpr const char* kEmbeddingName = "model.embed_tokens.weight";
inline constexpr const char* kFinalNormName = "model.norm.weight";
inline constexpr const char* kGateWeightName = "model.early_exit_gate.weight";
inline constexpr const char* kGateBiasName = "model.early_exit_gate.bias";
inline constexpr const char* kHeadName = "lm_head.weight";

std::string layer_parameter_name(int64_t layer, const char* name);

}  // namespace looplm

#endif  // LOOPLM_MODEL_PARAMETERS_H_
