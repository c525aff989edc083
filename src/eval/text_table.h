// Tables for terminals and Markdown.
#ifndef LOOPLM_EVAL_TEXT_TABLE_H_
#define LOOPLM_EVAL_TEXT_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace looplm {

enum class TableFormat { kText, kMarkdown };

// Rows of cells; the first row holds the titles.
using TableCells = std::vector<std::vector<std::string>>;

// Columns lined up; all but the first are right-aligned. All rows have the first one's length. In
// text, what does not fit `width` columns (0: any number) follows below, beside the first again.
std::string text_table(const TableCells& rows, TableFormat format, size_t width = 0);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TEXT_TABLE_H_
