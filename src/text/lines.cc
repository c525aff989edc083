#include "text/lines.h"

#include <algorithm>

#include <fmt/format.h>

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

void TextPlace::pass(std::string_view part) {
  byte += part.size();
  line += std::count(part.begin(), part.end(), '\n');
}

Status check_utf8_part(std::string_view part, const TextPlace& place) {
  if (place.byte == 0) return check_utf8(part);
  const size_t at = first_broken_utf8(part);
  if (at == part.size()) return {};
  TextPlace broken = place;
  broken.pass(part.substr(0, at));
  return invalid_argument(fmt::format("byte {} (0x{:02X}, in line {}) is not UTF-8; expected UTF-8",
                                      broken.byte, static_cast<unsigned char>(part[at]),
                                      broken.line));
}

Result<std::vector<std::string>> read_lines(const std::string& path) {
  std::vector<std::string> lines;
  TextPlace place;
  const VisitPart add_lines = [&](std::string_view part) -> Result<bool> {
    LOOPLM_RETURN_IF_ERROR(check_utf8_part(part, place).with_context(path));
    std::string_view rest = place.byte == 0 ? without_byte_order_mark(part) : part;
    place.pass(part);
    while (!rest.empty()) {
      const std::string_view line = take_line(rest);
      if (!line.empty()) lines.emplace_back(line);
    }
    return true;
  };
  LOOPLM_RETURN_IF_ERROR(read_text_parts(path, whole_lines, add_lines));
  return lines;
}

}  // namespace looplm
