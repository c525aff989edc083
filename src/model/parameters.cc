#include "model/parameters.h"

#include <algorithm>

#include <fmt/format.h>

namespace looplm {

std::string layer_parameter_name(int64_t layer, const char* name) {
  return fmt::format("model.layers.{}.{}", layer, name);
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t query = config.query_size();
  const int64_t kv = config.kv_size();
  const int64_t ff = config.intermediate_size;
  const bool sandwich = config.norm_placement == NormPlacement::kSandwich;

  std::vector<ParameterSpec> specs;
  specs.push_back({kEmbeddingName, {config.vocab_size, hidden}, ParameterRole::kEmbedding});
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const auto add = [&specs, layer](const char* name, Shape shape, ParameterRole role) {
      specs.push_back({layer_parameter_name(layer, name), std::move(shape), role});
    };
    // In the order in which a block uses them.
    add(kAttentionNormName, {hidden}, ParameterRole::kNorm);
    add(kQueryName, {query, hidden}, ParameterRole::kLinear);
    add(kKeyName, {kv, hidden}, ParameterRole::kLinear);
    add(kValueName, {kv, hidden}, ParameterRole::kLinear);
    add(kOutputName, {hidden, query}, ParameterRole::kLinear);
    if (sandwich) add(kAttentionOutputNormName, {hidden}, ParameterRole::kNorm);
    add(kMlpNormName, {hidden}, ParameterRole::kNorm);
    add(kGateProjectionName, {ff, hidden}, ParameterRole::kLinear);
    add(kUpProjectionName, {ff, hidden}, ParameterRole::kLinear);
    add(kDownProjectionName, {hidden, ff}, ParameterRole::kLinear);
    if (sandwich) add(kMlpOutputNormName, {hidden}, ParameterRole::kNorm);
  }
  specs.push_back({kFinalNormName, {hidden}, ParameterRole::kNorm});
  if (config.exit_gate) {
    specs.push_back({kGateWeightName, {1, hidden}, ParameterRole::kGateWeight});
    specs.push_back({kGateBiasName, {1}, ParameterRole::kGateBias});
  }
  if (!config.tie_embeddings) {
    specs.push_back({kHeadName, {config.vocab_size, hidden}, ParameterRole::kHead});
  }
  return specs;
}

bool are_all_parameters(const std::vector<ParameterSpec>& specs, const ModelConfig& config) {
  const std::vector<ParameterSpec> all = parameter_specs(config);
  const auto same = [](const ParameterSpec& a, const ParameterSpec& b) { return a.name == b.name; };
  return std::ranges::equal(specs, all, same);
}

}  // namespace looplm
