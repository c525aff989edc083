// What fits the terminal's lines.
#ifndef LOOPLM_COMMON_TERMINAL_H_
#define LOOPLM_COMMON_TERMINAL_H_

#include <cstddef>
#include <string>

namespace looplm::cli {

// Columns of the terminal that standard output is; 0: it is none, and lines may have any length.
size_t terminal_width();

// The words of a text in lines of at most `width` columns (0: in one line), the first of which
// begins at `first_column`.
std::string folded(const std::string& text, size_t first_column, size_t width);

// Folds those lines that are longer than `width` columns (0: none).
std::string fold_long_lines(const std::string& text, size_t width);

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_TERMINAL_H_
