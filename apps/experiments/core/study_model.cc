#include "experiments/core/study_model.h"

#include <filesystem>
#include <map>

#include <fmt/format.h>

namespace looplm {
namespace {

const std::map<std::string, WeightType>& weight_types() {
  static const std::map<std::string, WeightType> types = {{"auto", WeightType::kAsStored},
                                                          {"f32", WeightType::kF32},
                                                          {"bf16", WeightType::kBf16},
                                                          {"int8", WeightType::kInt8},
                                                          {"int4", WeightType::kInt4}};
  return types;
}

}  // namespace

void read_dtype(TomlReader& toml, const char* key, std::string& dtype) {
  toml.read(key, dtype);
  if (weight_types().contains(dtype)) return;
  toml.fail(fmt::format("{} is \"{}\"; expected auto, f32, bf16, int8 or int4", toml.full_name(key),
                        dtype));
}

void read_study_model(TomlReader& toml, StudyModel& model) {
  toml.require("directory");
  toml.read("directory", model.directory);
  read_dtype(toml, "dtype", model.dtype);
}

std::string shown_path(const std::string& path) {
  const std::filesystem::path whole = std::filesystem::path(path).lexically_normal();
  const std::string parent = whole.parent_path().filename().string();
  return parent.empty() ? whole.filename().string() : parent + "/" + whole.filename().string();
}

ModelOptions study_model_options(int threads) {
  ModelOptions options;
  options.threads = threads;
  options.kv = KvType::kF32;
  return options;
}

Result<std::unique_ptr<Model>> load_study_model(const StudyModel& model, int threads) {
  ModelOptions options = study_model_options(threads);
  options.weights = weight_types().at(model.dtype);
  LOOPLM_ASSIGN_OR_RETURN(std::unique_ptr<Model> loaded, Model::load(model.directory, options));
  if (loaded->tokenizer() == nullptr) {
    return invalid_argument(
        fmt::format("'{}' has no tokenizer.json to read text by", model.directory));
  }
  return loaded;
}

}  // namespace looplm
