// "42s", "3m05s", "2h07m".
#ifndef LOOPLM_COMMON_DURATION_TEXT_H_
#define LOOPLM_COMMON_DURATION_TEXT_H_

#include <cmath>
#include <cstdint>
#include <string>

#include <fmt/format.h>

namespace looplm::cli {

inline std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
}

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_DURATION_TEXT_H_
