// Tables for terminals and Markdown.
#ifndef LOOPLM_EVAL_TEXT_TABLE_H_
#define LOOPLM_EVAL_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace looplm {

enum class TableFormat { kText, kMarkdown };

// Rows of cells; the first row holds the titles.
using TableCells = std::vector<std::vector<std::string>>;

// Columns lined up; all but the first are right-aligned. All rows have the first one's length.
std::string text_table(const TableCells& rows, TableFormat format);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TEXT_TABLE_H_
