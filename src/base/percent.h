// Percent-encoding, as in addresses and in references inside JSON schemas.
#ifndef LOOPLM_BASE_PERCENT_H_
#define LOOPLM_BASE_PERCENT_H_

#include <charconv>
#include <string>
#include <string_view>

namespace looplm {

// "%41+b" is "A+b"; a percent sign without two hexadecimal digits stays.
inline std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
            text.data() + i + 3) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace looplm

#endif  // LOOPLM_BASE_PERCENT_H_
