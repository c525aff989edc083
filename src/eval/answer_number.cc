#include "eval/answer_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "eval/ascii.h"
#include "eval/latex_text.h"

namespace looplm {
namespace {

constexpr std::array<std::string_view, 6> kCurrency = {"$", "\\$", "€", "£", "¥", "₹"};
constexpr std::array<std::string_view, 2> kMinus = {"−", "–"};  // U+2212, U+2013
constexpr std::string_view kTimes = "×";

// The mark between thousands that stands there, as text and LaTeX write it; empty: none.
std::string_view thousands_mark(std::string_view text, size_t at) {
  for (const std::string_view mark : {",\\!", "{,}", ",", "\\,"}) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with(mark) && begins_with_thousand(rest.substr(mark.size()))) return mark;
  }
  return {};
}

// Reads digits, commas, a point and an exponent at `at`, which holds a digit or a point before one.
// Returns the end; `digits` gets what from_chars understands.
size_t scan_digits(std::string_view text, size_t at, std::string& digits) {
  bool grouped = false;
  while (at < text.size()) {
    if (is_digit(text[at])) {
      digits += text[at++];
      continue;
    }
    if (digits.empty() || (!grouped && digits.size() > 3)) break;
    const std::string_view mark = thousands_mark(text, at);
    if (mark.empty()) break;
    grouped = true;
    at += mark.size();
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
    size_t sign = before.ends_with('-') || before.ends_with('+') ? 1 : 0;
    for (const std::string_view minus : kMinus) {
      if (before.ends_with(minus)) sign = minus.size();
    }
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

// The digits of a decimal number when it is a whole one: "18.00" and "1.8e1" are "18".
std::string whole_digits(const std::string& decimal, bool negative) {
  constexpr int64_t kMostDigits = 400;  // a double has 309
  const size_t mark = std::min(decimal.find('e'), decimal.size());
  int64_t exponent = 0;
  if (mark < decimal.size()) {
    std::from_chars(decimal.data() + mark + 1, decimal.data() + decimal.size(), exponent);
  }
  std::string digits;
  bool fraction = false;
  for (const char c : decimal.substr(0, mark)) {
    if (c == '.') {
      fraction = true;
    } else {
      digits += c;
      exponent -= fraction ? 1 : 0;
    }
  }
  while (exponent < 0 && digits.ends_with('0')) {
    digits.pop_back();
    ++exponent;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return "0";
  if (exponent < 0 || static_cast<int64_t>(digits.size()) + exponent > kMostDigits) return "";
  digits.append(static_cast<size_t>(exponent), '0');
  return negative ? "-" + digits : digits;
}

// Of what scan_digits() leaves. None where a double cannot hold it.
std::optional<ExactNumber> exact_number(const std::string& decimal, bool negative) {
  ExactNumber number;
  const auto [stop, error] =
      std::from_chars(decimal.data(), decimal.data() + decimal.size(), number.value);
  if (error != std::errc()) return std::nullopt;
  if (negative) number.value = -number.value;
  number.whole = whole_digits(decimal, negative);
  return number;
}

size_t skip_spaces(std::string_view text, size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

struct ReadNumber {
  ExactNumber number;
  size_t end = 0;
  std::string decimal;  // of a plain one
};

// Digits alone, without sign.
std::optional<ReadNumber> read_plain(std::string_view text, size_t at) {
  const bool point = at + 1 < text.size() && text[at] == '.' && is_digit(text[at + 1]);
  if (at >= text.size() || (!is_digit(text[at]) && !point)) return std::nullopt;
  ReadNumber read;
  read.end = scan_digits(text, at, read.decimal);
  const auto number = exact_number(read.decimal, false);
  if (!number) return std::nullopt;
  read.number = *number;
  return read;
}

std::optional<ReadNumber> quotient(const ExactNumber& top, const ExactNumber& bottom, size_t end) {
  if (bottom.value == 0) return std::nullopt;
  return ReadNumber{{top.value / bottom.value, ""}, end, ""};
}

void negate(ExactNumber& number) {
  number.value = -number.value;
  if (number.whole.empty() || number.whole == "0") return;
  number.whole = number.whole[0] == '-' ? number.whole.substr(1) : "-" + number.whole;
}

// Digits and a sign, and nothing else but spaces.
std::optional<ExactNumber> plain_number(std::string_view text) {
  const size_t sign = skip_spaces(text, 0);
  const bool negative = text.substr(sign).starts_with('-');
  auto read = read_plain(text, skip_spaces(text, sign + (negative ? 1 : 0)));
  if (!read || skip_spaces(text, read->end) != text.size()) return std::nullopt;
  if (negative) negate(read->number);
  return read->number;
}

// \frac{a}{b}, of numbers.
std::optional<ReadNumber> read_fraction(std::string_view text, size_t at) {
  if (!text.substr(at).starts_with("\\frac{")) return std::nullopt;
  const size_t top_begin = at + 6;
  const size_t top_end = closing_brace(text, at + 5);
  if (top_end == std::string_view::npos || top_end + 1 >= text.size() || text[top_end + 1] != '{') {
    return std::nullopt;
  }
  const size_t bottom_end = closing_brace(text, top_end + 1);
  if (bottom_end == std::string_view::npos) return std::nullopt;
  const auto top = plain_number(text.substr(top_begin, top_end - top_begin));
  const auto bottom = plain_number(text.substr(top_end + 2, bottom_end - top_end - 2));
  if (!top || !bottom) return std::nullopt;
  return quotient(*top, *bottom, bottom_end + 1);
}

// a/b at `at`; the second of a mixed number must be a proper fraction.
std::optional<ReadNumber> read_slash(std::string_view text, size_t at) {
  const auto top = read_plain(text, at);
  if (!top) return std::nullopt;
  const size_t slash = skip_spaces(text, top->end);
  if (slash >= text.size() || text[slash] != '/') return std::nullopt;
  const auto bottom = read_plain(text, skip_spaces(text, slash + 1));
  if (!bottom) return std::nullopt;
  return quotient(top->number, bottom->number, bottom->end);
}

// 10^3 or 10^{3} after a sign for times.
std::optional<ReadNumber> read_power(std::string_view text, size_t at, const ReadNumber& factor) {
  at = skip_spaces(text, at);
  if (!text.substr(at).starts_with("10^") || factor.decimal.find('e') != std::string::npos) {
    return std::nullopt;
  }
  at += 3;
  const bool braces = at < text.size() && text[at] == '{';
  at += braces ? 1 : 0;
  std::string exponent;
  if (at < text.size() && text[at] == '-') exponent += text[at++];
  const size_t digits = at;
  while (at < text.size() && is_digit(text[at])) exponent += text[at++];
  if (at == digits || (braces && (at >= text.size() || text[at] != '}'))) return std::nullopt;
  const auto number = exact_number(factor.decimal + "e" + exponent, false);
  if (!number) return std::nullopt;
  return ReadNumber{*number, at + (braces ? 1 : 0), ""};
}

// Whether a number that ends there goes on in a way that changes it.
bool goes_on(std::string_view text, size_t at) {
  if (at < text.size() && (text[at] == '\\' || text[at] == '^')) return true;
  at = skip_spaces(text, at);
  const std::string_view rest = text.substr(at);
  if (rest.starts_with("/")) {
    // "18/hour" has a unit.
    const size_t word = skip_spaces(rest, 1);
    return word + 1 >= rest.size() || !is_letter(rest[word]) || !is_letter(rest[word + 1]);
  }
  return rest.starts_with('\\') || rest.starts_with('^') || rest.starts_with(kTimes) ||
         rest.starts_with("√") || rest.starts_with("π");
}

// The number that begins at `at`, which stands behind its sign.
std::optional<ReadNumber> read_number(std::string_view text, size_t at) {
  if (auto fraction = read_fraction(text, at)) return fraction;
  auto read = read_plain(text, at);
  if (!read) return std::nullopt;
  if (auto fraction = read_slash(text, at)) return fraction;
  const size_t next = skip_spaces(text, read->end);
  if (text.substr(next).starts_with(kTimes)) {
    return read_power(text, next + kTimes.size(), *read);
  }
  auto part = read_fraction(text, next);
  if (!part && next > read->end) part = read_slash(text, next);
  if (!part) return read;
  if (read->number.whole.empty() || !(part->number.value > 0 && part->number.value < 1)) {
    return std::nullopt;
  }
  part->number.value += read->number.value;
  return part;
}

// Where the first digit or fraction stands.
size_t first_number(std::string_view text) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (is_digit(text[at]) || text.substr(at).starts_with("\\frac{")) break;
    if (text[at] == '.' && at + 1 < text.size() && is_digit(text[at + 1])) break;
  }
  return at;
}

}  // namespace

bool same_number(const ExactNumber& a, const ExactNumber& b) {
  if (!a.whole.empty() && !b.whole.empty()) return a.whole == b.whole;
  return std::abs(a.value - b.value) <= 1e-9 * std::max(std::abs(a.value), std::abs(b.value));
}

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
    const std::optional<ExactNumber> value = exact_number(digits, negative);
    if (value) found.push_back({value->value, begin, end, value->whole});
    i = least = end;
  }
  return found;
}

