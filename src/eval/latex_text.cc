#include "eval/latex_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "eval/ascii.h"

namespace looplm {
namespace {

constexpr std::string_view kDegree = "°";

// What stands for what; the longer of two that begin alike first.
constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
    {"\\displaystyle", ""},
    {"\\left", ""},
    {"\\right", ""},
    {"\\!", ""},
    {"\\(", ""},
    {"\\)", ""},
    {"\\[", ""},
    {"\\]", ""},
    {"\\;", " "},
    {"\\:", " "},
    {"\\ ", " "},
    {"\\qquad", " "},
    {"\\quad", " "},
    {"\\dfrac", "\\frac"},
    {"\\tfrac", "\\frac"},
    {"\\times", "×"},
    {"\\cdot", "×"},
    {"\\%", ""},
    {"\\$", ""},
    {"\\degree", kDegree},
    {"^{\\circ}", kDegree},
    {"^\\circ", kDegree},
    {"\\mbox", "\\text"},
    {"\\textrm", "\\text"},
    {"\\mathrm", "\\text"},
    {"$", ""},
    {"€", ""},
    {"£", ""},
    {"¥", ""},
    {"₹", ""},
    {"%", ""},
    {"−", "-"},
    {"–", "-"},
    {"{,}", ","},
    {"~", " "},
    {"\u00a0", " "},
};
// Spaces that also part thousands.
constexpr std::array<std::string_view, 3> kThin = {"\\,", "\u2009", "\u202f"};

std::string replaced(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("\\\\")) {  // a line's end, in a matrix
      result += "\\\\";
      at += 2;
      continue;
    }
    const auto* const thin = std::find_if(kThin.begin(), kThin.end(),
                                          [&](auto space) { return rest.starts_with(space); });
    if (thin != kThin.end()) {
      const bool parts = !result.empty() && is_digit(result.back());
      if (!parts || !begins_with_thousand(rest.substr(thin->size()))) result += ' ';
      at += thin->size();
      continue;
    }
    const auto* const plain =
        std::find_if(std::begin(kPlain), std::end(kPlain), [&](const auto& pair) {
          if (!rest.starts_with(pair.first)) return false;
          // \left is not the beginning of \leftarrow.
          return !is_letter(pair.first.back()) || pair.first.size() >= rest.size() ||
                 !is_letter(rest[pair.first.size()]);
        });
    if (plain != std::end(kPlain)) {
      result += plain->second;
      at += plain->first.size();
    } else {
      result += text[at++];
    }
  }
  return result;
}

// \mathbf{7} as 7.
void unwrap(std::string& text, std::string_view command) {
  for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at)) {
    const size_t close = closing_brace(text, at + command.size() - 1);
    if (close == std::string::npos) return;
    text.erase(close, 1);
    text.erase(at, command.size());
  }
}

// A degree sign, and Celsius or Fahrenheit behind it.
void drop_degrees(std::string& text) {
  for (size_t at = text.find(kDegree); at != std::string::npos; at = text.find(kDegree)) {
    size_t end = at + kDegree.size();
    size_t scale = end;
    while (scale < text.size() && text[scale] == ' ') ++scale;
    if (scale < text.size() && (text[scale] == 'C' || text[scale] == 'F') &&
        (scale + 1 == text.size() || !is_letter(text[scale + 1]))) {
      end = scale + 1;
    }
    text.erase(at, end - at);
  }
}

// \frac12 and \sqrt 2 with their braces.
void brace_arguments(std::string& text, std::string_view command, int arguments) {
  for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at)) {
    at += command.size();
    for (int i = 0; i < arguments; ++i) {
      const size_t next = std::min(text.find_first_not_of(' ', at), text.size());
      if (next == text.size()) break;
      if (text[next] == '{') {
        text.erase(at, next - at);
        const size_t close = closing_brace(text, at);
        if (close == std::string::npos) return;
        at = close + 1;
      } else if (is_digit(text[next]) || (next == at && is_letter(text[next]))) {
        text.replace(at, next + 1 - at, "{" + text.substr(next, 1) + "}");
        at += 3;
      } else {
        break;
      }
    }
  }
}

}  // namespace

size_t closing_brace(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

std::string plain_latex(std::string_view given) {
  std::string text = replaced(given);
  for (const std::string_view command : {"\\boxed{", "\\fbox{", "\\mathbf{", "\\textbf{",
                                         "\\boldsymbol{", "\\mathit{", "\\textit{"}) {
    unwrap(text, command);
  }
  drop_degrees(text);
  brace_arguments(text, "\\frac", 2);
  brace_arguments(text, "\\sqrt", 1);
  std::string_view rest = stripped(text);
  while (rest.ends_with('.')) rest = stripped(rest.substr(0, rest.size() - 1));
  while (rest.starts_with('{') && closing_brace(rest, 0) == rest.size() - 1) {
    rest = stripped(rest.substr(1, rest.size() - 2));
  }
  return std::string(rest);
}

std::string without_text_commands(std::string text) {
  constexpr std::string_view kText = "\\text{";
  for (size_t at = text.find(kText); at != std::string::npos; at = text.find(kText, at)) {
    const size_t close = closing_brace(text, at + kText.size() - 1);
    if (close == std::string::npos) return text;
    text[close] = ' ';
    text.replace(at, kText.size(), " ");
  }
  return text;
}

}  // namespace looplm
