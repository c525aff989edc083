// ModelConfig to config.json.
#include <fmt/format.h>

#include "looplm/config.h"

#include "base/check.h"
#include "base/json.h"
#include "model/config_rules.h"

namespace looplm {
namespace {

// Whether Hugging Face's code for the model type computes this very model.
bool is_native(const ModelConfig& config, const ModelFamily& family) {
  const bool loops_fit = family.loops_key != nullptr || config.loops == 1;
  const bool norm_fits = config.norm_between_loops || config.loops == 1 ||
                         std::string_view(family.model_type) == "nanbeige";
  return loops_fit && norm_fits && config.norm_placement == family.norm_placement &&
         config.exit_gate == family.exit_gate;
}

OrderedJson token_id(int64_t id) { return id < 0 ? OrderedJson() : OrderedJson(id); }

OrderedJson eos_token_ids(const std::vector<int64_t>& ids) {
  if (ids.empty()) return {};
  return ids.size() == 1 ? OrderedJson(ids[0]) : OrderedJson(ids);
}

void write_classes(const ModelConfig& config, const ModelFamily& family, OrderedJson& json) {
  const std::string prefix = family.class_prefix;
  if (is_native(config, family)) json["architectures"] = {prefix + "ForCausalLM"};
  json["model_type"] = config.model_type;
  if (is_native(config, family) && family.remote_code) {
    const std::string modeling = fmt::format("modeling_{}.{}", family.model_type, prefix);
    json["auto_map"] = {
        {"AutoConfig", fmt::format("configuration_{}.{}Config", family.model_type, prefix)},
        {"AutoModel", modeling + "Model"},
        {"AutoModelForCausalLM", modeling + "ForCausalLM"}};
  }
}

void write_loop(const ModelConfig& config, const ModelFamily& family, OrderedJson& json) {
  const bool nanbeige = std::string_view(family.model_type) == "nanbeige";
  if (family.loops_key != nullptr) {
    json[family.loops_key] = config.loops;
  } else if (config.loops != 1) {
    json["total_ut_steps"] = config.loops;
  }
  if (config.exit_gate || config.early_exit_threshold != 1) {
    json["early_exit_threshold"] = config.early_exit_threshold;
  }
  if (nanbeige) {
    json["skip_loop_final_norm"] = !config.norm_between_loops;
  } else if (!config.norm_between_loops) {
    json["norm_between_loops"] = false;
  }
  if (config.norm_placement != family.norm_placement) {
    json["norm_placement"] =
        config.norm_placement == NormPlacement::kPre ? kPreName : kSandwichName;
  }
  if (config.exit_gate != family.exit_gate) json["exit_gate"] = config.exit_gate;
}

}  // namespace

std::string model_config_json(const ModelConfig& config) {
  const ModelFamily* family = find_model_family(config.model_type);
  LOOPLM_CHECK(family != nullptr, "model type '{}'", config.model_type);
  OrderedJson json;
  write_classes(config, *family, json);
  for (const SizeRule& rule : kSizeRules) {
    if (rule.field != &ModelConfig::loops) json[rule.key] = config.*rule.field;
  }
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["mlp_bias"] = false;
  json["rms_norm_eps"] = config.rms_norm_eps;
  json["initializer_range"] = config.initializer_range;
  if (config.embedding_initializer_range > 0) {
    json["embedding_initializer_range"] = config.embedding_initializer_range;
  }
  json["rope_theta"] = config.rope_theta;
  json["rope_scaling"] = nullptr;
  json["tie_word_embeddings"] = config.tie_embeddings;
  json["use_cache"] = true;
  json["use_sliding_window"] = false;
  json["sliding_window"] = nullptr;
  json["max_window_layers"] = config.layers;
  json["layer_types"] =
      std::vector<std::string>(static_cast<size_t>(config.layers), "full_attention");
  write_loop(config, *family, json);
  json["bos_token_id"] = token_id(config.bos_token_id);
  json["eos_token_id"] = eos_token_ids(config.eos_token_ids);
  json["pad_token_id"] = token_id(config.pad_token_id);
  json["torch_dtype"] = config.dtype;
  return dump_json(json, 2) + "\n";
}

}  // namespace looplm
