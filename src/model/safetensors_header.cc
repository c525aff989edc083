#include "model/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/check.h"
#include "base/json.h"

namespace looplm {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr size_t kMaxRank = 16;
constexpr const char* kMetadataKey = "__metadata__";

// Bits per element of every dtype of the format; nothing for names that are newer than this list.
std::optional<uint64_t> dtype_bits(const std::string& dtype) {
  static const std::map<std::string, uint64_t> bits = {
      {"BOOL", 8},    {"U8", 8},   {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16},
      {"U16", 16},    {"F16", 16}, {"BF16", 16},   {"I32", 32},    {"U32", 32},
      {"F32", 32},    {"F64", 64}, {"I64", 64},    {"U64", 64},    {"C64", 64}};
  const auto found = bits.find(dtype);
  return found == bits.end() ? std::nullopt : std::optional<uint64_t>(found->second);
}

bool has_control_characters(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// The product in the order in which element_count multiplies, so that it cannot overflow later.
std::optional<int64_t> checked_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return count;
}

bool is_offset(const Json& value) {
  return value.is_number_unsigned() &&
         value.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
}

Status wrong_entry(const std::string& what, const Json& value, const std::string& expected) {
  return invalid_argument(fmt::format("{} is {}; expected {}", what, shown_json(value), expected));
}

Status read_shape(const Json& value, StoredTensor& tensor) {
  if (!value.is_array() || value.size() > kMaxRank) {
    return wrong_entry("'shape'", value, fmt::format("a list of at most {} sizes", kMaxRank));
  }
  for (const Json& size : value) {
    if (!is_offset(size)) {
      return wrong_entry("'shape'", value, "sizes from 0 to 2^63 - 1");
    }
    tensor.shape.push_back(size.get<int64_t>());
  }
  if (!checked_count(tensor.shape).has_value()) {
    return invalid_argument(
        fmt::format("shape {} has more than 2^63 - 1 elements", shape_text(tensor.shape)));
  }
  return {};
}

Status read_offsets(const Json& value, uint64_t data_bytes, StoredTensor& tensor) {
  if (!value.is_array() || value.size() != 2 || !is_offset(value[0]) || !is_offset(value[1])) {
    return wrong_entry("'data_offsets'", value, "a pair of offsets");
  }
  tensor.begin = value[0].get<uint64_t>();
  tensor.end = value[1].get<uint64_t>();
  if (tensor.begin > tensor.end || tensor.end > data_bytes) {
    return invalid_argument(
        fmt::format("'data_offsets' are [{}, {}]; expected 0 <= begin <= end <= {}, the size of "
                    "the file's data",
                    tensor.begin, tensor.end, data_bytes));
  }
  return {};
}

// The data has as many bytes as shape and dtype say.
Status check_size(const StoredTensor& tensor) {
  const std::optional<uint64_t> bits = dtype_bits(tensor.dtype);
  if (!bits.has_value()) return {};
  const auto count = static_cast<uint64_t>(element_count(tensor.shape));
  uint64_t total = 0;
  if (__builtin_mul_overflow(count, *bits, &total) || total % 8 != 0 ||
      total / 8 != tensor.end - tensor.begin) {
    return invalid_argument(fmt::format("{} bytes of data do not fit {} {}",
                                        tensor.end - tensor.begin, tensor.dtype,
                                        shape_text(tensor.shape)));
  }
  return {};
}

Status read_tensor(const Json& value, uint64_t data_bytes, StoredTensor& tensor) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets")) {
    return wrong_entry("it", value, "an object with 'dtype', 'shape' and 'data_offsets'");
  }
  const Json& dtype = value["dtype"];
  if (!dtype.is_string() || has_control_characters(dtype.get_ref<const std::string&>())) {
    return wrong_entry("'dtype'", dtype, "a name");
  }
  tensor.dtype = dtype.get<std::string>();
  LOOPLM_RETURN_IF_ERROR(read_shape(value["shape"], tensor));
  LOOPLM_RETURN_IF_ERROR(read_offsets(value["data_offsets"], data_bytes, tensor));
  return check_size(tensor);
}

// The reference library reads null as none; it refuses null as a value inside, as this does.
Status read_metadata(const Json& value, SafetensorsMetadata& metadata) {
  if (value.is_null()) return {};
  if (!value.is_object()) return wrong_entry("'__metadata__'", value, "an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return wrong_entry("'__metadata__." + key + "'", text, "a string");
    metadata[key] = text.get<std::string>();
  }
  return {};
}

