#include "eval/answer_unit.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "eval/answer_number.h"
#include "eval/ascii.h"
#include "eval/latex_text.h"

namespace looplm {
namespace {

// "PM" and "p.m." as "pm"; empty: not a time of day.
std::string time_of_day(std::string_view word) {
  std::string letters;
  for (const char c : word) {
    if (c == '.' || c == ' ') continue;
    letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters == "am" || letters == "pm" ? letters : "";
}

// "^2" or "^{3}" at the beginning; how long it is.
size_t power_length(std::string_view text) {
  if (!text.starts_with("^")) return 0;
  if (text.size() >= 2 && is_digit(text[1])) return 2;
  return text.size() >= 4 && text[1] == '{' && is_digit(text[2]) && text[3] == '}' ? 4 : 0;
}

// "dollars", "square feet", "cm^2", "miles per hour": words that do not change a number's value.
bool is_unit(std::string_view text) {
  constexpr std::array<std::string_view, 26> kNoUnits = {
      "or",    "and",  "to",    "than",    "if",       "mod",     "base",    "times",   "plus",
      "minus", "over", "pi",    "sqrt",    "sin",      "cos",     "tan",     "log",     "ln",
      "more",  "less", "dozen", "hundred", "thousand", "million", "billion", "trillion"};
  if (text.size() < 2 || !is_letter(text[0]) || !is_letter(text[1])) return false;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_letter(text[end])) ++end;
    if (end == at) return false;
    const std::string_view word = text.substr(at, end - at);
    if (std::find(kNoUnits.begin(), kNoUnits.end(), word) != kNoUnits.end()) return false;
    end += power_length(text.substr(end));
    if (end < text.size() && text[end] == '.') ++end;
    at = std::min(text.find_first_not_of(" /-", end), text.size());
    if (at == end && end < text.size()) return false;
  }
  return true;
}

// Words behind a number.
void drop_words(std::string& text) {
  for (size_t space = text.find(' '); space != std::string::npos;
       space = text.find(' ', space + 1)) {
    if (!whole_number(std::string_view(text).substr(0, space))) continue;
    const std::string_view words = stripped(std::string_view(text).substr(space));
    const std::string time = time_of_day(words);
    if (!time.empty()) {
      text.replace(space, std::string::npos, time);
    } else if (is_unit(words)) {
      text.erase(space);
    } else {
      continue;
    }
    return;
  }
}

}  // namespace

std::string without_unit(std::string text) {
  constexpr std::string_view kText = "\\text{";
  for (size_t at = text.rfind(kText); at != std::string::npos && at > 0; at = text.rfind(kText)) {
    const size_t close = closing_brace(text, at + kText.size() - 1);
    if (close == std::string::npos) break;
    const std::string_view after = stripped(std::string_view(text).substr(close + 1));
    if (power_length(after) != after.size()) break;
    const std::string time =
        time_of_day(std::string_view(text).substr(at + kText.size(), close - at - kText.size()));
    text = std::string(stripped(std::string_view(text).substr(0, at)));
    text += time;
    while (text.ends_with('/')) text.pop_back();
  }
  drop_words(text);
  return text;
}

}  // namespace looplm
