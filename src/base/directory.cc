#include "base/directory.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace looplm {

Result<uint64_t> file_size(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return io_error(fmt::format("cannot read '{}': {}", path, error.message()));
  return uint64_t{size};
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename().string());
  }
  if (error) return io_error(fmt::format("cannot list '{}': {}", path, error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

bool name_exists(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::symlink_status(path, error).type();
  return type != std::filesystem::file_type::not_found && type != std::filesystem::file_type::none;
}

}  // namespace looplm
