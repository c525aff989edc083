// Tokens coloured by how many loops they took.
#ifndef LOOPLM_CLI_LOOP_COLORS_H_
#define LOOPLM_CLI_LOOP_COLORS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/command.h"

namespace looplm::cli {

// "always", "never", or "auto": when standard output is a terminal that is not dumb, and NO_COLOR
// (no-color.org) is unset or empty.
bool use_colors(std::string_view when);
// --color, which takes these.
Option* add_color_option(
    Command& command, std::string& when,
    const std::string& help = "Colours: auto (at a terminal), always or never");

// A ramp from blue (one loop) over green and yellow to red (max_loops).
class LoopColors {
 public:
  LoopColors(int64_t max_loops, bool enabled) : max_loops_(max_loops), enabled_(enabled) {}

  // `text` in the colour of `loops`; line breaks stay outside, so that a pager keeps its colours
  // apart. Unchanged when colours are off.
  std::string paint(std::string_view text, int64_t loops) const;
  // "loops: 1 2 3 4", each in its colour.
  std::string legend() const;

 private:
  int64_t max_loops_;
  bool enabled_;
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_LOOP_COLORS_H_
