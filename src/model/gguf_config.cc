// A GGUF file's keys to ModelConfig.
#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "model/config_rules.h"
#include "model/gguf_model.h"

namespace looplm {
namespace {

// Architectures whose converter reorders queries and keys and whose blocks have no biases.
constexpr std::array<const char*, 3> kArchitectures = {"ouro", "llama", "nanbeige"};

struct SizeKey {
  const char* key;  // without the architecture's name
  int64_t ModelConfig::*field;
  int64_t max;
};
constexpr std::array<SizeKey, 5> kSizeKeys = {{
    {"block_count", &ModelConfig::layers, kMaxLayers},
    {"embedding_length", &ModelConfig::hidden_size, kMaxHiddenSize},
    {"feed_forward_length", &ModelConfig::intermediate_size, kMaxIntermediateSize},
    {"attention.head_count", &ModelConfig::heads, kMaxHeads},
    {"context_length", &ModelConfig::max_positions, kMaxPositions},
}};

// Keys that change what the model computes in ways looplm does not, unless they have this value.
struct FixedKey {
  const char* key;
  double harmless;
};
constexpr FixedKey kFixedKeys[] = {
    {"expert_count", 0},
    {"attention.sliding_window", 0},
    {"attention.clamp_kqv", 0},
    {"attention.scale", 0},
    {"rope.scaling.factor", 1},
    {"rope.scale_linear", 1},
    {"rope.scaling.attn_factor", 1},
    {"logit_scale", 1},
    {"embedding_scale", 1},
    {"residual_scale", 1},
};

// What may stand under "rope." besides; any other key there is of a RoPE that looplm does not run.
constexpr std::array<const char*, 5> kRopeKeys = {"rope.dimension_count", "rope.freq_base",
                                                  "rope.scaling.type", "rope.scaling.finetuned",
                                                  "rope.scaling.original_context_length"};

// The file's keys, of which most begin with the architecture's name.
class Keys {
 public:
  Keys(const GgufMetadata& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  // A list of one number per layer will do where all are the same.
  Result<int64_t> size(const char* key, std::optional<int64_t> absent, int64_t max) const {
    const std::string name = prefix_ + key;
    const auto entry = metadata_.find(name);
    if (entry == metadata_.end() || !std::holds_alternative<GgufArray>(entry->second)) {
      return gguf_int(metadata_, name, absent, 1, max);
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, gguf_ints(metadata_, name));
    const bool same = !sizes.empty() && std::all_of(sizes.begin(), sizes.end(),
                                                    [&](int64_t s) { return s == sizes[0]; });
    if (!same) return refuse(key, "a list of different numbers", "one number for all layers");
    return gguf_int({{name, GgufValue(sizes[0])}}, name, absent, 1, max);
  }
  Result<double> number(const char* key, std::optional<double> absent, double min,
                        double max) const {
    return gguf_number(metadata_, prefix_ + key, absent, min, max);
  }
  Result<bool> flag(const char* key, bool absent) const {
    return gguf_bool(metadata_, prefix_ + key, absent);
  }
  Result<std::string> string(const char* key, const std::string& absent) const {
    return gguf_string(metadata_, prefix_ + key, absent);
  }
  // Names, without the architecture's, of all keys that begin with `start`.
  std::vector<std::string> beginning_with(const std::string& start) const {
    std::vector<std::string> names;
    const std::string full = prefix_ + start;
    for (auto at = metadata_.lower_bound(full); at != metadata_.end(); ++at) {
      if (!at->first.starts_with(full)) break;
      names.push_back(at->first.substr(prefix_.size()));
    }
    return names;
  }
  Status refuse(const std::string& key, const std::string& found,
                const std::string& expected) const {
    return unsupported(
        fmt::format("key '{}{}' is {}; looplm runs only {}", prefix_, key, found, expected));
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

// Converters round 1e-06 to fp32; the shortest decimal of that float is what the model's own config
// says, and so both files give the same config.
double decimal_of(double value) {
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(rounded) == value ? std::stod(fmt::format("{}", rounded)) : value;
}

Result<std::string> read_architecture(const GgufMetadata& metadata) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, gguf_string(metadata, "general.type", "model"));
  if (type != "model") {
    return unsupported(fmt::format("key 'general.type' is '{}'; expected 'model'", type));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string name,
                          gguf_string(metadata, "general.architecture", std::nullopt));
  for (const char* known : kArchitectures) {
    if (name == known) return name;
  }
  return unsupported(
      fmt::format("key 'general.architecture' is {}; expected ouro, llama or nanbeige",
                  gguf_value_text(GgufValue(std::string_view(name)))));
}

Status check_structure(const Keys& keys) {
  constexpr double kAny = std::numeric_limits<double>::max();
  for (const FixedKey& fixed : kFixedKeys) {
    LOOPLM_ASSIGN_OR_RETURN(const double value,
                            keys.number(fixed.key, fixed.harmless, -kAny, kAny));
    if (value != fixed.harmless) {
      return keys.refuse(fixed.key, fmt::format("{}", value), fmt::format("{}", fixed.harmless));
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string scaling, keys.string("rope.scaling.type", "none"));
  // Linear scaling by a factor of 1, which the list above holds it to, is none.
  if (scaling != "none" && scaling != "linear") {
    return keys.refuse("rope.scaling.type", gguf_value_text(GgufValue(std::string_view(scaling))),
                       "'none'");
  }
  for (const std::string& key : keys.beginning_with("rope.")) {
    if (std::find(kRopeKeys.begin(), kRopeKeys.end(), key) != kRopeKeys.end()) continue;
    if (std::any_of(std::begin(kFixedKeys), std::end(kFixedKeys),
                    [&](const FixedKey& fixed) { return key == fixed.key; })) {
      continue;
    }
    return keys.refuse(key, "given", "plain RoPE, without it");
  }
  LOOPLM_ASSIGN_OR_RETURN(const bool causal, keys.flag("attention.causal", true));
  return causal ? Status() : keys.refuse("attention.causal", "false", "true");
}

Status read_sizes(const Keys& keys, ModelConfig& config) {
  for (const SizeKey& size : kSizeKeys) {
    LOOPLM_ASSIGN_OR_RETURN(config.*size.field, keys.size(size.key, std::nullopt, size.max));
  }
  LOOPLM_ASSIGN_OR_RETURN(config.kv_heads,
                          keys.size("attention.head_count_kv", config.heads, kMaxHeads));
  std::optional<int64_t> head_dim;
  if (config.hidden_size % config.heads == 0) head_dim = config.hidden_size / config.heads;
  LOOPLM_ASSIGN_OR_RETURN(config.head_dim,
                          keys.size("attention.key_length", head_dim, kMaxHeadDim));
  for (const char* same : {"attention.value_length", "rope.dimension_count"}) {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t size, keys.size(same, config.head_dim, kMaxHiddenSize));
    if (size != config.head_dim) {
      return keys.refuse(same, fmt::format("{}", size),
                         fmt::format("{}, the head size", config.head_dim));
    }
  }
  return {};
}

Status read_vocabulary(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  const std::string name = gguf_tensor_name(kEmbeddingName);
  const GgufTensor* embedding = file.find(name);
  if (embedding == nullptr) return not_found(fmt::format("no tensor '{}'", name));
  if (embedding->shape.size() != 2) {
    return invalid_argument(
        fmt::format("tensor '{}' is {}; expected a matrix", name, shape_text(embedding->shape)));
  }
  config.vocab_size = embedding->shape[0];
  LOOPLM_ASSIGN_OR_RETURN(const int64_t said,
                          keys.size("vocab_size", config.vocab_size, kMaxVocabSize));
  if (said != config.vocab_size) {
    return keys.refuse("vocab_size", fmt::format("{}", said),
                       fmt::format("{}, the rows of '{}'", config.vocab_size, name));
  }
  config.tie_embeddings = file.find(gguf_tensor_name(kHeadName)) == nullptr;

  const int64_t last = config.vocab_size - 1;
  const GgufMetadata& metadata = file.metadata();
  LOOPLM_ASSIGN_OR_RETURN(config.bos_token_id,
                          gguf_int(metadata, "tokenizer.ggml.bos_token_id", -1, 0, last));
  LOOPLM_ASSIGN_OR_RETURN(config.pad_token_id,
                          gguf_int(metadata, "tokenizer.ggml.padding_token_id", -1, 0, last));
  std::vector<int64_t>& ends = config.eos_token_ids;
  for (const char* key : kGgufEndKeys) {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t id, gguf_int(metadata, key, -1, 0, last));
    if (id != -1 && std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  return {};
}

Status read_loops(const Keys& keys, const ModelFamily& family, ModelConfig& config) {
  config.norm_placement = family.norm_placement;
  // Without its count an Ouro file would silently run as a plain transformer.
  const std::optional<int64_t> absent =
      family.loops == 1 ? std::optional<int64_t>(1) : std::nullopt;
  LOOPLM_ASSIGN_OR_RETURN(config.loops, keys.size("num_loops", absent, kMaxLoops));
  LOOPLM_ASSIGN_OR_RETURN(const bool skips_norm, keys.flag("skip_loop_final_norm", false));
  config.norm_between_loops = !skips_norm;
  return {};
}

// The narrowest dtype of config.json that holds every matrix.
std::string config_dtype(const GgufFile& file) {
  std::string dtype = "bfloat16";
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.shape.size() < 2 || tensor.name == kGgufGateWeightName) continue;
    if (tensor.type == GgmlType::kF32) return "float32";
    if (tensor.type == GgmlType::kF16) dtype = "float16";
  }
  return dtype;
}

}  // namespace

Result<ModelConfig> gguf_model_config(const GgufFile& file) {
  ModelConfig config;
  LOOPLM_ASSIGN_OR_RETURN(config.model_type, read_architecture(file.metadata()));
  const ModelFamily& family = *find_model_family(config.model_type);
  const Keys keys(file.metadata(), config.model_type);
  LOOPLM_RETURN_IF_ERROR(check_structure(keys));
  LOOPLM_RETURN_IF_ERROR(read_sizes(keys, config));
  LOOPLM_ASSIGN_OR_RETURN(config.rope_theta, keys.number("rope.freq_base", 10000.0, 1.0, 1e12));
  LOOPLM_ASSIGN_OR_RETURN(config.rms_norm_eps, keys.number("attention.layer_norm_rms_epsilon",
                                                           std::nullopt, 1e-12, 0.1));
  config.rope_theta = decimal_of(config.rope_theta);
  config.rms_norm_eps = decimal_of(config.rms_norm_eps);
  LOOPLM_RETURN_IF_ERROR(read_loops(keys, family, config));
  LOOPLM_RETURN_IF_ERROR(read_vocabulary(file, keys, config));
  config.exit_gate = file.find(kGgufGateWeightName) != nullptr;
  config.dtype = config_dtype(file);
  LOOPLM_RETURN_IF_ERROR(validate(config));
  return config;
}

}  // namespace looplm
