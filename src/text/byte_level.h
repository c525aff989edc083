// The byte-level alphabet of GPT-2: every byte written as a printable character, so that a
// vocabulary of byte strings fits in JSON. Bytes 33..126, 161..172 and 174..255 stand for
// themselves; the other 68 are U+0100, U+0101, ... in order (openai/gpt-2, encoder.py).
#ifndef LOOPLM_TEXT_BYTE_LEVEL_H_
#define LOOPLM_TEXT_BYTE_LEVEL_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace looplm {

class ByteLevel {
 public:
  ByteLevel();

  uint32_t character(unsigned char byte) const { return characters_[byte]; }
  std::string text_of(std::string_view bytes) const;
  // The bytes that `text` stands for; nothing when it has a character outside the alphabet.
  std::optional<std::string> bytes_of(std::string_view text) const;

 private:
  std::array<uint32_t, 256> characters_;
  std::array<int16_t, 512> bytes_;  // by code point; -1: none
};

}  // namespace looplm

#endif  // LOOPLM_TEXT_BYTE_LEVEL_H_
