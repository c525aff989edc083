// Reads characters of a pattern or grammar one by one, and knows where it stands.
#ifndef LOOPLM_GRAMMAR_SCANNER_H_
#define LOOPLM_GRAMMAR_SCANNER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

class Scanner {
 public:
  // `what` begins messages: "the grammar", "pattern '^a'".
  Scanner(std::string_view text, std::string what) : text_(text), what_(std::move(what)) {}

  bool at_end() const { return place_ >= text_.size(); }
  // The next byte; '\0' at the end.
  char peek(size_t ahead = 0) const {
    return place_ + ahead < text_.size() ? text_[place_ + ahead] : '\0';
  }
  bool starts_with(std::string_view s) const { return text_.substr(place_).starts_with(s); }
  void skip(size_t bytes = 1) { place_ += bytes; }
  bool take(std::string_view s) {
    if (!starts_with(s)) return false;
    skip(s.size());
    return true;
  }
  // The next character, decoded from UTF-8; a byte that is not UTF-8 is an error.
  Result<uint32_t> character();
  // So many hexadecimal digits.
  Result<uint32_t> hexadecimal(int digits);
  // The most repetitions that a grammar or a pattern may ask for.
  static constexpr int64_t kMostRepeats = 1'000'000;
  // A decimal number up to `most`; none where no digit stands here.
  Result<std::optional<int64_t>> number(int64_t most);

  // "the grammar, line 2, column 7: expected ...".
  Status error(const std::string& message) const;

 private:
  std::string_view text_;
  std::string what_;
  size_t place_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_SCANNER_H_