// Sorts by place and checks that the data is covered exactly once.
Status check_coverage(std::vector<StoredTensor>& tensors, uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.begin != covered) {
      return invalid_argument(
          fmt::format("tensor '{}': data begins at {} but the data before it "
                      "ends at {}; {}",
                      tensor.name, tensor.begin, covered,
                      tensor.begin < covered ? "they overlap" : "there is a hole"));
    }
    covered = tensor.end;
  }
  if (covered != data_bytes) {
    return invalid_argument(
        fmt::format("{} bytes after the last tensor's data", data_bytes - covered));
  }
  return {};
}

// Where the JSON ends, from the file's first bytes.
Result<uint64_t> read_data_begin(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return invalid_argument(
        fmt::format("{} bytes are too few for a safetensors file", file.size()));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeaderBytes) {
    return invalid_argument(
        fmt::format("header length {}; expected at most {} (is this a "
                    "safetensors file?)",
                    length, kMaxSafetensorsHeaderBytes));
  }
  if (length > file.size() - kLengthBytes) {
    return invalid_argument(
        fmt::format("header length {}, but only {} bytes follow; the file is "
                    "cut short",
                    length, file.size() - kLengthBytes));
  }
  if (length == 0 || file[kLengthBytes] != std::byte{'{'}) {
    return invalid_argument("the header does not begin with '{'");
  }
  return kLengthBytes + length;
}

Result<SafetensorsHeader> parse(std::span<const std::byte> file) {
  SafetensorsHeader header;
  LOOPLM_ASSIGN_OR_RETURN(header.data_begin, read_data_begin(file));
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              header.data_begin - kLengthBytes);
  LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(text, "header"));
  const uint64_t data_bytes = file.size() - header.data_begin;
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadataKey) {
      LOOPLM_RETURN_IF_ERROR(read_metadata(value, header.metadata));
      continue;
    }
    if (name.empty() || has_control_characters(name)) {
      return wrong_entry("a tensor's name", name, "one without control characters");
    }
    StoredTensor tensor;
    tensor.name = name;
    LOOPLM_RETURN_IF_ERROR(
        read_tensor(value, data_bytes, tensor).with_context(fmt::format("tensor '{}'", name)));
    header.tensors.push_back(std::move(tensor));
  }
  LOOPLM_RETURN_IF_ERROR(check_coverage(header.tensors, data_bytes));
  return header;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file,
                                                   const std::string& what) {
  Result<SafetensorsHeader> header = parse(file);
  if (!header.ok()) return header.status().with_context(what);
  return header;
}

Result<TensorView> stored_tensor_view(const SafetensorsHeader& header, const StoredTensor& tensor,
                                      std::span<const std::byte> file, const std::string& what) {
  LOOPLM_CHECK(header.data_begin + tensor.end <= file.size());
  const std::optional<DType> dtype = dtype_from_name(tensor.dtype);
  if (!dtype.has_value()) {
    return unsupported(fmt::format("{}: tensor '{}' has dtype {}; looplm reads F32, BF16 and F16",
                                   what, tensor.name, tensor.dtype));
  }
  const uint64_t place = header.data_begin + tensor.begin;
  if (place % dtype_size(*dtype) != 0) {
    return unsupported(fmt::format(
        "{}: tensor '{}' begins at byte {}, which is not a multiple of its element size {}", what,
        tensor.name, place, dtype_size(*dtype)));
  }
  return TensorView{*dtype, tensor.shape, file.data() + place};
}

std::string safetensors_header_text(const std::vector<TensorDeclaration>& tensors,
                                    const SafetensorsMetadata& metadata) {
  OrderedJson json = OrderedJson::object();
  if (!metadata.empty()) json[kMetadataKey] = metadata;
  uint64_t begin = 0;
  std::set<std::string> names;
  for (const TensorDeclaration& tensor : tensors) {
    LOOPLM_CHECK(names.insert(tensor.name).second, "tensor '{}' declared twice", tensor.name);
    LOOPLM_CHECK(begin % dtype_size(tensor.dtype) == 0, "tensor '{}' is not aligned", tensor.name);
    const uint64_t end = begin + tensor.bytes();
    json[tensor.name] = {{"dtype", dtype_name(tensor.dtype)},
                         {"shape", tensor.shape},
                         {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = dump_json(json);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string result(kLengthBytes, '\0');
  std::memcpy(result.data(), &length, kLengthBytes);
  return result + text;
}

}  // namespace looplm
