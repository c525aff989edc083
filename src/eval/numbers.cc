#include "eval/numbers.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "eval/ascii.h"

namespace looplm {
namespace {

constexpr std::array<std::string_view, 6> kCurrency = {"\\$", "$", "€", "£", "¥", "₹"};
constexpr std::array<std::string_view, 4> kSigns = {"-", "+", "−", "–"};
// The longer of two that begin alike first.
constexpr std::array<std::string_view, 6> kThousands = {",\\!",   "{,}",    "\\,",
                                                        "\u2009", "\u202f", ","};

// The mark between thousands that stands there; empty: none.
std::string_view thousands_mark(std::string_view text, bool commas) {
  for (const std::string_view mark : kThousands) {
    if ((commas || mark != ",") && text.starts_with(mark) &&
        begins_with_thousand(text.substr(mark.size()))) {
      return mark;
    }
  }
  return {};
}

// Of the marks, the one at the end; empty: none.
template <size_t n>
std::string_view ending(std::string_view text, const std::array<std::string_view, n>& marks) {
  const auto* const mark =
      std::find_if(marks.begin(), marks.end(), [&](auto m) { return text.ends_with(m); });
  return mark == marks.end() ? std::string_view() : *mark;
}

// Signs and currency marks just before `at`, outwards, not before `least`.
size_t scan_signs(std::string_view text, size_t at, size_t least, bool& negative) {
  bool sign_seen = false, currency_seen = false;
  while (at > least) {
    const std::string_view before = text.substr(least, at - least);
    const std::string_view currency = ending(before, kCurrency);
    if (!currency_seen && !currency.empty()) {
      currency_seen = true;
      at -= currency.size();
      continue;
    }
    const std::string_view sign = ending(before, kSigns);
    if (sign.empty() || sign_seen) break;
    const size_t place = at - sign.size();
    if (place > 0) {
      const char c = text[place - 1];
      if (is_digit(c) || is_letter(c) || c == ')' || c == ']' || c == '}') break;
    }
    sign_seen = true;
    negative = sign != "+";
    at = place;
  }
  return at;
}

}  // namespace

size_t scan_number(std::string_view text, size_t at, bool commas, std::string& digits) {
  const auto digit_at = [&](size_t i) { return i < text.size() && is_digit(text[i]); };
  bool grouped = false;
  while (at < text.size()) {
    if (is_digit(text[at])) {
      digits += text[at++];
      continue;
    }
    if (digits.empty() || (!grouped && digits.size() > 3)) break;
    const std::string_view mark = thousands_mark(text.substr(at), commas);
    if (mark.empty()) break;
    grouped = true;
    at += mark.size();
  }
  if (at < text.size() && text[at] == '.' && digit_at(at + 1)) {
    if (digits.empty()) digits.push_back('0');
    do digits += text[at++];
    while (digit_at(at));
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    const bool sign = at + 1 < text.size() && (text[at + 1] == '-' || text[at + 1] == '+');
    const size_t first = at + 1 + (sign ? 1 : 0);
    size_t end = first;
    while (digit_at(end)) ++end;
    // 1e5x is no number with an exponent.
    if (end > first && (end == text.size() || !is_letter(text[end]))) {
      digits += sign && text[at + 1] == '-' ? "e-" : "e";
      digits.append(text.substr(first, end - first));
      at = end;
    }
  }
  return at;
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
    const size_t end = scan_number(text, i, true, digits);
    bool negative = false;
    const size_t begin = scan_signs(text, i, least, negative);
    double value = 0;
    const char* const last = digits.data() + digits.size();
    if (std::from_chars(digits.data(), last, value).ec == std::errc()) {
      found.push_back({negative ? -value : value, begin, end});
    }
    i = least = end;
  }
  return found;
}

}  // namespace looplm
