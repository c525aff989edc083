// Characters of ASCII, whatever the locale.
#ifndef LOOPLM_EVAL_ASCII_H_
#define LOOPLM_EVAL_ASCII_H_

#include <cstddef>
#include <string_view>

namespace looplm {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Without white space at its ends.
inline std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Whether three digits and no fourth begin the text, so that a mark before them parts thousands.
inline bool begins_with_thousand(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  return digits == 3;
}

}  // namespace looplm

#endif  // LOOPLM_EVAL_ASCII_H_
