// The metadata of a GGUF file: named, typed values.
#ifndef LOOPLM_MODEL_GGUF_VALUE_H_
#define LOOPLM_MODEL_GGUF_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// With the format's own numbers.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// A list, left where it is in the file: a vocabulary is a list of 49,152 strings that nobody may
// ask for.
struct GgufArray {
  GgufType element = GgufType::kUint8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;
};

// Integers of all widths are widened to 64 bits, float32 to double.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

// Strings and lists point into the file's bytes.
using GgufMetadata = std::map<std::string, GgufValue, std::less<>>;

// "4", "'ouro'" or "a list of 12", shortened, for messages.
std::string gguf_value_text(const GgufValue& value);

// Look-ups. A missing key yields `absent`, or is an error where that is nullopt; so is a value of
// another type or out of range.
Result<int64_t> gguf_int(const GgufMetadata& metadata, const std::string& key,
                         std::optional<int64_t> absent, int64_t min, int64_t max);
Result<double> gguf_number(const GgufMetadata& metadata, const std::string& key,
                           std::optional<double> absent, double min, double max);
Result<bool> gguf_bool(const GgufMetadata& metadata, const std::string& key, bool absent);
Result<std::string> gguf_string(const GgufMetadata& metadata, const std::string& key,
                                std::optional<std::string> absent);

// The elements of a list of strings, which point into the file, or of 32-bit integers.
Result<std::vector<std::string_view>> gguf_strings(const GgufMetadata& metadata,
                                                   const std::string& key);
Result<std::vector<int64_t>> gguf_ints(const GgufMetadata& metadata, const std::string& key);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_VALUE_H_
