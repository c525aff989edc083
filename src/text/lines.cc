#include "text/lines.h"

#include "text/unpacked_file.h"
#include "text/utf8.h"

namespace looplm {

std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

Result<std::vector<std::string>> read_lines(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const UnpackedFile file, UnpackedFile::open(path));
  LOOPLM_RETURN_IF_ERROR(check_utf8(file.text()).with_context(path));
  std::vector<std::string> lines;
  for (std::string_view rest = without_byte_order_mark(file.text()); !rest.empty();) {
    const std::string_view line = take_line(rest);
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

}  // namespace looplm
