// Lines of text files, whatever ends them.
#ifndef LOOPLM_TEXT_LINES_H_
#define LOOPLM_TEXT_LINES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// Takes the next line off the front of `rest`, without its end: LF, or CR LF.
std::string_view take_line(std::string_view& rest);

// `text` without the byte order mark that some editors put in front of UTF-8.
std::string_view without_byte_order_mark(std::string_view text);

// Where a part of a text begins.
struct TextPlace {
  size_t byte = 0;
  int64_t line = 1;

  void pass(std::string_view part);  // to what follows it
};
// check_utf8() of a part of a text; errors say the place in the whole.
Status check_utf8_part(std::string_view part, const TextPlace& place);

// The lines of a file that are not empty, such as a prompt per line. An error where the file is not
// UTF-8.
Result<std::vector<std::string>> read_lines(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_TEXT_LINES_H_
