#include "model/safetensors_index.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"

namespace looplm {
namespace {

bool is_plain_shard_name(const std::string& name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return name.ends_with(".safetensors") && !name.starts_with('.') && name.size() <= 255 &&
         std::all_of(name.begin(), name.end(), plain);
}

}  // namespace

Result<WeightMap> parse_safetensors_index(const std::string& text, const std::string& what) {
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(text, what));
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    return invalid_argument(
        fmt::format("{}: expected an object with the object 'weight_map'", what));
  }
  WeightMap map;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string() || !is_plain_shard_name(file.get_ref<const std::string&>())) {
      return invalid_argument(fmt::format(
          "{}: 'weight_map' names the file {}; expected a plain name ending in .safetensors", what,
          shown_json(file)));
    }
    map[tensor] = file.get<std::string>();
  }
  return map;
}

std::string safetensors_index_text(const WeightMap& map, uint64_t total_bytes) {
  OrderedJson json;
  json["metadata"] = {{"total_size", total_bytes}};
  json["weight_map"] = map;
  return dump_json(json, 2) + "\n";
}

std::string shard_file_name(size_t index, size_t count) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

}  // namespace looplm
