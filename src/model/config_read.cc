// config.json to ModelConfig.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "looplm/config.h"

#include "base/file.h"
#include "base/json.h"
#include "model/config_rules.h"

namespace looplm {
namespace {

// A config.json is a few kilobytes; anything near this is another file.
constexpr size_t kMaxConfigBytes = size_t{1} << 20;

Status refuse(const std::string& key, const Json& value, const std::string& expected) {
  return unsupported(fmt::format("'{}' is {}; looplm runs {}", key, shown_json(value), expected));
}

bool is_given(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

// false, null, 0, "" and empty lists all say that a feature is off.
bool is_off(const Json& value) {
  return value.is_null() || value == Json(false) || value == Json(0) || value.empty() ||
         value == Json("");
}

// Switches that change what the model computes in ways looplm does not; each must be off.
constexpr const char* kMustBeOff[] = {
    "attention_bias", "mlp_bias", "use_sliding_window", "quantization_config",
    // Nanbeige 4.2's options
    "qk_layernorm", "emb_neighbor_num", "insert_ngram_layer_idx", "ngram_insert_all_layers",
    "enable_double_loop_split", "loop_middle_layers", "loop_share_kv", "enable_hyper_connection",
    "enable_mhc", "enable_h_res_identity", "enable_depth_attention", "loop_loss_weights"};

Status check_structure(const Json& json, const ModelFamily& family) {
  if (family.biases_unless_denied && !is_given(json, "attention_bias")) {
    return unsupported(fmt::format(
        "'attention_bias' is missing; model type {} then has biases, and looplm runs only models "
        "that say \"attention_bias\": false",
        family.model_type));
  }
  for (const char* key : kMustBeOff) {
    const auto found = json.find(key);
    if (found != json.end() && !is_off(*found)) {
      return refuse(key, *found, "only models without it (false or null)");
    }
  }
  // Ouro's Python code always exits at this loop (0 is the first); here the depth belongs to the
  // request.
  if (is_given(json, "early_exit_step")) {
    return refuse("early_exit_step", json["early_exit_step"], "only null");
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string activation, json_string(json, "hidden_act", "silu"));
  if (activation != "silu") return refuse("hidden_act", activation, "only \"silu\"");
  return {};
}

Status check_layer_types(const Json& json, int64_t layers) {
  if (!is_given(json, "layer_types")) return {};
  const Json& types = json["layer_types"];
  if (!types.is_array() || types.size() != static_cast<size_t>(layers)) {
    return invalid_argument(
        fmt::format("'layer_types' is {}; expected a list of {} names", shown_json(types), layers));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] != Json("full_attention")) {
      return refuse(fmt::format("layer_types[{}]", i), types[i], "only \"full_attention\"");
    }
  }
  return {};
}

// A window that no position can leave is none.
Status check_window(const Json& json, const ModelFamily& family, int64_t positions) {
  if (!family.window_unless_null) return {};
  const auto found = json.find("sliding_window");
  if (found == json.end()) {
    return unsupported(
        fmt::format("'sliding_window' is missing; model type {} then has a window of 4096, and "
                    "looplm runs only models that say \"sliding_window\": null",
                    family.model_type));
  }
  LOOPLM_ASSIGN_OR_RETURN(const int64_t window, json_int(json, "sliding_window", positions, 1,
                                                         std::numeric_limits<int64_t>::max()));
  if (window >= positions) return {};
  return refuse("sliding_window", window, fmt::format("only null, or {} and more", positions));
}

// RoPE stands in "rope_theta" and "rope_scaling" (transformers 4) or in "rope_parameters"
// (transformers 5); an object of either kind must describe plain RoPE, the same in all layers.
Status check_rope_object(const Json& rope, const std::string& key) {
  if (!rope.is_object()) {
    return invalid_argument(
        fmt::format("'{}' is {}; expected an object or null", key, shown_json(rope)));
  }
  for (const char* type_key : {"rope_type", "type"}) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(rope, type_key, "default"));
    const bool unscaled = type == "linear" && rope.contains("factor") && rope["factor"] == Json(1);
    if (type != "default" && !unscaled) {
      return refuse(key + "." + type_key, type, "only \"default\"");
    }
  }
  for (const auto& [name, value] : rope.items()) {
    const std::string path = key + "." + name;
    if (name == "rope_type" || name == "type" || name == "rope_theta" || value.is_null()) continue;
    if (name == "factor" || name == "attention_factor" || name == "partial_rotary_factor") {
      if (value != Json(1)) return refuse(path, value, "only 1");
    } else {
      return refuse(path, value, "only plain RoPE, the same in all layers");
    }
  }
  return {};
}

