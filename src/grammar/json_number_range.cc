// Numbers between bounds, digit by digit.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>

#include "grammar/json_parts.h"

namespace looplm {
namespace {

constexpr int64_t kLargestWhole = INT64_MAX;
constexpr int kDecimalDigits = 18;  // of a Decimal's whole part

ExpressionPtr nothing() { return choice({}); }
ExpressionPtr digits(int64_t least, int64_t most) {
  if (most < least) return nothing();
  return repeat(characters({{'0', '9'}}), least, most);
}
ExpressionPtr digit_between(char first, char last) {
  if (first > last) return nothing();
  return characters({{static_cast<uint32_t>(first), static_cast<uint32_t>(last)}});
}

// Digit strings from low[at..] to high[at..], of one length, which are equal before `at` where both
// are bound.
ExpressionPtr same_length(const std::string& low, const std::string& high, size_t at,
                          bool low_bound, bool high_bound) {
  const size_t left = low.size() - at;
  if (left == 0) return text("");
  if (!low_bound && !high_bound) {
    return digits(static_cast<int64_t>(left), static_cast<int64_t>(left));
  }
  const char least = low_bound ? low[at] : '0';
  const char most = high_bound ? high[at] : '9';
  std::vector<ExpressionPtr> choices;
  const auto add = [&](char first, char last, bool l, bool h) {
    if (first > last) return;
    choices.push_back(sequence({digit_between(first, last), same_length(low, high, at + 1, l, h)}));
  };
  if (least == most) {
    add(least, most, low_bound, high_bound);
  } else {
    if (low_bound) add(least, least, true, false);
    add(static_cast<char>(least + (low_bound ? 1 : 0)),
        static_cast<char>(most - (high_bound ? 1 : 0)), false, false);
    if (high_bound) add(most, most, false, true);
  }
  return choice(std::move(choices));
}

// Whole numbers from `low` to `high`, both at least 0; high below 0: unbounded.
ExpressionPtr whole_numbers(int64_t low, int64_t high) {
  std::vector<ExpressionPtr> choices;
  const std::string first = std::to_string(low);
  const bool bounded = high >= 0;
  if (bounded && high < low) return nothing();
  const std::string last = bounded ? std::to_string(high) : std::string(first.size(), '9');
  for (size_t length = first.size(); length <= last.size(); ++length) {
    const std::string a =
        length == first.size() ? first : std::string(1, '1').append(length - 1, '0');
    const std::string b = length == last.size() ? last : std::string(length, '9');
    choices.push_back(same_length(a, b, 0, true, true));
  }
  if (!bounded) {
    choices.push_back(
        sequence({digit_between('1', '9'),
                  digits(static_cast<int64_t>(first.size()),
                         std::max<int64_t>(kMostDigits, static_cast<int64_t>(first.size())))}));
  }
  return choice(std::move(choices));
}

// A number that is not negative, in decimal digits without trailing zeros in the fraction.
struct Decimal {
  int64_t whole = 0;
  std::string fraction{};
  bool exclusive = false;  // as a bound
};

// Of what has more than 18 digits, the largest number that has 18.
Decimal decimal_of(const NumberBound& bound) {
  Decimal d;
  d.exclusive = bound.exclusive;
  // The shortest digits that give this double again, without an exponent.
  std::string digits_text = fmt::format("{}", std::abs(bound.value));
  if (digits_text.find_first_of("eE") != std::string::npos) {
    digits_text = fmt::format("{:.16f}", std::abs(bound.value));
  }
  const size_t dot = std::min(digits_text.find('.'), digits_text.size());
  d.whole = dot > kDecimalDigits ? std::stoll(std::string(kDecimalDigits, '9'))
                                 : std::stoll(digits_text.substr(0, dot));
  if (dot < digits_text.size()) d.fraction = digits_text.substr(dot + 1);
  while (!d.fraction.empty() && d.fraction.back() == '0') d.fraction.pop_back();
  return d;
}

// Digits of a fraction, from `at` on, that make it at least (or more than) `bound`.
ExpressionPtr digits_from(const std::string& bound, size_t at, bool exclusive) {
  const auto used = static_cast<int64_t>(at);
  if (at == bound.size()) {
    if (!exclusive) return digits(0, kMostDigits - used);
    return sequence({repeat(text("0"), 0, kMostDigits - used - 1), digit_between('1', '9'),
                     digits(0, kMostDigits)});
  }
  return choice(
      {sequence({digit_between(static_cast<char>(bound[at] + 1), '9'),
                 digits(0, kMostDigits - used - 1)}),
       sequence({text(std::string(1, bound[at])), digits_from(bound, at + 1, exclusive)})});
}

// Digits, from `at` on, that make it at most (or less than) `bound`; the fraction may end after its
// first digit.
ExpressionPtr digits_up_to(const std::string& bound, size_t at, bool exclusive) {
  const auto used = static_cast<int64_t>(at);
  if (at == bound.size()) {
    return exclusive ? nothing() : repeat(text("0"), 0, kMostDigits - used);
  }
  std::vector<ExpressionPtr> choices = {
      sequence({digit_between('0', static_cast<char>(bound[at] - 1)),
                digits(0, kMostDigits - used - 1)}),
      sequence({text(std::string(1, bound[at])), digits_up_to(bound, at + 1, exclusive)})};
  if (at > 0) choices.push_back(text(""));
  return choice(std::move(choices));
}

// The fraction, with its point, of numbers from `low` on that have its whole part.
ExpressionPtr fraction_from(const Decimal& low) {
  if (low.fraction.empty() && !low.exclusive) {
    return optional(sequence({text("."), digits(1, kMostDigits)}));
  }
  return sequence({text("."), digits_from(low.fraction, 0, low.exclusive)});
}

ExpressionPtr fraction_up_to(const Decimal& high) {
  if (high.fraction.empty()) {
    return high.exclusive ? nothing()
                          : optional(sequence({text("."), repeat(text("0"), 1, kMostDigits)}));
  }
  return optional(sequence({text("."), digits_up_to(high.fraction, 0, high.exclusive)}));
}

// Between two bounds of the same whole part, from digit `at` on; they are equal before it.
ExpressionPtr digits_within(const Decimal& low, const Decimal& high, size_t at) {
  const char a = at < low.fraction.size() ? low.fraction[at] : '0';
  const bool low_done = at >= low.fraction.size();
  if (at == high.fraction.size()) {
    // All of high's digits are used up, so low's are too: only the bound itself is left.
    if (low.exclusive || high.exclusive) return nothing();
    return repeat(text("0"), at == 0 ? 1 : 0, kMostDigits);
  }
  const char b = high.fraction[at];
  std::vector<ExpressionPtr> choices;
  if (low_done && !low.exclusive && at > 0) choices.push_back(text(""));
  if (a == b) {
    choices.push_back(sequence({text(std::string(1, a)), digits_within(low, high, at + 1)}));
    return choice(std::move(choices));
  }
  choices.push_back(
      sequence({text(std::string(1, a)),
                digits_from(low.fraction, std::min(at + 1, low.fraction.size()), low.exclusive)}));
  choices.push_back(sequence({digit_between(static_cast<char>(a + 1), static_cast<char>(b - 1)),
                              digits(0, kMostDigits - 1)}));
  choices.push_back(
      sequence({text(std::string(1, b)), digits_up_to(high.fraction, at + 1, high.exclusive)}));
  return choice(std::move(choices));
}

// Numbers from `low` to `high`, neither negative.
ExpressionPtr decimals(const Decimal& low, const std::optional<Decimal>& high) {
  const std::string first = std::to_string(low.whole);
  if (high.has_value() && high->whole < low.whole) return nothing();
  if (high.has_value() && high->whole == low.whole) {
    std::vector<ExpressionPtr> fractions;
    if (low.fraction.empty() && !low.exclusive && !(high->fraction.empty() && high->exclusive)) {
      fractions.push_back(text(""));
    }
    if (low.fraction <= high->fraction) {
      fractions.push_back(sequence({text("."), digits_within(low, *high, 0)}));
    }
    return sequence({text(first), choice(std::move(fractions))});
  }
  std::vector<ExpressionPtr> choices = {sequence({text(first), fraction_from(low)})};
  if (!high.has_value() || high->whole > low.whole + 1) {
    choices.push_back(
        sequence({whole_numbers(low.whole + 1, high.has_value() ? high->whole - 1 : -1),
                  optional(sequence({text("."), digits(1, kMostDigits)}))}));
  }
  if (high.has_value()) {
    choices.push_back(sequence({text(std::to_string(high->whole)), fraction_up_to(*high)}));
  }
  return choice(std::move(choices));
}

// The least integer that a lower bound allows, not below -kLargestWhole; none where it is above
// kLargestWhole.
std::optional<int64_t> least_whole(const NumberBound& bound) {
  const int64_t more = bound.exclusive ? 1 : 0;
  if (bound.whole.has_value()) {
    if (*bound.whole > kLargestWhole - more) return std::nullopt;
    return *bound.whole + more;
  }
  const double up = std::ceil(bound.value);
  constexpr double kEnd = 0x1p63;
  if (up >= kEnd) return std::nullopt;
  if (up <= -kEnd) return -kLargestWhole;
  return static_cast<int64_t>(up) + (up == bound.value ? more : 0);
}

Status check_digits(const NumberRange& range) {
  constexpr double kEnd = 1e18;
  if (range.least.has_value() && range.least->value >= kEnd) {
    return unsupported(
        fmt::format("a minimum of {} is beyond {} digits", range.least->value, kDecimalDigits));
  }
  if (range.most.has_value() && range.most->value <= -kEnd) {
    return unsupported(
        fmt::format("a maximum of {} is beyond {} digits", range.most->value, kDecimalDigits));
  }
  for (const std::optional<NumberBound>& bound : {range.least, range.most}) {
    if (!bound.has_value() || std::abs(bound->value) >= kEnd) continue;
    const std::string written = fmt::format("{:.{}f}", bound->value, kMostDigits);
    if (std::stod(written) == bound->value) continue;
    return unsupported(fmt::format("a bound of {} has more than {} digits behind the point",
                                   bound->value, kMostDigits));
  }
  return {};
}

}  // namespace

Result<ExpressionPtr> json_integer_in(const NumberRange& range) {
  if (!range.least.has_value() && !range.most.has_value()) return json_integer();
  const auto outside = [](const char* side, const NumberBound& bound) {
    return unsupported(fmt::format("no integer of 63 bits lies {} {}", side, bound.value));
  };
  std::optional<int64_t> least;
  std::optional<int64_t> most;
  if (range.least.has_value()) {
    least = least_whole(*range.least);
    if (!least.has_value()) return outside("above", *range.least);
  }
  if (range.most.has_value()) {
    NumberBound mirrored = {-range.most->value, range.most->exclusive};
    if (range.most->whole.has_value()) mirrored.whole = -*range.most->whole;
    most = least_whole(mirrored);
    if (!most.has_value()) return outside("below", *range.most);
    most = -*most;
  }
  std::vector<ExpressionPtr> choices;
  // Negative ones by their size, mirrored; zero belongs to the others.
  if (least.value_or(-1) < 0) {
    const int64_t smallest = std::max<int64_t>(1, -most.value_or(0));
    choices.push_back(sequence({text("-"), whole_numbers(smallest, -least.value_or(1))}));
  }
  if (most.value_or(0) >= 0) {
    choices.push_back(whole_numbers(std::max<int64_t>(0, least.value_or(0)), most.value_or(-1)));
  }
  return choice(std::move(choices));
}

Result<ExpressionPtr> json_number_in(const NumberRange& range) {
  if (!range.least.has_value() && !range.most.has_value()) return json_number();
  LOOPLM_RETURN_IF_ERROR(check_digits(range));
  std::vector<ExpressionPtr> choices;
  const bool below = !range.least.has_value() || range.least->value < 0;
  const bool above = !range.most.has_value() || range.most->value >= 0;
  if (below) {
    // Mirrored: the bound nearer to zero is the lower one. Zero itself belongs to the others.
    Decimal low{.exclusive = true};
    if (range.most.has_value() && range.most->value < 0) low = decimal_of(*range.most);
    std::optional<Decimal> high;
    if (range.least.has_value()) high = decimal_of(*range.least);
    choices.push_back(sequence({text("-"), decimals(low, high)}));
  }
  if (above) {
    Decimal low;
    if (range.least.has_value() && range.least->value >= 0) low = decimal_of(*range.least);
    std::optional<Decimal> high;
    if (range.most.has_value()) high = decimal_of(*range.most);
    choices.push_back(decimals(low, high));
  }
  return choice(std::move(choices));
}

}  // namespace looplm
