#include "base/gguf_name.h"

#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/file.h"

namespace looplm {
namespace {

constexpr std::string_view kEnding = ".gguf";

// Of "x-00002-of-00003.gguf": "x", 2 and 3.
struct Part {
  std::string stem;
  int64_t number = 0;
  int64_t count = 0;
};

std::optional<Part> part_of(const std::string& path) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (path.size() <= kShape.size() || !path.ends_with(kEnding)) return std::nullopt;
  const size_t begin = path.size() - kShape.size();
  const auto number = [&](size_t at) -> int64_t {
    int64_t value = 0;
    const char *first = path.data() + begin + at, *end = first + 5;
    const auto [stopped, error] = std::from_chars(first, end, value);
    return error == std::errc() && stopped == end ? value : 0;
  };
  const Part part{path.substr(0, begin), number(1), number(10)};
  const bool fits = path[begin] == '-' && path.substr(begin + 6, 4) == "-of-";
  if (!fits || part.number < 1 || part.count < part.number) return std::nullopt;
  return part;
}

}  // namespace

bool is_gguf_model(const std::string& path) {
  return file_exists(path) || (path.ends_with(kEnding) && !is_directory(path));
}

std::string gguf_model_stem(const std::string& path) {
  if (const std::optional<Part> part = part_of(path)) return part->stem;
  return path.ends_with(kEnding) ? path.substr(0, path.size() - kEnding.size()) : path;
}

std::string gguf_part_path(const std::string& stem, int64_t number, int64_t count) {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, number, count, kEnding);
}

std::vector<std::string> gguf_parts(const std::string& path) {
  const std::optional<Part> part = part_of(path);
  if (!part) return {path};
  std::vector<std::string> parts;
  for (int64_t i = 1; i <= part->count; ++i) {
    parts.push_back(gguf_part_path(part->stem, i, part->count));
  }
  return parts;
}

std::string gguf_gate_file(const std::string& path) {
  return gguf_model_stem(path) + ".gate.safetensors";
}

std::string gguf_guess_file(const std::string& path) {
  return gguf_model_stem(path) + ".guess.safetensors";
}

std::string gguf_depth_file(const std::string& path) {
  return gguf_model_stem(path) + ".depth.json";
}

}  // namespace looplm