// Keys of other models' RoPE, such as "rope_local_base_freq" or "no_rope_layers".
Status check_other_rope_keys(const Json& json) {
  constexpr std::array<std::string_view, 4> kRead = {"rope_theta", "rope_scaling",
                                                     "rope_parameters", "partial_rotary_factor"};
  for (const auto& [name, value] : json.items()) {
    const bool names_rope =
        name.find("rope") != std::string::npos || name.find("rotary") != std::string::npos;
    const bool read = std::find(kRead.begin(), kRead.end(), name) != kRead.end();
    if (names_rope && !read && !is_off(value)) {
      return refuse(name, value, "only models without it (false or null)");
    }
  }
  return {};
}

Status read_rope(const Json& json, ModelConfig& config) {
  std::optional<double> theta;
  const auto take_theta = [&theta](const Json& object) -> Status {
    if (!is_given(object, "rope_theta")) return {};
    LOOPLM_ASSIGN_OR_RETURN(const double value,
                            json_number(object, "rope_theta", 0, -HUGE_VAL, HUGE_VAL));
    if (theta.has_value() && *theta != value) {
      return invalid_argument(
          fmt::format("'rope_theta' is stated twice, as {} and as {}", *theta, value));
    }
    theta = value;
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(check_other_rope_keys(json));
  LOOPLM_RETURN_IF_ERROR(take_theta(json));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!is_given(json, key)) continue;
    LOOPLM_RETURN_IF_ERROR(check_rope_object(json[key], key));
    LOOPLM_RETURN_IF_ERROR(take_theta(json[key]));
  }
  LOOPLM_ASSIGN_OR_RETURN(const double part, json_number(json, "partial_rotary_factor", 1, 0, 1));
  if (part != 1) return refuse("partial_rotary_factor", part, "only 1");
  if (theta.has_value()) config.rope_theta = *theta;
  return {};
}

Status read_sizes(const Json& json, ModelConfig& config) {
  for (const SizeRule& rule : kSizeRules) {
    LOOPLM_ASSIGN_OR_RETURN(config.*rule.field, json_int(json, rule.key, 0, 1, rule.max));
  }
  if (config.kv_heads == 0) config.kv_heads = config.heads;
  if (config.head_dim == 0) {
    // Nanbeige's older name.
    LOOPLM_ASSIGN_OR_RETURN(config.head_dim, json_int(json, "kv_channels", 0, 1, kMaxHeadDim));
  }
  if (config.head_dim == 0 && config.heads > 0) {
    if (config.hidden_size % config.heads != 0) {
      return invalid_argument(fmt::format(
          "'head_dim' is missing and 'hidden_size' {} is not a multiple of 'num_attention_heads' "
          "{}",
          config.hidden_size, config.heads));
    }
    config.head_dim = config.hidden_size / config.heads;
  }
  for (const SizeRule& rule : kSizeRules) {
    if (config.*rule.field == 0 && rule.field != &ModelConfig::loops) {
      return invalid_argument(
          fmt::format("'{}' is missing; expected an integer from 1 to {}", rule.key, rule.max));
    }
  }
  return {};
}

Status read_loop_structure(const Json& json, const ModelFamily& family, ModelConfig& config) {
  // read_sizes took "total_ut_steps".
  LOOPLM_ASSIGN_OR_RETURN(const int64_t num_loops, json_int(json, "num_loops", 0, 1, kMaxLoops));
  if (config.loops != 0 && num_loops != 0 && config.loops != num_loops) {
    return invalid_argument(
        fmt::format("'total_ut_steps' is {} but 'num_loops' is {}", config.loops, num_loops));
  }
  if (config.loops == 0) config.loops = num_loops != 0 ? num_loops : family.loops;

  LOOPLM_ASSIGN_OR_RETURN(const bool skip_norm, json_bool(json, "skip_loop_final_norm", false));
  LOOPLM_ASSIGN_OR_RETURN(config.norm_between_loops,
                          json_bool(json, "norm_between_loops", !skip_norm));
  LOOPLM_ASSIGN_OR_RETURN(config.exit_gate, json_bool(json, "exit_gate", family.exit_gate));
  const char* usual = family.norm_placement == NormPlacement::kPre ? kPreName : kSandwichName;
  LOOPLM_ASSIGN_OR_RETURN(const std::string placement, json_string(json, "norm_placement", usual));
  if (placement != kPreName && placement != kSandwichName) {
    return refuse("norm_placement", placement, "only \"sandwich\" and \"pre\"");
  }
  config.norm_placement = placement == kPreName ? NormPlacement::kPre : NormPlacement::kSandwich;
  return {};
}

