#include "model/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "model/gguf_reader.h"

namespace looplm {
namespace {

constexpr const char* kAlignmentKey = "general.alignment";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;
constexpr uint32_t kMaxRank = 4;
// The least that an entry takes in the file, by which counts are checked: a name's length and a
// letter of it, then type and value, or rank, type and offset.
constexpr uint64_t kMinValueBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

// The shape, of which every row is whole blocks, and the size of the data.
Status read_shape(GgufReader& reader, GgufTensor& tensor, Shape& sizes) {
  LOOPLM_ASSIGN_OR_RETURN(const uint32_t rank, reader.number<uint32_t>());
  if (rank > kMaxRank) {
    return invalid_argument(fmt::format("{} dimensions; expected at most {}", rank, kMaxRank));
  }
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    LOOPLM_ASSIGN_OR_RETURN(const int64_t size, reader.number<int64_t>());
    if (size < 1)
      return invalid_argument(fmt::format("dimension {} is {}; expected 1 or more", i, size));
    if (__builtin_mul_overflow(count, size, &count)) {
      return invalid_argument("more than 2^63 - 1 elements");
    }
    sizes.push_back(size);
  }
  tensor.shape.assign(sizes.rbegin(), sizes.rend());
  return {};
}

Status read_tensor(GgufReader& reader, GgufTensor& tensor) {
  Shape sizes;
  LOOPLM_RETURN_IF_ERROR(read_shape(reader, tensor, sizes));
  LOOPLM_ASSIGN_OR_RETURN(const uint32_t code, reader.number<uint32_t>());
  LOOPLM_ASSIGN_OR_RETURN(tensor.begin, reader.number<uint64_t>());
  const std::optional<GgmlType> type = ggml_type_from_code(code);
  if (!type.has_value()) {
    return unsupported(
        fmt::format("is {}; looplm reads {}", ggml_type_text(code), ggml_types_text()));
  }
  tensor.type = *type;
  const GgmlBlock block = ggml_block(*type);
  const int64_t row = sizes.empty() ? 1 : sizes[0];
  if (row % block.elements != 0) {
    return invalid_argument(fmt::format("rows of {} elements are {}; expected a multiple of {}",
                                        row, block.name, block.elements));
  }
  const int64_t blocks = element_count(tensor.shape) / block.elements;
  if (__builtin_mul_overflow(static_cast<uint64_t>(blocks), static_cast<uint64_t>(block.bytes),
                             &tensor.bytes)) {
    return invalid_argument("more than 2^64 - 1 bytes");
  }
  return {};
}

Status read_tensors(GgufReader& reader, uint64_t count, std::vector<GgufTensor>& tensors) {
  std::set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor tensor;
    Result<std::string> name = reader.name();
    if (!name.ok()) return name.status().with_context(fmt::format("tensor {} of {}", i, count));
    tensor.name = std::move(name).value();
    const std::string context = fmt::format("tensor '{}'", tensor.name);
    LOOPLM_RETURN_IF_ERROR(read_tensor(reader, tensor).with_context(context));
    if (!names.insert(tensor.name).second) return invalid_argument(context + " is listed twice");
    tensors.push_back(std::move(tensor));
  }
  return {};
}

Result<uint64_t> read_alignment(const GgufMetadata& metadata) {
  LOOPLM_ASSIGN_OR_RETURN(
      const int64_t alignment,
      gguf_int(metadata, kAlignmentKey, kDefaultAlignment, 8, int64_t{kMaxAlignment}));
  const auto bytes = static_cast<uint64_t>(alignment);
  if (!std::has_single_bit(bytes)) {
    return invalid_argument(
        fmt::format("key '{}' is {}; expected a power of two", kAlignmentKey, bytes));
  }
  return bytes;
}

// Turns offsets into places in the file and checks them. Less than an alignment may lie between
// two tensors and behind the last.
Status place_tensors(std::vector<GgufTensor>& tensors, uint64_t header_end, uint64_t alignment,
                     uint64_t file_bytes) {
  const uint64_t data_begin = (header_end + alignment - 1) / alignment * alignment;
  if (!tensors.empty() && data_begin > file_bytes) {
    return invalid_argument(fmt::format("the data begins at byte {} of {}; the file is cut short",
                                        data_begin, file_bytes));
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const GgufTensor& a, const GgufTensor& b) { return a.begin < b.begin; });
  uint64_t covered = header_end;
  for (GgufTensor& tensor : tensors) {
    const uint64_t room = file_bytes - data_begin;
    if (tensor.begin % alignment != 0) {
      return invalid_argument(fmt::format("tensor '{}': offset {}; expected a multiple of {}",
                                          tensor.name, tensor.begin, alignment));
    }
    if (tensor.begin > room || tensor.bytes > room - tensor.begin) {
      return invalid_argument(
          fmt::format("tensor '{}': {} bytes at offset {} reach beyond the file's {} bytes of "
                      "data; is the file cut short?",
                      tensor.name, tensor.bytes, tensor.begin, room));
    }
    tensor.begin += data_begin;
    if (tensor.begin < covered || tensor.begin - covered >= alignment) {
      return invalid_argument(fmt::format(
          "tensor '{}': data begins at byte {} but what is before it ends at {}; {}", tensor.name,
          tensor.begin, covered, tensor.begin < covered ? "they overlap" : "there is a hole"));
    }
    covered = tensor.begin + tensor.bytes;
  }
  if (file_bytes - covered >= alignment) {
    return invalid_argument(
        fmt::format("{} bytes after the last tensor's data", file_bytes - covered));
  }
  return {};
}

Result<uint64_t> read_count(GgufReader& reader, const char* thing, uint64_t least_bytes) {
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t count, reader.number<uint64_t>());
  if (count > reader.left() / least_bytes) {
    return invalid_argument(
        fmt::format("{} {}, but only {} bytes follow", count, thing, reader.left()));
  }
  return count;
}

Status read_version(GgufReader& reader, uint32_t& version) {
  LOOPLM_ASSIGN_OR_RETURN(const auto magic, reader.bytes(4));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return invalid_argument(
        "does not begin with 'GGUF'; expected a GGUF file or a model's directory");
  }
  LOOPLM_ASSIGN_OR_RETURN(version, reader.number<uint32_t>());
  if (version == 2 || version == 3) return {};
  const bool swapped = version == 2u << 24 || version == 3u << 24;
  return unsupported(swapped ? "the file is big-endian; expected a little-endian one"
                             : fmt::format("version is {}; expected 2 or 3", version));
}

Result<GgufHeader> parse(std::span<const std::byte> file) {
  GgufReader reader(file);
  GgufHeader header;
  LOOPLM_RETURN_IF_ERROR(read_version(reader, header.version));
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t tensors, read_count(reader, "tensors", kMinTensorBytes));
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t values, read_count(reader, "keys", kMinValueBytes));
  LOOPLM_RETURN_IF_ERROR(read_gguf_metadata(reader, values, header.metadata));
  LOOPLM_RETURN_IF_ERROR(read_tensors(reader, tensors, header.tensors));
  LOOPLM_ASSIGN_OR_RETURN(const uint64_t alignment, read_alignment(header.metadata));
  LOOPLM_RETURN_IF_ERROR(place_tensors(header.tensors, reader.place(), alignment, file.size()));
  return header;
}

}  // namespace

Result<GgufHeader> parse_gguf(std::span<const std::byte> file, const std::string& what) {
  Result<GgufHeader> header = parse(file);
  if (!header.ok()) return header.status().with_context(what);
  return header;
}

}  // namespace looplm
