#include "eval/answer_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace looplm {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

constexpr std::array<std::string_view, 6> kCurrency = {"$", "\\$", "€", "£", "¥", "₹"};
constexpr std::string_view kMinus = "−";  // U+2212

// Whether three digits and no fourth stand there, so that a comma before them parts thousands.
bool thousand(std::string_view text, size_t at) {
  size_t digits = 0;
  while (at + digits < text.size() && is_digit(text[at + digits])) ++digits;
  return digits == 3;
}

// Reads digits, commas, a point and an exponent at `at`, which holds a digit or a point before one.
// Returns the end; `digits` gets what from_chars understands.
size_t scan_digits(std::string_view text, size_t at, std::string& digits) {
  bool grouped = false;
  while (at < text.size()) {
    if (is_digit(text[at])) {
      digits += text[at++];
    } else if (text[at] == ',' && !digits.empty() && (grouped || digits.size() <= 3) &&
               thousand(text, at + 1)) {
      grouped = true;
      ++at;
    } else {
      break;
    }
  }
  const auto digit_at = [&](size_t i) { return i < text.size() && is_digit(text[i]); };
  if (at < text.size() && text[at] == '.' && digit_at(at + 1)) {
    if (digits.empty()) digits.push_back('0');
    do digits += text[at++];
    while (digit_at(at));
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    const size_t sign = at + 1 < text.size() && (text[at + 1] == '-' || text[at + 1] == '+');
    size_t end = at + 1 + sign;
    if (digit_at(end)) {
      while (digit_at(end)) ++end;
      // 1e5x is no number with an exponent.
      if (end == text.size() || !is_letter(text[end])) {
        digits += 'e';
        if (sign > 0 && text[at + 1] == '-') digits += '-';
        digits.append(text.substr(at + 1 + sign, end - at - 1 - sign));
        at = end;
      }
    }
  }
  return at;
}

// Signs and currency marks just before `at`, outwards.
size_t scan_signs(std::string_view text, size_t at, size_t least, bool& negative) {
  bool sign_seen = false, currency_seen = false;
  while (at > least) {
    const std::string_view before = text.substr(least, at - least);
    const auto currency =
        std::find_if(kCurrency.rbegin(), kCurrency.rend(),
                     [&](std::string_view mark) { return before.ends_with(mark); });
    if (!currency_seen && currency != kCurrency.rend()) {
      currency_seen = true;
      size_t size = currency->size();
      if (before.ends_with("\\$")) size = 2;
      at -= size;
      continue;
    }
    const size_t sign = before.ends_with(kMinus)                         ? kMinus.size()
                        : before.ends_with('-') || before.ends_with('+') ? 1
                                                                         : 0;
    if (sign == 0 || sign_seen) break;
    const size_t place = at - sign;
    if (place > 0) {
      const char c = text[place - 1];
      if (is_digit(c) || is_letter(c) || c == ')' || c == ']' || c == '}') break;
    }
    sign_seen = true;
    negative = text[place] != '+';
    at = place;
  }
  return at;
}

// Puts `to` for every `from`.
void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  size_t at = 0;
  for (size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    result.append(text, at, found - at);
    result.append(to);
    at = found + from.size();
  }
  result.append(text, at);
  text = std::move(result);
}

// Where the bracket that opens at `open` closes; npos when it does not.
size_t closing(std::string_view text, size_t open) {
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

// \text{ apples}, \mbox{cm} and the like: a unit behind something else, or else the answer itself.
void unwrap_text(std::string& text) {
  for (const std::string_view command : {"\\text{", "\\mbox{", "\\textbf{", "\\mathrm{"}) {
    for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at)) {
      const size_t close = closing(text, at + command.size() - 1);
      if (close == std::string::npos) break;
      const std::string inside = text.substr(at + command.size(), close - at - command.size());
      const bool unit = at > 0 && close + 1 >= text.size();
      text.erase(at, close + 1 - at);
      if (!unit) text.insert(at, inside);
      if (unit && text.ends_with('^')) text.pop_back();
    }
  }
}

// \frac12 and \sqrt2 with their braces.
void brace_arguments(std::string& text, std::string_view command, int arguments) {
  for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at)) {
    at += command.size();
    for (int i = 0; i < arguments && at < text.size(); ++i) {
      if (text[at] == '{') {
        const size_t close = closing(text, at);
        if (close == std::string::npos) return;
        at = close + 1;
      } else if (is_digit(text[at]) || is_letter(text[at])) {
        text.insert(at + 1, 1, '}');
        text.insert(at, 1, '{');
        at += 3;
      } else {
        break;
      }
    }
  }
}

