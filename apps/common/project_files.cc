#include "common/project_files.h"

#include <filesystem>

#include "base/file.h"

namespace looplm::cli {

std::string program_directory() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : program.parent_path().string();
}

std::vector<std::string> project_places(const std::string& path) {
  std::vector<std::string> places;
  const std::string here = program_directory();
  const auto add = [&](const std::string& place) {
    places.push_back(std::filesystem::path(place).lexically_normal().string());
  };
  if (!here.empty()) {
    add(here + "/" LOOPLM_DATA_FROM_PROGRAM "/" + path);
    add(here + "/../../" + path);
  }
  add(path);
  return places;
}

Result<std::string> project_root() {
  const std::vector<std::string> places = project_places("studies");
  for (const std::string& place : places) {
    if (!is_directory(place)) continue;
    const std::string parent = std::filesystem::path(place).parent_path().string();
    return parent.empty() ? std::string(".") : parent;
  }
  std::string looked;
  for (const std::string& place : places) looked += (looked.empty() ? "" : ", ") + place;
  return not_found("the folder of the studies is missing; looked for " + looked);
}

}  // namespace looplm::cli
