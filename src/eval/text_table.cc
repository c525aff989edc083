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

using Columns = std::vector<size_t>;

// Which columns stand beside each other, the first one always.
std::vector<Columns> parts_of(const std::vector<size_t>& widths, size_t most) {
  std::vector<Columns> parts = {{0}};
  size_t total = widths[0];
  for (size_t c = 1; c < widths.size(); ++c) {
    const size_t more = 2 + widths[c];
    if (most > 0 && parts.back().size() > 1 && total + more > most) {
      parts.push_back({0});
      total = widths[0];
    }
    parts.back().push_back(c);
    total += more;
  }
  return parts;
}

std::string part_text(const TableCells& rows, const std::vector<size_t>& widths,
                      const Columns& columns, bool markdown) {
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "|" : "";
    for (const size_t c : columns) {
      const std::string pad(widths[c] - width_of(rows[r][c]), ' ');
      const std::string cell = c == 0 ? rows[r][c] + pad : pad + rows[r][c];
      line += markdown ? " " + cell + " |" : (c == 0 ? "" : "  ") + cell;
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    if (markdown && r == 0) {
      text += "|";
      for (const size_t c : columns) text += c == 0 ? "---|" : "---:|";
      text += "\n";
    }
  }
  return text;
}

}  // namespace

std::string text_table(const TableCells& given, TableFormat format, size_t width) {
  const bool markdown = format == TableFormat::kMarkdown;
  TableCells rows = given;
  if (markdown) {
    for (auto& row : rows) std::transform(row.begin(), row.end(), row.begin(), escaped);
  }
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string text;
  for (const Columns& columns : parts_of(widths, markdown ? 0 : width)) {
    text += (text.empty() ? "" : "\n") + part_text(rows, widths, columns, markdown);
  }
  return text;
}

}  // namespace looplm