std::optional<double> whole_number(std::string_view text) {
  const std::vector<FoundNumber> found = numbers_in(text);
  if (found.size() != 1 || found[0].begin != 0 || found[0].end != text.size()) return std::nullopt;
  return found[0].value;
}

// The value of a plain number, a/b, or \frac{a}{b}.
std::optional<double> math_value(const std::string& text) {
  if (const auto number = whole_number(text)) return number;
  const size_t sign = text.starts_with('-') ? 1 : 0;
  std::string top, bottom;
  if (text.compare(sign, 6, "\\frac{") == 0) {
    const size_t close = closing(text, sign + 5);
    if (close == std::string::npos || close + 1 >= text.size() || text[close + 1] != '{' ||
        closing(text, close + 1) != text.size() - 1) {
      return std::nullopt;
    }
    top = text.substr(sign + 6, close - sign - 6);
    bottom = text.substr(close + 2, text.size() - close - 3);
  } else {
    const size_t slash = text.find('/');
    if (slash == std::string::npos) return std::nullopt;
    top = text.substr(sign, slash - sign);
    bottom = text.substr(slash + 1);
  }
  const auto a = whole_number(top), b = whole_number(bottom);
  if (!a || !b || *b == 0) return std::nullopt;
  return (sign > 0 ? -1 : 1) * *a / *b;
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(b)); }

}  // namespace

std::vector<FoundNumber> numbers_in(std::string_view text) {
  std::vector<FoundNumber> found;
  size_t least = 0;  // nothing before belongs to the next number
  for (size_t i = 0; i < text.size();) {
    const bool point = text[i] == '.' && i + 1 < text.size() && is_digit(text[i + 1]);
    if (!is_digit(text[i]) && !point) {
      ++i;
      continue;
    }
    std::string digits;
    const size_t end = scan_digits(text, i, digits);
    bool negative = false;
    const size_t begin = scan_signs(text, i, least, negative);
    double value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    found.push_back({negative ? -value : value, begin, end});
    i = least = end;
  }
  return found;
}

std::optional<double> answer_number(std::string_view text) {
  const std::vector<FoundNumber> found = numbers_in(text);
  if (found.empty()) return std::nullopt;
  if (found.size() > 1 && found[1].value != 0) {
    const std::string_view between =
        stripped(text.substr(found[0].end, found[1].begin - found[0].end));
    if (between == "/") return found[0].value / found[1].value;
  }
  return found[0].value;
}

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
  const size_t close = closing(text, open);
  if (close == std::string_view::npos) return std::nullopt;
  return std::string(text.substr(open + 1, close - open - 1));
}

std::string normal_math(std::string_view given) {
  std::string text(stripped(given));
  while (text.ends_with('.')) text.pop_back();
  unwrap_text(text);
  for (const std::string_view nothing :
       {"\\left", "\\right",  "\\!", "\\,", "\\;", "\\:",     "\\ ",       "\\(",
        "\\)",    "\\[",      "\\]", "\\$", "$",   "^\\circ", "^{\\circ}", "\\%",
        "%",      "\\degree", "€",   "£",   " ",   "\n",      "\t",        "~"}) {
    replace_all(text, nothing, "");
  }
  replace_all(text, "\\dfrac", "\\frac");
  replace_all(text, "\\tfrac", "\\frac");
  replace_all(text, "−", "-");
  brace_arguments(text, "\\frac", 2);
  brace_arguments(text, "\\sqrt", 1);
  // "x=5" says 5.
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals <= 2 &&
      text.find('=', equals + 1) == std::string::npos) {
    text.erase(0, equals + 1);
  }
  // Thousands' commas, in what is one number as a whole; others part the elements of a list.
  const std::vector<FoundNumber> found = numbers_in(text);
  if (found.size() == 1 && found[0].begin == 0 && found[0].end == text.size()) {
    replace_all(text, ",", "");
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
      return got && near(*got, *wanted);
    }
    case Comparison::kMath: {
      const std::string a = normal_math(given), b = normal_math(right);
      if (a == b) return true;
      const auto x = math_value(a), y = math_value(b);
      return x && y && near(*x, *y);
    }
  }
  return false;
}

}  // namespace looplm
