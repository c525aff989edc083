#include "eval/answer_text.h"

#include <algorithm>

#include "eval/answer_number.h"
#include "eval/answer_unit.h"
#include "eval/ascii.h"
#include "eval/latex_text.h"

namespace looplm {
namespace {

// Without those that part nothing: between digits they part a whole from its fraction.
std::string without_spaces(std::string_view text) {
  std::string result;
  bool space = false;
  for (const char c : text) {
    if (is_space(c)) {
      space = true;
      continue;
    }
    if (space && !result.empty() && is_digit(result.back()) && is_digit(c)) result += ' ';
    result += c;
    space = false;
  }
  return result;
}

}  // namespace

std::optional<std::string> last_boxed(std::string_view text) {
  size_t at = std::string_view::npos;
  for (const std::string_view command : {"\\boxed", "\\fbox"}) {
    const size_t last = text.rfind(command);
    if (last != std::string_view::npos && (at == std::string_view::npos || last > at)) at = last;
  }
  if (at == std::string_view::npos) return std::nullopt;
  size_t open = text.find_first_not_of("\\abcdefghijklmnopqrstuvwxyz", at);
  while (open < text.size() && text[open] == ' ') ++open;
  if (open >= text.size()) return std::nullopt;
  if (text[open] != '{') {  // \boxed 5
    const size_t end = std::min(text.find_first_of(" $\n", open), text.size());
    return std::string(text.substr(open, end - open));
  }
  const size_t close = closing_brace(text, open);
  if (close == std::string_view::npos) return std::nullopt;
  return std::string(text.substr(open + 1, close - open - 1));
}

std::string normal_math(std::string_view given) {
  std::string text = plain_latex(given);
  // "x = 5" says 5.
  const size_t equals = text.find('=');
  if (equals != std::string::npos && without_spaces(text.substr(0, equals)).size() <= 2 &&
      text.find('=', equals + 1) == std::string::npos) {
    text.erase(0, equals + 1);
  }
  text = without_spaces(without_text_commands(without_unit(std::string(stripped(text)))));
  // Thousands' commas, in what is one number as a whole; others part the elements of a list.
  if (whole_number(text)) {
    std::erase(text, ',');
    const size_t sign = text.starts_with('-') ? 1 : 0;
    if (text.compare(sign, 1, ".") == 0) text.insert(sign, 1, '0');
  }
  return text;
}

std::string normal_text(std::string_view given) {
  std::string text;
  for (char c : stripped(given)) {
    if (is_space(c)) {
      if (!text.ends_with(' ')) text += ' ';
    } else {
      text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  constexpr std::string_view kEnds = " .,;:!?\"'()[]*`";
  const size_t begin = text.find_first_not_of(kEnds);
  if (begin == std::string::npos) return text;  // nothing but marks
  return text.substr(begin, text.find_last_not_of(kEnds) + 1 - begin);
}

bool same_answer(Comparison comparison, std::string_view given, std::string_view right) {
  switch (comparison) {
    case Comparison::kExact:
      return stripped(given) == stripped(right);
    case Comparison::kText:
      return normal_text(given) == normal_text(right);
    case Comparison::kNumber: {
      const auto wanted = answer_number(right);
      if (!wanted) return normal_text(given) == normal_text(right);
      const auto got = answer_number(given);
      return got && same_number(*got, *wanted);
    }
    case Comparison::kMath: {
      const std::string a = normal_math(given), b = normal_math(right);
      if (a == b) return true;
      const auto x = whole_number(a), y = whole_number(b);
      return x && y && same_number(*x, *y);
    }
  }
  return false;
}

}  // namespace looplm
