// Reads the parts of a GGUF header one after another, never past the file's end.
#ifndef LOOPLM_MODEL_GGUF_READER_H_
#define LOOPLM_MODEL_GGUF_READER_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "looplm/status.h"

#include "model/gguf_value.h"

namespace looplm {

class GgufReader {
  static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

 public:
  explicit GgufReader(std::span<const std::byte> file) : file_(file) {}

  uint64_t place() const { return place_; }
  uint64_t left() const { return file_.size() - place_; }
  // The bytes between an earlier place and this one.
  std::span<const std::byte> since(uint64_t place) const {
    return file_.subspan(place, place_ - place);
  }

  Result<std::span<const std::byte>> bytes(uint64_t count);

  template <typename T>
  Result<T> number() {
    LOOPLM_ASSIGN_OR_RETURN(const auto raw, bytes(sizeof(T)));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // A length in 8 bytes, then the characters.
  Result<std::string_view> string();

  // A string that is a key or a tensor's name: 1 to 255 bytes, no control characters.
  Result<std::string> name();

 private:
  std::span<const std::byte> file_;
  uint64_t place_ = 0;
};

// Reads `count` keys with their values; a key given twice is an error.
Status read_gguf_metadata(GgufReader& reader, uint64_t count, GgufMetadata& metadata);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_READER_H_
