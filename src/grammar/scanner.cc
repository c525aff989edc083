#include "grammar/scanner.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "text/utf8.h"

namespace looplm {

Result<uint32_t> Scanner::character() {
  if (at_end()) return error("ends too soon");
  const Utf8Step step = utf8_step(text_.substr(place_));
  if (step.kind != Utf8Step::Kind::kCharacter) return error("holds a byte that is not UTF-8");
  const uint32_t c = utf8_decode(text_.substr(place_, step.size));
  skip(step.size);
  return c;
}

Result<uint32_t> Scanner::hexadecimal(int digits) {
  const std::string_view part = text_.substr(place_, static_cast<size_t>(digits));
  uint32_t value = 0;
  const auto [stopped, failed] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
  if (failed != std::errc() || stopped != part.data() + digits) {
    return error(fmt::format("expected {} hexadecimal digits", digits));
  }
  skip(static_cast<size_t>(digits));
  return value;
}

Result<std::optional<int64_t>> Scanner::number(int64_t most) {
  const std::string_view rest = text_.substr(place_);
  int64_t value = 0;
  const auto [stopped, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (failed == std::errc::invalid_argument) return std::optional<int64_t>();
  if (failed != std::errc() || value < 0 || value > most) {
    return error(fmt::format("has a number above {}", most));
  }
  skip(static_cast<size_t>(stopped - rest.data()));
  return std::optional<int64_t>(value);
}

Status Scanner::error(const std::string& message) const {
  const std::string_view before = text_.substr(0, std::min(place_, text_.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  return invalid_argument(
      line == 1 && text_.find('\n') == std::string_view::npos
          ? fmt::format("{}, character {}: {}", what_, column, message)
          : fmt::format("{}, line {}, column {}: {}", what_, line, column, message));
}

}  // namespace looplm
