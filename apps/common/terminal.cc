#include "common/terminal.h"

#include <algorithm>
#include <sstream>

#include <sys/ioctl.h>
#include <unistd.h>

namespace looplm::cli {
namespace {

// Characters, not bytes.
size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string folded(const std::string& text, size_t first_column, size_t width) {
  std::istringstream words(text);
  std::string lines;
  size_t column = first_column;
  for (std::string word; words >> word; column += columns_of(word)) {
    if (width > 0 && column > first_column && column + 1 + columns_of(word) > width) {
      lines += '\n' + std::string(first_column, ' ');
      column = first_column;
    } else if (column > first_column) {
      lines += ' ';
      ++column;
    }
    lines += word;
  }
  return lines;
}

std::string fold_long_lines(const std::string& text, size_t width) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    result += (width > 0 && columns_of(line) > width ? folded(line, 0, width) : line) + '\n';
  }
  return result;
}

}  // namespace looplm::cli
