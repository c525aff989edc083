// Characters as Python's str counts, classes and changes them.
#ifndef LOOPLM_CHAT_JINJA_CHARACTERS_H_
#define LOOPLM_CHAT_JINJA_CHARACTERS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace looplm::jinja {

// All texts here are valid UTF-8; positions are bytes unless they say characters.
size_t count_characters(std::string_view text);
// The byte at which character `index` starts; the text's size if it has fewer characters.
size_t character_offset(std::string_view text, size_t index);
// The character that starts at byte `at`; `at` moves behind it.
uint32_t next_character(std::string_view text, size_t& at);
// The start of the character that ends at byte `end`.
size_t previous_character(std::string_view text, size_t end);

bool is_space(uint32_t c);  // str.isspace, str.strip, \s
bool is_line_break(uint32_t c);
bool is_printable(uint32_t c);  // str.isprintable
bool is_alpha(uint32_t c);
bool is_decimal(uint32_t c);
bool is_digit(uint32_t c);
bool is_numeric_character(uint32_t c);
bool is_upper(uint32_t c);
bool is_lower(uint32_t c);
bool is_title(uint32_t c);
bool is_cased(uint32_t c);

enum class Case { kUpper, kLower, kFold };
std::string with_case(std::string_view text, Case which);
// One character as the first of a word.
std::string title_character(std::string_view character);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_CHARACTERS_H_
