#include "model/gguf_value.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <limits>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {
namespace {

Status missing(const std::string& key, const std::string& expected) {
  return not_found(fmt::format("key '{}' is missing; expected {}", key, expected));
}

Status wrong(const std::string& key, const GgufValue& value, const std::string& expected) {
  return invalid_argument(
      fmt::format("key '{}' is {}; expected {}", key, gguf_value_text(value), expected));
}

// The integer, if it is one that fits.
std::optional<int64_t> as_int(const GgufValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return *number;
  if (const auto* number = std::get_if<uint64_t>(&value)) {
    if (*number <= uint64_t{std::numeric_limits<int64_t>::max()}) {
      return static_cast<int64_t>(*number);
    }
  }
  return std::nullopt;
}

Result<GgufArray> find_list(const GgufMetadata& metadata, const std::string& key,
                            std::initializer_list<GgufType> elements, const char* expected) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return missing(key, expected);
  const auto* list = std::get_if<GgufArray>(&found->second);
  if (list == nullptr) return wrong(key, found->second, expected);
  if (std::find(elements.begin(), elements.end(), list->element) == elements.end()) {
    return wrong(key, found->second,
                 fmt::format("{} (its elements are of another type)", expected));
  }
  return *list;
}

template <typename T>
T take(std::span<const std::byte>& bytes) {
  LOOPLM_CHECK(bytes.size() >= sizeof(T));  // parse_gguf() has walked the list
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

}  // namespace

std::string gguf_value_text(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    constexpr size_t kShown = 60;
    std::string shown;
    for (const char c : text->substr(0, kShown)) {
      shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    return fmt::format("'{}{}'", shown, text->size() > kShown ? "..." : "");
  }
  if (const auto* list = std::get_if<GgufArray>(&value)) {
    return fmt::format("a list of {}", list->count);
  }
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<int64_t>(&value)) return fmt::format("{}", *number);
  return fmt::format("{}", std::get<uint64_t>(value));
}

Result<int64_t> gguf_int(const GgufMetadata& metadata, const std::string& key,
                         std::optional<int64_t> absent, int64_t min, int64_t max) {
  const std::string expected = fmt::format("an integer from {} to {}", min, max);
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    if (absent.has_value()) return *absent;
    return missing(key, expected);
  }
  const std::optional<int64_t> number = as_int(found->second);
  if (!number.has_value() || *number < min || *number > max) {
    return wrong(key, found->second, expected);
  }
  return *number;
}

Result<double> gguf_number(const GgufMetadata& metadata, const std::string& key,
                           std::optional<double> absent, double min, double max) {
  const std::string expected = fmt::format("a number from {} to {}", min, max);
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    if (absent.has_value()) return *absent;
    return missing(key, expected);
  }
  const auto* number = std::get_if<double>(&found->second);
  const std::optional<int64_t> whole = as_int(found->second);
  if (number == nullptr && !whole.has_value()) return wrong(key, found->second, expected);
  const double value = number != nullptr ? *number : static_cast<double>(*whole);
  if (!(value >= min && value <= max)) return wrong(key, found->second, expected);
  return value;
}

Result<bool> gguf_bool(const GgufMetadata& metadata, const std::string& key, bool absent) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return absent;
  const auto* flag = std::get_if<bool>(&found->second);
  if (flag == nullptr) return wrong(key, found->second, "true or false");
  return *flag;
}

Result<std::string> gguf_string(const GgufMetadata& metadata, const std::string& key,
                                std::optional<std::string> absent) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    if (absent.has_value()) return *std::move(absent);
    return missing(key, "a string");
  }
  const auto* text = std::get_if<std::string_view>(&found->second);
  if (text == nullptr) return wrong(key, found->second, "a string");
  return std::string(*text);
}

Result<std::vector<std::string_view>> gguf_strings(const GgufMetadata& metadata,
                                                   const std::string& key) {
  LOOPLM_ASSIGN_OR_RETURN(const GgufArray list,
                          find_list(metadata, key, {GgufType::kString}, "a list of strings"));
  std::vector<std::string_view> out;
  out.reserve(list.count);
  std::span<const std::byte> left = list.bytes;
  for (uint64_t i = 0; i < list.count; ++i) {
    const auto length = take<uint64_t>(left);
    LOOPLM_CHECK(length <= left.size());
    out.emplace_back(reinterpret_cast<const char*>(left.data()), length);
    left = left.subspan(length);
  }
  return out;
}

Result<std::vector<int64_t>> gguf_ints(const GgufMetadata& metadata, const std::string& key) {
  LOOPLM_ASSIGN_OR_RETURN(
      const GgufArray list,
      find_list(metadata, key, {GgufType::kInt32, GgufType::kUint32}, "a list of integers"));
  std::vector<int64_t> out;
  out.reserve(list.count);
  std::span<const std::byte> left = list.bytes;
  for (uint64_t i = 0; i < list.count; ++i) {
    out.push_back(list.element == GgufType::kInt32 ? int64_t{take<int32_t>(left)}
                                                   : int64_t{take<uint32_t>(left)});
  }
  return out;
}

}  // namespace looplm
