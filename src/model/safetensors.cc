#include "model/safetensors.h"

#include <set>

#include <fmt/format.h>

#include "model/safetensors_index.h"

namespace looplm {

Result<Safetensors::Shard> Safetensors::open_shard(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  LOOPLM_ASSIGN_OR_RETURN(SafetensorsHeader header, parse_safetensors_header(file.bytes(), path));
  Shard shard{std::move(file), std::move(header)};
  for (size_t i = 0; i < shard.header.tensors.size(); ++i) {
    const StoredTensor& tensor = shard.header.tensors[i];
    const std::optional<DType> dtype = dtype_from_name(tensor.dtype);
    if (!dtype || (shard.header.data_begin + tensor.begin) % dtype_size(*dtype) == 0) continue;
    const auto data = shard.file.bytes().subspan(shard.header.data_begin + tensor.begin,
                                                 tensor.end - tensor.begin);
    shard.copies.emplace(i, std::vector<std::byte>(data.begin(), data.end()));
  }
  return shard;
}

Status Safetensors::add(Shard shard) {
  for (size_t i = 0; i < shard.header.tensors.size(); ++i) {
    const std::string& name = shard.header.tensors[i].name;
    const auto [place, fresh] = places_.try_emplace(name, Place{shards_.size(), i});
    if (!fresh) {
      return invalid_argument(fmt::format("tensor '{}' is in '{}' and in '{}'", name,
                                          shards_[place->second.shard].file.path(),
                                          shard.file.path()));
    }
  }
  shards_.push_back(std::move(shard));
  return {};
}

void Safetensors::collect_names() {
  for (const auto& [name, place] : places_) names_.push_back(name);
}

Result<Safetensors> Safetensors::open(const std::string& path) {
  Safetensors result;
  result.path_ = path;
  std::string file = path;
  if (is_directory(path)) {
    file = path + "/" + kWeightsFile;
    const std::string index = path + "/" + kWeightsIndexFile;
    if (!file_exists(file) && file_exists(index)) return open_sharded(path);
    if (!file_exists(file)) {
      return not_found(
          fmt::format("'{}' holds neither {} nor {}", path, kWeightsFile, kWeightsIndexFile));
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(Shard shard, open_shard(file));
  LOOPLM_RETURN_IF_ERROR(result.add(std::move(shard)));
  result.collect_names();
  return result;
}

Result<Safetensors> Safetensors::open_sharded(const std::string& directory) {
  const std::string index = directory + "/" + kWeightsIndexFile;
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(index));
  LOOPLM_ASSIGN_OR_RETURN(const WeightMap map, parse_safetensors_index(text, index));
  Safetensors result;
  result.path_ = directory;
  const auto path_of = [&](const std::string& file) {
    return fmt::format("{}/{}", directory, file);
  };
  std::set<std::string> files;
  for (const auto& [name, file] : map) files.insert(file);
  for (const std::string& file : files) {
    LOOPLM_ASSIGN_OR_RETURN(Shard shard, open_shard(path_of(file)));
    LOOPLM_RETURN_IF_ERROR(result.add(std::move(shard)).with_context(index));
  }
  for (const auto& [name, file] : map) {
    const auto place = result.places_.find(name);
    if (place == result.places_.end() ||
        result.shards_[place->second.shard].file.path() != path_of(file)) {
      return not_found(fmt::format("{}: tensor '{}' is not in '{}'", index, name, file));
    }
  }
  for (const auto& [name, place] : result.places_) {
    if (!map.contains(name)) {
      return invalid_argument(fmt::format("{}: tensor '{}' in '{}' is not listed", index, name,
                                          result.shards_[place.shard].file.path()));
    }
  }
  result.collect_names();
  return result;
}

Result<TensorView> Safetensors::find(const std::string& name) const {
  const auto place = places_.find(name);
  if (place == places_.end()) {
    return not_found(fmt::format("no tensor '{}' in '{}'", name, path_));
  }
  const Shard& shard = shards_[place->second.shard];
  if (const auto copy = shard.copies.find(place->second.tensor); copy != shard.copies.end()) {
    const StoredTensor& tensor = shard.header.tensors[copy->first];
    return TensorView{*dtype_from_name(tensor.dtype), tensor.shape, copy->second.data()};
  }
  return stored_tensor_view(shard.header, shard.header.tensors[place->second.tensor],
                            shard.file.bytes(), shard.file.path());
}

const SafetensorsMetadata& Safetensors::metadata() const {
  static const SafetensorsMetadata empty;
  return shards_.empty() ? empty : shards_.front().header.metadata;
}

std::vector<std::string> Safetensors::files() const {
  std::vector<std::string> paths;
  for (const Shard& shard : shards_) paths.push_back(shard.file.path());
  return paths;
}

void Safetensors::release_pages() const {
  for (const Shard& shard : shards_) shard.file.release_pages();
}

}  // namespace looplm