std::optional<ExactNumber> answer_number(std::string_view given) {
  const std::string text = without_text_commands(plain_latex(given));
  const size_t at = first_number(text);
  if (at == text.size()) return std::nullopt;
  bool negative = false;
  size_t begin = scan_signs(text, at, 0, negative);
  // "- 7" as a whole.
  if (begin == at && text[0] == '-' && skip_spaces(text, 1) == at) {
    negative = true;
    begin = 0;
  }
  // \sqrt{7}, x^7; "\alpha = 7" is 7.
  std::string_view before = std::string_view(text).substr(0, begin);
  const size_t equals = before.rfind('=');
  if (equals != std::string_view::npos) before.remove_prefix(equals + 1);
  if (before.find('\\') != std::string_view::npos || before.ends_with('^') ||
      before.ends_with('/') || before.ends_with("√") || before.ends_with("sqrt(")) {
    return std::nullopt;
  }
  auto read = read_number(text, at);
  if (!read || goes_on(text, read->end)) return std::nullopt;
  if (negative) negate(read->number);
  return read->number;
}

std::optional<ExactNumber> whole_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  const size_t at = skip_spaces(text, negative || text.starts_with('+') ? 1 : 0);
  auto read = read_number(text, at);
  if (!read || skip_spaces(text, read->end) != text.size()) return std::nullopt;
  if (negative) negate(read->number);
  return read->number;
}

}  // namespace looplm
