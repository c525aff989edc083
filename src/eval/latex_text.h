// Mathematics as LaTeX and people write it, with what does not change its meaning taken away.
#ifndef LOOPLM_EVAL_LATEX_TEXT_H_
#define LOOPLM_EVAL_LATEX_TEXT_H_

#include <string>
#include <string_view>

namespace looplm {

// Where the bracket that opens at `open` closes; npos when it does not.
size_t closing_brace(std::string_view text, size_t open);

// Without $, \( and \[, \left and \right, boxes and bold type, currency, percent and degree signs
// (also "°C"), and a point at the end; spacing commands as spaces, none within thousands; dashes as
// "-", \times and \cdot as "×", \dfrac as \frac, \frac12 as \frac{1}{2}, \mbox and the like as
// \text.
std::string plain_latex(std::string_view text);

// \text{x} as " x ".
std::string without_text_commands(std::string text);

}  // namespace looplm

#endif  // LOOPLM_EVAL_LATEX_TEXT_H_
