// Multiples of a number between bounds, digit by digit: a rule for each remainder that may be left
// with so many digits to come.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "grammar/json_parts.h"

namespace looplm {
namespace {

constexpr int64_t kMostListed = 1'000;  // multiples that are listed one by one
constexpr size_t kMostRules = 4'000;
constexpr int kMostDecimals = 8;                       // behind the point
constexpr int64_t kLargest = 999'999'999'999'999'999;  // 18 digits, the point left out

int64_t power_of_ten(int n) {
  int64_t power = 1;
  for (int i = 0; i < n; ++i) power *= 10;
  return power;
}

// What the shortest digits of a double say: units * 10^-places.
struct ExactDecimal {
  int64_t units = 0;
  int places = 0;
};

ExactDecimal exact_decimal(double value) {
  const std::string shortest = fmt::format("{}", std::abs(value));
  const size_t e = std::min(shortest.find('e'), shortest.size());
  ExactDecimal d;
  bool behind_point = false;
  for (char c : shortest.substr(0, e)) {  // at most 17 digits
    if (c == '.') {
      behind_point = true;
      continue;
    }
    d.units = d.units * 10 + (c - '0');
    d.places += behind_point ? 1 : 0;
  }
  if (e < shortest.size()) d.places -= std::stoi(shortest.substr(e + 1));
  while (d.units != 0 && d.units % 10 == 0) {
    d.units /= 10;
    --d.places;
  }
  if (value < 0) d.units = -d.units;
  return d;
}

// The bound in units of 10^-places, rounded into the range, and within kLargest.
int64_t scaled_bound(const NumberBound& bound, int places, bool lower) {
  const ExactDecimal d = exact_decimal(bound.value);
  if (d.units == 0) return bound.exclusive ? (lower ? 1 : -1) : 0;
  const int shift = places - d.places;
  if (shift >= 0) {
    const double about = std::abs(bound.value) * std::pow(10.0, places);
    if (about >= static_cast<double>(kLargest)) return d.units < 0 ? -kLargest : kLargest;
    const int64_t exact = d.units * power_of_ten(shift);
    return exact + (bound.exclusive ? (lower ? 1 : -1) : 0);
  }
  // Not a whole number of units: exclusive or not makes no difference.
  const int64_t divisor = power_of_ten(std::min(18, -shift));
  const int64_t towards_zero = d.units / divisor;
  if (lower) return towards_zero + (d.units > 0 ? 1 : 0);
  return towards_zero - (d.units < 0 ? 1 : 0);
}

class MultiplesWriter {
 public:
  // Multiples of `step` units; a unit is 10^-places.
  MultiplesWriter(int64_t step, int places, Grammar& grammar)
      : step_(step), places_(places), grammar_(grammar) {}

  bool too_many() const { return rules_.size() > kMostRules; }

  // From low to high, neither negative.
  ExpressionPtr between(int64_t low, int64_t high) {
    std::vector<ExpressionPtr> choices;
    const std::string last = digits_of(high);
    for (size_t length = digits_of(low).size(); length <= last.size(); ++length) {
      const std::string shortest = std::string(1, '1').append(length - 1, '0');
      const std::string from = length == digits_of(low).size() ? digits_of(low) : shortest;
      const std::string to = length == last.size() ? last : std::string(length, '9');
      choices.push_back(bound_digits(from, to, 0, 0, true, true));
    }
    return choice(std::move(choices));
  }

  std::string text_of(int64_t units) const {
    std::string digits = digits_of(std::abs(units));
    if (places_ > 0) digits.insert(digits.size() - static_cast<size_t>(places_), 1, '.');
    return (units < 0 ? "-" : "") + digits;
  }

 private:
  // With a digit before the point at least.
  std::string digits_of(int64_t units) const { return fmt::format("{:0{}}", units, places_ + 1); }
  const char* point(int64_t left) const { return places_ > 0 && left == places_ ? "." : ""; }

