#include "chat/jinja/characters.h"

#include <algorithm>

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "text/utf8.h"

namespace looplm::jinja {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool has(uint32_t c, UProperty property) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), property) != 0;
}

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
}

}  // namespace

size_t count_characters(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), continues));
}

size_t character_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    ++at;
    while (at < text.size() && continues(text[at])) ++at;
  }
  return at;
}

uint32_t next_character(std::string_view text, size_t& at) {
  const size_t size = utf8_step(text.substr(at)).size;
  const uint32_t c = utf8_decode(text.substr(at, size));
  at += size;
  return c;
}

size_t previous_character(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && continues(text[begin])) --begin;
  return begin;
}

bool is_space(uint32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_line_break(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_printable(uint32_t c) {
  if (c < 0x80) return c >= 0x20 && c != 0x7F;
  constexpr uint32_t kHidden = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK | U_GC_CO_MASK |
                               U_GC_CN_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_ZS_MASK;
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & kHidden) == 0;
}

bool is_alpha(uint32_t c) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_L_MASK) != 0; }
bool is_decimal(uint32_t c) {
  return u_charType(static_cast<UChar32>(c)) == U_DECIMAL_DIGIT_NUMBER;
}

bool is_digit(uint32_t c) {
  const int32_t type = u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}

bool is_numeric_character(uint32_t c) {
  return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

bool is_upper(uint32_t c) { return has(c, UCHAR_UPPERCASE); }
bool is_lower(uint32_t c) { return has(c, UCHAR_LOWERCASE); }
bool is_title(uint32_t c) { return u_charType(static_cast<UChar32>(c)) == U_TITLECASE_LETTER; }
bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

std::string with_case(std::string_view text, Case which) {
  std::string out(text);
  if (is_ascii(text)) {
    const char first = which == Case::kUpper ? 'a' : 'A';
    for (char& c : out) {
      if (c >= first && c < first + 26) c = static_cast<char>(c ^ 0x20);
    }
    return out;
  }
  icu::UnicodeString wide = from_utf8(text);
  if (which == Case::kUpper) wide.toUpper(icu::Locale::getRoot());
  if (which == Case::kLower) wide.toLower(icu::Locale::getRoot());
  if (which == Case::kFold) wide.foldCase();
  out.clear();
  return wide.toUTF8String(out);
}

std::string title_character(std::string_view character) {
  if (is_ascii(character)) return with_case(character, Case::kUpper);
  std::string out;
  return from_utf8(character).toTitle(nullptr, icu::Locale::getRoot()).toUTF8String(out);
}

}  // namespace looplm::jinja
