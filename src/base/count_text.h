// "1 document", "3 documents".
#ifndef LOOPLM_BASE_COUNT_TEXT_H_
#define LOOPLM_BASE_COUNT_TEXT_H_

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace looplm {

// `plural` is needed only where it is more than an added s.
template <typename Count>
std::string count_text(Count count, std::string_view one, std::string_view plural = {}) {
  if (count == 1) return fmt::format("1 {}", one);
  return plural.empty() ? fmt::format("{} {}s", count, one) : fmt::format("{} {}", count, plural);
}

}  // namespace looplm

#endif  // LOOPLM_BASE_COUNT_TEXT_H_
