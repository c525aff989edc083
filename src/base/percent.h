// Percent-encoding, as in addresses and in references inside JSON schemas (RFC 3986).
#ifndef LOOPLM_BASE_PERCENT_H_
#define LOOPLM_BASE_PERCENT_H_

#include <charconv>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace looplm {

// Everything but letters, digits, "-._~" and slashes as "%41".
inline std::string percent_encoded(std::string_view path) {
  std::string encoded;
  for (const char c : path) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || std::string_view("-._~/").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

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