Status read_token_ids(const Json& json, ModelConfig& config) {
  // -1 stands for "none" in some published files.
  const int64_t last = config.vocab_size - 1;
  LOOPLM_ASSIGN_OR_RETURN(config.bos_token_id, json_int(json, "bos_token_id", -1, -1, last));
  LOOPLM_ASSIGN_OR_RETURN(config.pad_token_id, json_int(json, "pad_token_id", -1, -1, last));
  LOOPLM_ASSIGN_OR_RETURN(config.eos_token_ids, read_eos_token_ids(json, config.vocab_size));
  return {};
}

Status read_dtype(const Json& json, ModelConfig& config) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string old_name, json_string(json, "torch_dtype", ""));
  LOOPLM_ASSIGN_OR_RETURN(std::string name, json_string(json, "dtype", old_name));
  if (!old_name.empty() && name != old_name) {
    return invalid_argument(
        fmt::format("'dtype' is '{}' but 'torch_dtype' is '{}'", name, old_name));
  }
  // Absent means float32 in Hugging Face's code.
  config.dtype = name.empty() ? "float32" : name;
  return {};
}

Result<ModelConfig> parse(const Json& json) {
  if (!json.is_object())
    return invalid_argument("expected a JSON object, found " + shown_json(json));
  ModelConfig config;
  LOOPLM_ASSIGN_OR_RETURN(config.model_type, json_string(json, "model_type", ""));
  const ModelFamily* family = find_model_family(config.model_type);
  if (family == nullptr) {
    return unsupported(
        fmt::format("'model_type' is {}; expected one of {}",
                    is_given(json, "model_type") ? shown_json(json["model_type"]) : "missing",
                    model_types_text()));
  }
  LOOPLM_RETURN_IF_ERROR(check_structure(json, *family));
  LOOPLM_RETURN_IF_ERROR(read_sizes(json, config));
  LOOPLM_RETURN_IF_ERROR(check_layer_types(json, config.layers));
  LOOPLM_RETURN_IF_ERROR(check_window(json, *family, config.max_positions));
  for (const NumberRule& rule : kNumberRules) {
    LOOPLM_ASSIGN_OR_RETURN(config.*rule.field,
                            json_number(json, rule.key, config.*rule.field, rule.min, rule.max));
  }
  LOOPLM_RETURN_IF_ERROR(read_rope(json, config));
  LOOPLM_ASSIGN_OR_RETURN(config.tie_embeddings, json_bool(json, "tie_word_embeddings", false));
  LOOPLM_RETURN_IF_ERROR(read_loop_structure(json, *family, config));
  LOOPLM_RETURN_IF_ERROR(read_token_ids(json, config));
  LOOPLM_RETURN_IF_ERROR(read_dtype(json, config));
  LOOPLM_RETURN_IF_ERROR(validate(config));
  return config;
}

}  // namespace

Result<std::vector<int64_t>> read_eos_token_ids(const Json& json, int64_t vocab_size) {
  std::vector<int64_t> ids;
  if (!is_given(json, "eos_token_id")) return ids;
  const Json& eos = json["eos_token_id"];
  const Json list = eos.is_array() ? eos : Json::array({eos});
  for (const Json& item : list) {
    const Json object = {{"eos_token_id", item}};
    LOOPLM_ASSIGN_OR_RETURN(const int64_t id,
                            json_int(object, "eos_token_id", -2, -1, vocab_size - 1));
    if (id == -2) return invalid_argument("'eos_token_id' holds null; expected token ids");
    if (id >= 0) ids.push_back(id);  // -1 stands for "none", as for the others
  }
  return ids;
}

Result<ModelConfig> parse_model_config(const std::string& json_text, const std::string& what) {
  if (json_text.size() > kMaxConfigBytes) {
    return invalid_argument(fmt::format("{}: {} bytes; expected a config.json of at most {}", what,
                                        json_text.size(), kMaxConfigBytes));
  }
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(json_text, what));
  Result<ModelConfig> config = parse(json);
  if (!config.ok()) return config.status().with_context(what);
  return config;
}

Result<ModelConfig> read_model_config(const std::string& directory) {
  const std::string path = directory + "/config.json";
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  return parse_model_config(text, path);
}

}  // namespace looplm
