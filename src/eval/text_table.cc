#include "eval/text_table.h"

#include <algorithm>

namespace looplm {
namespace {

// Characters, not bytes: names of categories may be in any script.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '|') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

}  // namespace

std::string text_table(const TableCells& given, TableFormat format) {
  const bool markdown = format == TableFormat::kMarkdown;
  TableCells rows = given;
  if (markdown) {
    for (auto& row : rows) std::transform(row.begin(), row.end(), row.begin(), escaped);
  }
  std::vector<size_t> width(rows.front().size());
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], width_of(row[c]));
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "|" : "";
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const std::string pad(width[c] - width_of(rows[r][c]), ' ');
      const std::string cell = c == 0 ? rows[r][c] + pad : pad + rows[r][c];
      line += markdown ? " " + cell + " |" : (c == 0 ? "" : "  ") + cell;
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    if (markdown && r == 0) {
      text += "|";
      for (size_t c = 0; c < width.size(); ++c) text += c == 0 ? "---|" : "---:|";
      text += "\n";
    }
  }
  return text;
}

}  // namespace looplm
