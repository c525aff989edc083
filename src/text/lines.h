// Lines of text files, whatever ends them.
#ifndef LOOPLM_TEXT_LINES_H_
#define LOOPLM_TEXT_LINES_H_

#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// Takes the next line off the front of `rest`, without its end: LF, or CR LF.
std::string_view take_line(std::string_view& rest);

// `text` without the byte order mark that some editors put in front of UTF-8.
std::string_view without_byte_order_mark(std::string_view text);

// The lines of a file that are not empty, such as a prompt per line. An error where the file is not
// UTF-8.
Result<std::vector<std::string>> read_lines(const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_TEXT_LINES_H_
