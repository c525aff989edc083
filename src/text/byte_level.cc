#include "text/byte_level.h"

#include "text/utf8.h"

namespace looplm {

ByteLevel::ByteLevel() {
  bytes_.fill(-1);
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    characters_[byte] = printable ? byte : next++;
    bytes_[characters_[byte]] = static_cast<int16_t>(byte);
  }
}

std::string ByteLevel::text_of(std::string_view bytes) const {
  std::string text;
  for (char byte : bytes) utf8_append(text, characters_[static_cast<unsigned char>(byte)]);
  return text;
}

std::optional<std::string> ByteLevel::bytes_of(std::string_view text) const {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.kind != Utf8Step::Kind::kCharacter) return std::nullopt;
    const uint32_t c = utf8_decode(text.substr(0, step.size));
    if (c >= bytes_.size() || bytes_[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(bytes_[c]));
    text.remove_prefix(step.size);
  }
  return bytes;
}

}  // namespace looplm
