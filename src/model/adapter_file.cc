// Adapters as files in PEFT's layout.
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "model/adapter.h"
#include "model/atomic_directory.h"
#include "model/tensor_read.h"

namespace looplm {
namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsName = "adapter_model.safetensors";
constexpr const char* kTemplateFile = "chat_template.jinja";
constexpr const char* kLoopsKey = "looplm_loops";

// Keys of PEFT that ask for more than a product with B A. Absent, null, false and empty say no.
constexpr std::array<const char*, 17> kUnknownVariants = {"use_dora",
                                                          "use_qalora",
                                                          "use_bdlora",
                                                          "lora_bias",
                                                          "fan_in_fan_out",
                                                          "modules_to_save",
                                                          "rank_pattern",
                                                          "kasa_config",
                                                          "alpha_pattern",
                                                          "layers_to_transform",
                                                          "exclude_modules",
                                                          "arrow_config",
                                                          "target_parameters",
                                                          "layer_replication",
                                                          "monteclora_config",
                                                          "trainable_token_indices",
                                                          "alora_invocation_tokens"};

// What the adapter was before its training: a name, or true, false or nothing, which give "".
Result<std::string> read_start(const Json& json) {
  const auto found = json.find("init_lora_weights");
  if (found == json.end() || found->is_boolean()) return std::string();
  return json_string(json, "init_lora_weights", "");
}

Status check_variant(const Json& json) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(json, "peft_type", ""));
  if (type != "LORA") {
    return unsupported(fmt::format("'peft_type' is '{}'; looplm reads LORA", type));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string bias, json_string(json, "bias", "none"));
  if (bias != "none") return unsupported(fmt::format("'bias' is '{}'; looplm reads none", bias));
  LOOPLM_ASSIGN_OR_RETURN(const std::string start, read_start(json));
  for (const char* changes : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
    if (!start.starts_with(changes)) continue;
    return unsupported(fmt::format(
        "'init_lora_weights' is '{}', which changes the base model too; expected an adapter for "
        "the "
        "model as it was (PEFT's save_pretrained with path_initial_model_for_weight_conversion)",
        start));
  }
  for (const char* key : kUnknownVariants) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null() || *found == false) continue;
    if (found->is_structured() && found->empty()) continue;
    return unsupported(
        fmt::format("'{}' is {}; looplm reads adapters without it", key, shown_json(*found)));
  }
  return {};
}

// Names of matrices. A pattern, or names with a path in front, are found in the file of weights
// (targets_in) and leave the list empty.
Status read_targets(const Json& json, std::vector<std::string>& targets) {
  if (json.is_string() && !json.get_ref<const std::string&>().empty()) return {};
  if (!json.is_array() || json.empty()) {
    return invalid_argument(
        fmt::format("'target_modules' is {}; expected a list of names", shown_json(json)));
  }
  bool paths = false;
  for (const Json& target : json) {
    if (!target.is_string()) return invalid_argument("'target_modules' must hold names");
    targets.push_back(target.get<std::string>());
    paths = paths || targets.back().find('.') != std::string::npos;
  }
  if (!paths) return check_targets(targets).with_context("'target_modules'");
  targets.clear();
  return {};
}

// The matrices that the weights of an adapter are for.
std::vector<std::string> targets_in(const Safetensors& file) {
  std::vector<std::string> targets;
  for (const AdapterTarget& target : adapter_targets()) {
    const std::string part = fmt::format(".{}.lora_A.", target.name);
    const bool has = std::any_of(file.names().begin(), file.names().end(), [&](const auto& name) {
      return name.find(part) != std::string::npos;
    });
    if (has) targets.emplace_back(target.name);
  }
  return targets;
}

Result<AdapterSettings> parse_settings(const Json& json) {
  if (!json.is_object()) return invalid_argument("expected an object");
  LOOPLM_RETURN_IF_ERROR(check_variant(json));
  AdapterSettings settings;
  const auto given = [&json](const char* key) {
    return json.contains(key) && !json[key].is_null();
  };
  for (const char* key : {"r", "lora_alpha", "target_modules"}) {
    if (!given(key)) return invalid_argument(fmt::format("'{}' is missing", key));
  }
  LOOPLM_ASSIGN_OR_RETURN(settings.rank, json_int(json, "r", 0, 1, kMaxAdapterRank));
  // PEFT takes any number, also one below 0, which turns the adapter's effect round.
  LOOPLM_ASSIGN_OR_RETURN(settings.alpha,
                          json_number(json, "lora_alpha", 0, -kMaxAdapterAlpha, kMaxAdapterAlpha));
  LOOPLM_ASSIGN_OR_RETURN(settings.rslora, json_bool(json, "use_rslora", false));
  LOOPLM_ASSIGN_OR_RETURN(settings.dropout, json_number(json, "lora_dropout", 0, 0, 1));
  LOOPLM_RETURN_IF_ERROR(read_targets(json["target_modules"], settings.targets));
  settings.per_loop = given(kLoopsKey);
  if (settings.per_loop) {
    LOOPLM_ASSIGN_OR_RETURN(settings.loops, json_int(json, kLoopsKey, 0, 1, kMaxLoops));
  }
  return settings;
}

