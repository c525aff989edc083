// Foreign texts in messages, shortened.
#ifndef LOOPLM_BASE_SHORTENED_H_
#define LOOPLM_BASE_SHORTENED_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace looplm {

// The first 60 bytes, or a few less so that no UTF-8 character is cut, and "..." where more
// follows.
inline std::string shortened(std::string_view text) {
  constexpr size_t kMost = 60;
  if (text.size() <= kMost) return std::string(text);
  size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace looplm

#endif  // LOOPLM_BASE_SHORTENED_H_
