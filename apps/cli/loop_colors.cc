#include "cli/loop_colors.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

namespace looplm::cli {
namespace {

// Indices into the 256-colour palette that are readable on black and on white.
constexpr std::array<int, 7> kRamp = {33, 37, 35, 106, 178, 208, 197};

}  // namespace

Option* add_color_option(Command& command, std::string& when, const std::string& help) {
  return command.add_option("--color", when, help)
      ->check(one_of({"auto", "always", "never"}))
      ->capture_default_str();
}

bool use_colors(std::string_view when) {
  if (when != "auto") return when == "always";
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  const bool is_dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  return !is_dumb && ::isatty(STDOUT_FILENO) == 1;
}

std::string LoopColors::paint(std::string_view text, int64_t loops) const {
  if (!enabled_ || text.empty()) return std::string(text);
  const auto steps = static_cast<int64_t>(kRamp.size()) - 1;
  const int64_t last = std::max<int64_t>(1, max_loops_ - 1);
  const int64_t step = std::clamp<int64_t>((loops - 1) * steps / last, 0, steps);
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) {
      out += fmt::format("\x1b[38;5;{}m{}\x1b[0m", kRamp[static_cast<size_t>(step)],
                         text.substr(0, end));
    }
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string LoopColors::legend() const {
  std::string line = "loops:";
  // A model with many loops: about eight marks along the ramp.
  const int64_t stride = (max_loops_ + 7) / 8;
  for (int64_t loops = 1; loops <= max_loops_; loops += stride) {
    line += ' ' + paint(std::to_string(loops), loops);
  }
  return line;
}

}  // namespace looplm::cli