// What the directory may hold instead of an adapter, with what to do about it.
Status check_holds_adapter(const std::string& directory) {
  const auto holds = [&](const std::string& name) { return name_exists(directory + "/" + name); };
  if (!holds(kConfigFile) && holds(std::string("model/") + kConfigFile)) {
    return invalid_argument(
        fmt::format("'{0}' holds a run; expected its adapter, '{0}/model'", directory));
  }
  if (!holds(kWeightsName) && holds("adapter_model.bin")) {
    return unsupported(fmt::format(
        "'{}' holds adapter_model.bin; looplm reads {}, which PEFT's save_pretrained writes",
        directory, kWeightsName));
  }
  return {};
}

Result<AdapterSettings> read_settings(const std::string& directory) {
  LOOPLM_RETURN_IF_ERROR(check_holds_adapter(directory));
  const std::string path = directory + "/" + kConfigFile;
  LOOPLM_ASSIGN_OR_RETURN(const Json json, read_json_file(path));
  Result<AdapterSettings> settings = parse_settings(json);
  return settings.ok() ? std::move(settings) : settings.status().with_context(path);
}

std::string config_json(const AdapterSettings& settings, const std::string& base) {
  OrderedJson json;
  json["peft_type"] = "LORA";
  json["task_type"] = "CAUSAL_LM";
  json["base_model_name_or_path"] = base.empty() ? OrderedJson() : OrderedJson(base);
  json["r"] = settings.rank;
  json["lora_alpha"] = settings.alpha;
  json["use_rslora"] = settings.rslora;
  json["lora_dropout"] = settings.dropout;
  json["target_modules"] = OrderedJson::array();
  for (const AdapterTarget& target : adapter_targets()) {
    if (has_target(settings, target)) json["target_modules"].push_back(target.name);
  }
  json["bias"] = "none";
  json["fan_in_fan_out"] = false;
  json["inference_mode"] = true;
  if (settings.per_loop) json[kLoopsKey] = settings.loops;
  return dump_json(json, 2) + "\n";
}

Status check_tensor(const ParameterSpec& spec, const TensorView& view) {
  if (view.dtype == DType::kU8) {
    return unsupported(fmt::format("'{}' is U8; expected F32, BF16 or F16", spec.name));
  }
  if (view.shape != spec.shape) {
    return invalid_argument(fmt::format("'{}' has shape {}; this model and rank expect {}",
                                        spec.name, shape_text(view.shape), shape_text(spec.shape)));
  }
  return check_finite(spec.name, view);
}

// `path` stands in front of each error once: what the file itself says has it already.
Status check_tensors(const Safetensors& file, const std::string& path,
                     const std::vector<ParameterSpec>& expected) {
  std::set<std::string_view> names;
  for (const ParameterSpec& spec : expected) names.insert(spec.name);
  for (const std::string& name : file.names()) {
    if (!names.contains(name)) {
      return invalid_argument(fmt::format(
          "{}: '{}' belongs to no matrix of this model that 'target_modules' names", path, name));
    }
  }
  for (const ParameterSpec& spec : expected) {
    LOOPLM_ASSIGN_OR_RETURN(const TensorView view, file.find(spec.name));
    LOOPLM_RETURN_IF_ERROR(check_tensor(spec, view).with_context(path));
  }
  return {};
}

}  // namespace

bool is_adapter_file(const std::string& name) {
  return name == kConfigFile || name == kWeightsName || name == kTemplateFile;
}

Result<Adapter> read_adapter(const std::string& directory, const ModelConfig& config) {
  LOOPLM_ASSIGN_OR_RETURN(AdapterSettings settings, read_settings(directory));
  const std::string path = directory + "/" + kWeightsName;
  LOOPLM_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::open(path));
  if (settings.targets.empty()) settings.targets = targets_in(file);
  const std::vector<ParameterSpec> specs = adapter_specs(config, settings);
  LOOPLM_RETURN_IF_ERROR(check_tensors(file, path, specs));
  ParameterSet values(specs);
  LOOPLM_RETURN_IF_ERROR(values.load([&file](const std::string& name) { return file.find(name); }));
  return Adapter{std::move(settings), std::move(values)};
}

Status save_adapter(const std::string& directory, const AdapterSettings& settings,
                    const ParameterSet& values, const std::string& base,
                    const std::string& chat_template) {
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory fresh,
                          AtomicDirectory::create(directory, is_adapter_file));
  LOOPLM_RETURN_IF_ERROR(
      write_text_file(fresh.path() + "/" + kConfigFile, config_json(settings, base)));
  if (!chat_template.empty()) {
    LOOPLM_RETURN_IF_ERROR(write_text_file(fresh.path() + "/" + kTemplateFile, chat_template));
  }
  std::vector<TensorDeclaration> entries;
  for (const ParameterSpec& spec : values.specs()) {
    entries.push_back({spec.name, DType::kF32, spec.shape});
  }
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                          SafetensorsWriter::create(fresh.path() + "/" + kWeightsName, entries));
  LOOPLM_RETURN_IF_ERROR(writer.write(std::as_bytes(values.values())));
  LOOPLM_RETURN_IF_ERROR(writer.commit());
  return fresh.commit();
}

}  // namespace looplm
