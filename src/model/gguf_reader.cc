#include "model/gguf_reader.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace looplm {
namespace {

constexpr uint64_t kMaxNameBytes = 255;

std::string type_text(uint32_t code) {
  constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                    "int32",  "float32", "bool",   "string", "array",
                                    "uint64", "int64",   "float64"};
  return code < std::size(kNames) ? kNames[code] : fmt::format("type {}", code);
}

// 0 for strings and lists.
uint64_t fixed_bytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

template <typename Stored, typename Widened>
Result<GgufValue> read_number(GgufReader& reader) {
  LOOPLM_ASSIGN_OR_RETURN(const Stored value, reader.number<Stored>());
  return GgufValue(static_cast<Widened>(value));
}

Result<GgufType> read_type(GgufReader& reader) {
  LOOPLM_ASSIGN_OR_RETURN(const uint32_t code, reader.number<uint32_t>());
  if (code > static_cast<uint32_t>(GgufType::kFloat64)) {
    return invalid_argument(fmt::format("value type is {}; expected 0 to 12", code));
  }
  return static_cast<GgufType>(code);
}

Result<GgufValue> read_array(GgufReader& reader) {
  GgufArray array;
  LOOPLM_ASSIGN_OR_RETURN(array.element, read_type(reader));
  LOOPLM_ASSIGN_OR_RETURN(array.count, reader.number<uint64_t>());
  const uint64_t element = fixed_bytes(array.element);
  const uint64_t least = element != 0 ? element : sizeof(uint64_t);
  if (array.element == GgufType::kArray) return unsupported("a list of lists");
  if (array.count > reader.left() / least) {
    return invalid_argument(fmt::format("a list of {} {}, but only {} bytes follow", array.count,
                                        type_text(static_cast<uint32_t>(array.element)),
                                        reader.left()));
  }
  const uint64_t begin = reader.place();
  if (element != 0) {
    LOOPLM_RETURN_IF_ERROR(reader.bytes(array.count * element).status());
  } else {
    for (uint64_t i = 0; i < array.count; ++i) LOOPLM_RETURN_IF_ERROR(reader.string().status());
  }
  array.bytes = reader.since(begin);
  return GgufValue(array);
}

Result<GgufValue> read_value(GgufReader& reader) {
  LOOPLM_ASSIGN_OR_RETURN(const GgufType type, read_type(reader));
  switch (type) {
    case GgufType::kUint8:
      return read_number<uint8_t, uint64_t>(reader);
    case GgufType::kInt8:
      return read_number<int8_t, int64_t>(reader);
    case GgufType::kUint16:
      return read_number<uint16_t, uint64_t>(reader);
    case GgufType::kInt16:
      return read_number<int16_t, int64_t>(reader);
    case GgufType::kUint32:
      return read_number<uint32_t, uint64_t>(reader);
    case GgufType::kInt32:
      return read_number<int32_t, int64_t>(reader);
    case GgufType::kFloat32:
      return read_number<float, double>(reader);
    case GgufType::kUint64:
      return read_number<uint64_t, uint64_t>(reader);
    case GgufType::kInt64:
      return read_number<int64_t, int64_t>(reader);
    case GgufType::kFloat64:
      return read_number<double, double>(reader);
    case GgufType::kArray:
      return read_array(reader);
    case GgufType::kBool: {
      LOOPLM_ASSIGN_OR_RETURN(const uint8_t value, reader.number<uint8_t>());
      if (value > 1) return invalid_argument(fmt::format("a bool is {}; expected 0 or 1", value));
      return GgufValue(value == 1);
    }
    case GgufType::kString:
      break;
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string_view text, reader.string());
  return GgufValue(text);
}

}  // namespace

Result<std::span<const std::byte>> GgufReader::bytes(uint64_t count) {
  if (count > left()) {
    return invalid_argument(
        fmt::format("{} bytes are needed at byte {}, but only {} follow; "
                    "the file is cut short",
                    count, place_, left()));
  }
  const auto taken = file_.subspan(place_, count);
  place_ += count;
  return taken;
}

Result<std::string_view> GgufReader::string() {
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t length, number<uint64_t>());
  LOOPLM_ASSIGN_OR_RETURN(const auto raw, bytes(length));
  return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
}

Result<std::string> GgufReader::name() {
  LOOPLM_ASSIGN_OR_RETURN(const std::string_view text, string());
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (text.empty() || text.size() > kMaxNameBytes || !clean) {
    return invalid_argument(fmt::format(
        "a name of {} bytes before byte {}; expected 1 to {} without control characters",
        text.size(), place_, kMaxNameBytes));
  }
  return std::string(text);
}

Status read_gguf_metadata(GgufReader& reader, uint64_t count, GgufMetadata& metadata) {
  for (uint64_t i = 0; i < count; ++i) {
    Result<std::string> key = reader.name();
    if (!key.ok()) return key.status().with_context(fmt::format("key {} of {}", i, count));
    const std::string context = fmt::format("key '{}'", key.value());
    Result<GgufValue> value = read_value(reader);
    if (!value.ok()) return value.status().with_context(context);
    if (!metadata.emplace(std::move(key).value(), std::move(value).value()).second) {
      return invalid_argument(context + " is given twice");
    }
  }
  return {};
}

}  // namespace looplm
