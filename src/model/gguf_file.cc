// GGUF files on disk, whole or split.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/gguf_name.h"
#include "model/gguf.h"

namespace looplm {
namespace {

constexpr const char* kNumberKey = "split.no";
constexpr const char* kCountKey = "split.count";
constexpr const char* kTensorsKey = "split.tensors.count";
constexpr int64_t kMaxParts = 65535;  // the keys are 16 bits wide

// Of a file that is not split: 1.
Result<int64_t> part_count(const GgufMetadata& metadata) {
  LOOPLM_ASSIGN_OR_RETURN(const int64_t count, gguf_int(metadata, kCountKey, 0, 0, kMaxParts));
  return std::max<int64_t>(count, 1);
}

// Whether the keys fit the part's place among the others.
Status check_part(const GgufHeader& part, int64_t index, int64_t count) {
  const GgufMetadata& metadata = part.metadata;
  LOOPLM_ASSIGN_OR_RETURN(const int64_t stated, part_count(metadata));
  if (stated != count) {
    return invalid_argument(
        fmt::format("key '{}' is {}; expected {} as in the first part", kCountKey, stated, count));
  }
  const std::optional<int64_t> absent = count == 1 ? std::optional<int64_t>(0) : std::nullopt;
  LOOPLM_ASSIGN_OR_RETURN(const int64_t number,
                          gguf_int(metadata, kNumberKey, absent, 0, kMaxParts));
  if (number != index) {
    return invalid_argument(fmt::format("key '{}' is {}; expected {} in part {} of {}", kNumberKey,
                                        number, index, index + 1, count));
  }
  return {};
}

}  // namespace

Result<std::vector<GgufTensor>> join_gguf_parts(const std::vector<GgufHeader>& parts,
                                                const std::vector<std::string>& names) {
  std::vector<GgufTensor> tensors;
  std::unordered_map<std::string, size_t> part_of;
  for (size_t part = 0; part < parts.size(); ++part) {
    LOOPLM_RETURN_IF_ERROR(
        check_part(parts[part], static_cast<int64_t>(part), static_cast<int64_t>(parts.size()))
            .with_context(names[part]));
    for (const GgufTensor& tensor : parts[part].tensors) {
      const auto [place, is_new] = part_of.emplace(tensor.name, part);
      if (!is_new) {
        return invalid_argument(fmt::format("tensor '{}' is in '{}' and in '{}'", tensor.name,
                                            names[place->second], names[part]));
      }
      tensors.push_back(tensor);
      tensors.back().part = part;
    }
  }
  const auto found = static_cast<int64_t>(tensors.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    Result<int64_t> stated = gguf_int(parts[part].metadata, kTensorsKey, found, 0, INT32_MAX);
    if (!stated.ok()) return stated.status().with_context(names[part]);
    if (*stated == found) continue;
    return invalid_argument(fmt::format("{}: key '{}' is {}; the {} part(s) hold {} tensors",
                                        names[part], kTensorsKey, *stated, parts.size(), found));
  }
  return tensors;
}

Status GgufFile::add_part(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  LOOPLM_ASSIGN_OR_RETURN(GgufHeader header, parse_gguf(file.bytes(), path));
  files_.push_back(std::move(file));
  headers_.push_back(std::move(header));
  return {};
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  GgufFile result;
  LOOPLM_RETURN_IF_ERROR(result.add_part(path));
  Result<int64_t> count = part_count(result.metadata());
  if (!count.ok()) return count.status().with_context(path);
  const std::string stem = gguf_model_stem(path);
  if (*count > 1 && path != gguf_part_path(stem, 1, *count)) {
    return invalid_argument(
        fmt::format("'{}' is one of {} parts; expected the first of them, {}, with the others "
                    "beside it",
                    path, *count, gguf_part_path("NAME", 1, *count)));
  }
  for (int64_t part = 1; part < *count; ++part) {
    LOOPLM_RETURN_IF_ERROR(result.add_part(gguf_part_path(stem, part + 1, *count))
                               .with_context(fmt::format("part {} of {}", part + 1, *count)));
  }
  LOOPLM_ASSIGN_OR_RETURN(result.tensors_, join_gguf_parts(result.headers_, result.paths()));
  for (size_t i = 0; i < result.tensors_.size(); ++i) {
    result.places_.emplace(result.tensors_[i].name, i);
  }
  return result;
}

std::vector<std::string> GgufFile::paths() const {
  std::vector<std::string> paths;
  for (const MappedFile& file : files_) paths.push_back(file.path());
  return paths;
}

void GgufFile::release_pages() const {
  for (const MappedFile& file : files_) file.release_pages();
}

const GgufTensor* GgufFile::find(const std::string& name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : &tensors_[place->second];
}

}  // namespace looplm
