#include "hub/model_files.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/gguf_name.h"
#include "base/json.h"

namespace looplm {
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr const char* kAdapterWeights = "adapter_model.safetensors";
// Beside the weights, where there.
constexpr std::array<const char*, 10> kCompanions = {
    "generation_config.json",  "guess.safetensors", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json",     "merges.txt",
    "chat_template.jinja",     "chat_template.json"};

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

Result<std::string> choose_gguf(const std::vector<std::string>& models, const std::string& wanted,
                                const std::string& where) {
  std::vector<std::string> fitting;
  for (const std::string& model : models) {
    const std::vector<std::string> parts = gguf_parts(model);
    if (std::find(parts.begin(), parts.end(), wanted) != parts.end()) return model;
    if (lower(model).find(lower(wanted)) != std::string::npos) fitting.push_back(model);
  }
  if (fitting.size() == 1) return fitting[0];
  if (wanted.empty()) {
    return invalid_argument(fmt::format("{} has {} GGUF files; name one behind a colon: {}", where,
                                        models.size(), fmt::join(models, ", ")));
  }
  return invalid_argument(
      fmt::format("'{}' matches {} GGUF files of {}; expected one of: {}", wanted,
                  fitting.empty() ? "none of the" : std::to_string(fitting.size()), where,
                  fmt::join(models, ", ")));
}

Result<std::vector<std::string>> weights_of_index(const std::string& text,
                                                  const std::string& where) {
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(text, where + ": " + kIndex));
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object()) {
    return invalid_argument(fmt::format("{}: {} has no object 'weight_map'", where, kIndex));
  }
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      return invalid_argument(fmt::format("{}: {} names no file for tensor '{}'", where, kIndex,
                                          tensor.substr(0, 200)));
    }
    files.insert(file.get<std::string>());
  }
  return std::vector<std::string>(files.begin(), files.end());
}

}  // namespace

std::vector<std::string> gguf_models(const std::set<std::string>& paths) {
  std::set<std::string> models;
  for (const std::string& path : paths) {
    if (path.ends_with(".gguf")) models.insert(gguf_parts(path)[0]);
  }
  return {models.begin(), models.end()};
}

Result<ModelFiles> choose_model_files(const std::set<std::string>& paths, const std::string& wanted,
                                      const std::function<Result<std::string>()>& read_index,
                                      const std::string& where) {
  ModelFiles files;
  std::vector<std::string> weights;
  std::string folder;
  const std::vector<std::string> ggufs = gguf_models(paths);
  if (!wanted.empty() || (!ggufs.empty() && !paths.contains(kIndex) && !paths.contains(kWeights))) {
    if (ggufs.empty()) {
      return invalid_argument(
          fmt::format("'{}' is not a GGUF file of {}, which has none", wanted, where));
    }
    LOOPLM_ASSIGN_OR_RETURN(files.gguf, choose_gguf(ggufs, wanted, where));
    weights = gguf_parts(files.gguf);
    folder = folder_of(files.gguf);
    for (const std::string& beside : {gguf_gate_file(files.gguf), gguf_guess_file(files.gguf)}) {
      if (paths.contains(beside)) files.needed.push_back(beside);
    }
  } else if (paths.contains(kIndex)) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string index, read_index());
    LOOPLM_ASSIGN_OR_RETURN(weights, weights_of_index(index, where));
    files.needed = {kConfig, kIndex};
  } else if (paths.contains(kWeights)) {
    files.needed = {kConfig};
    weights = {kWeights};
  } else if (paths.contains(kAdapterConfig)) {
    files.needed = {kAdapterConfig};
    weights = {kAdapterWeights};
  } else {
    std::string others;
    for (const std::string& path : paths) {
      if (path.ends_with(".bin") || path.ends_with(".pt") || path.ends_with(".pth") ||
          path.ends_with(".safetensors")) {
        others += (others.empty() ? "; it has " : ", ") + path;
      }
    }
    return not_found(fmt::format("{} has no weights that looplm reads ({} or a GGUF file){}", where,
                                 kWeights, others.substr(0, 500)));
  }
  for (const char* companion : kCompanions) {
    if (paths.contains(folder + companion)) files.needed.push_back(folder + companion);
  }
  for (const std::string& path : paths) {
    const bool more = path.starts_with(folder + "additional_chat_templates/");
    if (more && path.ends_with(".jinja")) files.needed.push_back(path);
  }
  files.needed.insert(files.needed.end(), weights.begin(), weights.end());
  for (const std::string& path : files.needed) {
    if (!paths.contains(path)) {
      return not_found(fmt::format("{} has no '{}', which the model needs", where, path));
    }
  }
  return files;
}

}  // namespace looplm
