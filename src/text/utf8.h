// UTF-8: what is whole, what is broken, and what may still become whole.
#ifndef LOOPLM_TEXT_UTF8_H_
#define LOOPLM_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// What starts at the front of a non-empty text.
struct Utf8Step {
  enum class Kind {
    kCharacter,  // a whole character of `size` bytes
    kBroken,  // `size` bytes that no continuation can save: one maximal subpart (Unicode 3.9, D93b)
    kIncomplete,  // all `size` bytes left are the beginning of a character
  };
  Kind kind;
  size_t size;
};
Utf8Step utf8_step(std::string_view text);

// The code point of a whole character.
uint32_t utf8_decode(std::string_view character);
void utf8_append(std::string& text, uint32_t code_point);

bool is_utf8(std::string_view text);
// Where the first broken part of `text` begins, at the end too; text.size(): there is none.
size_t first_broken_utf8(std::string_view text);
// An error for a text in another encoding: the first byte that is not UTF-8, its line and its place
// in the text, or UTF-16 or UTF-32 where the text begins with their byte order mark. Reading such a
// text through repair_utf8 would put U+FFFD in place of what it says.
Status check_utf8(std::string_view text);
// `text` with every broken part, also at the end, replaced by U+FFFD.
std::string repair_utf8(std::string_view text);
// Moves everything that is decided from `pending` to the end of `out`, broken parts as U+FFFD; what
// may still become a character stays.
void take_decided_utf8(std::string& pending, std::string& out);

}  // namespace looplm

#endif  // LOOPLM_TEXT_UTF8_H_
