#include "eval/answer_text.h"

#include <algorithm>
#include <vector>

#include "eval/ascii.h"
#include "eval/math_answer.h"
#include "eval/math_tokens.h"

namespace looplm {
namespace {

struct Box {
  size_t begin = 0;
  size_t end = 0;
  std::string_view contents;
};

// What stands behind \boxed at `at` without braces: a number, a letter or a command.
std::string_view bare_contents(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at, text.substr(at).find_first_of(" $\n"));
  const bool word = rest.size() > 1 && is_letter(rest[0]) && is_letter(rest[1]);
  const bool answer = !rest.empty() && (is_letter(rest[0]) || is_digit(rest[0]) || rest[0] == '-' ||
                                        rest[0] == '\\' || rest[0] == '.');
  return answer && !word ? rest : std::string_view();
}

std::vector<Box> boxes_in(std::string_view text) {
  std::vector<Box> boxes;
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at + 1)) {
    const std::string_view rest = text.substr(at + 1);
    size_t open = at + 1;
    if (rest.starts_with("boxed"))
      open += 5;
    else if (rest.starts_with("fbox"))
      open += 4;
    else
      continue;
    if (open < text.size() && is_letter(text[open])) continue;
    while (open < text.size() && text[open] == ' ') ++open;
    if (open < text.size() && text[open] == '{') {
      const size_t close = closing_brace(text, open);
      if (close == std::string_view::npos) break;  // the text was cut off
      const std::string_view contents = stripped(text.substr(open + 1, close - open - 1));
      if (!contents.empty()) boxes.push_back({at, close + 1, contents});
      at = close;
    } else if (const std::string_view contents = bare_contents(text, open); !contents.empty()) {
      boxes.push_back({at, open + contents.size(), contents});
      at = open + contents.size() - 1;
    }
  }
  return boxes;
}

// Whether the text between two boxes only says that they belong together: ", ", "$ or $x = ".
bool joins(std::string_view between) {
  if (between.size() > 40) return false;
  std::string rest(between);
  if (stripped(rest).ends_with('=')) {
    rest = stripped(std::string_view(rest).substr(0, rest.rfind('=')));
    if (!rest.empty() && is_letter(rest.back())) rest.pop_back();
  }
  for (const std::string_view word : {"\\text{and}", "\\text{or}", "\\text{ and }", "\\text{ or }",
                                      "\\quad", "\\\\", "and", "or"}) {
    const size_t at = rest.find(word);
    if (at != std::string::npos) rest.replace(at, word.size(), ",");
  }
  return rest.find_first_not_of(" \t\r\n$,;&\\()[]") == std::string::npos &&
         rest.find(',') != std::string::npos;
}

}  // namespace

std::optional<std::string> last_boxed(std::string_view text) {
  const std::vector<Box> boxes = boxes_in(text);
  if (boxes.empty()) return std::nullopt;
  size_t first = boxes.size() - 1;
  while (first > 0) {
    const size_t begin = boxes[first - 1].end;
    if (!joins(text.substr(begin, boxes[first].begin - begin))) break;
    --first;
  }
  std::string answer(boxes[first].contents);
  for (size_t i = first + 1; i < boxes.size(); ++i) {
    answer += ", ";
    answer += boxes[i].contents;
  }
  return answer;
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
    case Comparison::kNumber:
      return has_number(right) ? same_number(given, right)
                               : normal_text(given) == normal_text(right);
    case Comparison::kMath:
      return same_math(given, right);
  }
  return false;
}

}  // namespace looplm