  ExpressionPtr bound_digits(const std::string& low, const std::string& high, size_t at,
                             int64_t remainder, bool low_bound, bool high_bound) {
    const auto left = static_cast<int64_t>(low.size() - at);
    if (left == 0 || (!low_bound && !high_bound)) return free_digits(left, remainder);
    const char least = low_bound ? low[at] : '0';
    const char most = high_bound ? high[at] : '9';
    std::vector<ExpressionPtr> choices;
    for (char c = least; c <= most; ++c) {
      choices.push_back(
          sequence({text(c + std::string(point(left - 1))),
                    bound_digits(low, high, at + 1, (remainder * 10 + (c - '0')) % step_,
                                 low_bound && c == least, high_bound && c == most)}));
    }
    return choice(std::move(choices));
  }

  // What of a remainder matters when so many digits follow.
  int64_t reduced(int64_t left, int64_t remainder) const {
    return remainder % (step_ / std::gcd(step_, power_of_ten(static_cast<int>(left))));
  }

  ExpressionPtr free_digits(int64_t left, int64_t remainder) {
    if (left == 0) return remainder % step_ == 0 ? text("") : choice({});
    const auto [place, fresh] = rules_.try_emplace({left, reduced(left, remainder)}, -1);
    if (!fresh || too_many()) return rule_reference(std::max(0, place->second));
    const int rule = grammar_.declare(
        fmt::format("multiples of {}: {} digits after {}", step_, left, remainder));
    place->second = rule;
    std::map<int64_t, std::vector<CharacterRange>> by_next;
    for (int64_t digit = 0; digit < 10; ++digit) {
      const auto c = static_cast<uint32_t>('0' + digit);
      by_next[reduced(left - 1, (remainder * 10 + digit) % step_)].emplace_back(c, c);
    }
    std::vector<ExpressionPtr> choices;
    choices.reserve(by_next.size());
    for (auto& [next, digits] : by_next) {
      choices.push_back(sequence(
          {characters(std::move(digits)), text(point(left - 1)), free_digits(left - 1, next)}));
    }
    grammar_.rules[static_cast<size_t>(rule)].expression = choice(std::move(choices));
    return rule_reference(rule);
  }

  const int64_t step_;
  const int places_;
  Grammar& grammar_;
  std::map<std::pair<int64_t, int64_t>, int> rules_;  // by digits left and remainder
};

}  // namespace

Result<ExpressionPtr> json_multiples_in(const NumberRange& range, double factor, bool whole,
                                        Grammar& grammar) {
  ExactDecimal step = exact_decimal(factor);
  if (step.places > kMostDecimals || std::abs(factor) > 1e9 || step.units > 1'000'000'000) {
    return unsupported(
        fmt::format("multipleOf is {}; expected at most {} digits behind the point, "
                    "and no more than nine digits in all",
                    factor, kMostDecimals));
  }
  if (step.places < 0) step = {step.units * power_of_ten(-step.places), 0};
  if (whole) step = {step.units / std::gcd(step.units, power_of_ten(step.places)), 0};
  const int64_t low =
      range.least.has_value() ? scaled_bound(*range.least, step.places, true) : -kLargest;
  const int64_t high =
      range.most.has_value() ? scaled_bound(*range.most, step.places, false) : kLargest;
  const int64_t first = low / step.units + (low > 0 && low % step.units != 0 ? 1 : 0);
  const int64_t last = high / step.units - (high < 0 && high % step.units != 0 ? 1 : 0);
  if (first > last) return invalid_argument("no multiple of multipleOf lies between the bounds");
  MultiplesWriter writer(step.units, step.places, grammar);
  if (last - first < kMostListed) {
    std::vector<std::string> texts;
    for (int64_t i = first; i <= last; ++i) texts.push_back(writer.text_of(i * step.units));
    return one_of_texts(std::move(texts));
  }
  std::vector<ExpressionPtr> choices;
  if (high >= 0) choices.push_back(writer.between(std::max<int64_t>(0, low), high));
  if (low < 0) {
    choices.push_back(sequence({text("-"), writer.between(std::max<int64_t>(1, -high), -low)}));
  }
  if (writer.too_many()) {
    return unsupported(
        fmt::format("multipleOf is {}, which has too many remainders; expected a "
                    "smaller one, or bounds with at most {} multiples between them",
                    factor, kMostListed));
  }
  return choice(std::move(choices));
}

}  // namespace looplm
