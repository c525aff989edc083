#include "cli/model_choice.h"

#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "cli/hub_models.h"
#include "common/project_files.h"
#include "hub/hub_cache.h"

namespace looplm::cli {
ModelOptions ModelChoice::options() const {
  ModelOptions o;
  o.threads = threads;
  o.gate_file = gate_file;
  o.adapter = adapter;
  if (dtype == "f32") o.weights = WeightType::kF32;
  if (dtype == "bf16") o.weights = WeightType::kBf16;
  if (dtype == "int8") o.weights = WeightType::kInt8;
  if (dtype == "int4") o.weights = WeightType::kInt4;
  o.kv = kv_type_from_name(kv_type).value();
  return o;
}

Option* add_model_argument(Command& command, std::string& directory, const char* name) {
  return command
      .add_option(name, directory,
                  "Model directory, GGUF file, or ORG/NAME from the hub (default: the bundled "
                  "model)")
      ->environment("LOOPLM_MODEL");
}

void add_kv_type_option(Command& command, std::string& kv_type) {
  command
      .add_option("--kv-type", kv_type,
                  "Type of cached keys and values: f32, bf16, or int8 (a scale per position and "
                  "head)")
      ->check(one_of({"f32", "bf16", "int8"}))
      ->environment("LOOPLM_KV_TYPE")
      ->capture_default_str();
}

void add_memory_options(Command& command, ModelChoice& choice) {
  command
      .add_option("--dtype", choice.dtype,
                  "Weights in memory: f32, bf16, int8 (a scale per row), int4 (a scale and minimum "
                  "per 64 weights), or auto (f32 for files of F32 or F16, bf16 for BF16 and for "
                  "GGUF's blocks, int8 and int4 as stored)")
      ->check(one_of({"auto", "f32", "bf16", "int8", "int4"}))
      ->environment("LOOPLM_DTYPE")
      ->capture_default_str();
  add_kv_type_option(command, choice.kv_type);
  command.add_threads(choice.threads);
  add_gate_option(command, choice.gate_file);
}

void add_gate_option(Command& command, std::string& gate_file) {
  command
      .add_option("--gate", gate_file,
                  "Safetensors file with the exit gate of a GGUF model (default: "
                  "NAME.gate.safetensors beside NAME.gguf, if it is there)")
      ->environment("LOOPLM_GATE");
}

void add_weight_options(Command& command, ModelChoice& choice) {
  add_memory_options(command, choice);
  command.add_option("--lora", choice.adapter,
                     "Directory of a LoRA adapter (adapter_config.json and "
                     "adapter_model.safetensors) to run the model with");
}

namespace {

// models/small and models/chat, wherever looplm was installed; empty: nowhere.
std::string find_bundled(const std::string& name) {
  for (const std::string& place : project_places(name)) {
    if (file_exists(place + "/config.json")) return place;
  }
  return {};
}

}  // namespace

Result<std::string> locate_named_model(const std::string& given) {
  std::error_code error;
  if (std::filesystem::exists(given, error)) return given;
  if (given.starts_with("models/")) {
    if (std::string place = find_bundled(given); !place.empty()) return place;
  }
  const std::optional<HubReference> reference = hub_reference(given);
  if (reference.has_value()) return find_or_pull(*reference);
  return not_found(
      fmt::format("there is no '{}'; expected a model's directory, a GGUF file, or ORG/NAME from "
                  "the hub",
                  given));
}

Status check_other_place(const std::string& option, const std::string& out,
                         const std::string& model) {
  std::error_code error;  // there is no `out` yet
  if (std::filesystem::equivalent(out, model, error) && !error) {
    return invalid_argument(
        fmt::format("{} is '{}', the model itself; expected another name", option, out));
  }
  // By whatever name: a link may lead to it.
  std::filesystem::directory_iterator files(model, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::error_code missing;
    if (files->path().extension() == ".gguf" || !files->is_regular_file(missing) ||
        !std::filesystem::equivalent(out, files->path(), missing)) {
      continue;
    }
    return invalid_argument(
        fmt::format("{} is '{}', a file of the model itself; expected another name", option, out));
  }
  return {};
}

std::string model_title(const std::string& path) {
  std::string name = HubCache::name_of(path);
  if (!name.empty()) return name;
  std::error_code error;  // in a folder that is gone
  std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  if (error) whole = path;
  return whole.has_filename() ? whole.filename() : whole.parent_path().filename();
}

Result<std::string> locate_model(const std::string& given) {
  if (!given.empty()) return locate_named_model(given);
  constexpr const char* kBundled = "models/small";
  if (std::string place = find_bundled(kBundled); !place.empty()) return place;
  return not_found(
      fmt::format("no model named and no bundled one found (looked in {}); name a directory that "
                  "holds config.json and safetensors, or a GGUF file, or set LOOPLM_MODEL to one",
                  fmt::join(project_places(kBundled), ", ")));
}

}  // namespace looplm::cli
