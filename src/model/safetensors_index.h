// model.safetensors.index.json: which shard file holds which tensor.
#ifndef LOOPLM_MODEL_SAFETENSORS_INDEX_H_
#define LOOPLM_MODEL_SAFETENSORS_INDEX_H_

#include <cstdint>
#include <map>
#include <string>

#include "looplm/status.h"

namespace looplm {

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kWeightsIndexFile = "model.safetensors.index.json";

using WeightMap = std::map<std::string, std::string>;  // tensor name to file name

// Every file name is a plain name of letters, digits, '.', '_' and '-' that ends in ".safetensors",
// so that it cannot lead out of the directory.
Result<WeightMap> parse_safetensors_index(const std::string& text, const std::string& what);
std::string safetensors_index_text(const WeightMap& map, uint64_t total_bytes);

// "model-00002-of-00003.safetensors" for index 1 of 3.
std::string shard_file_name(size_t index, size_t count);

}  // namespace looplm

#endif  // LOOPLM_MODEL_SAFETENSORS_INDEX_H_
