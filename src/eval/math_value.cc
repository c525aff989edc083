#include "eval/math_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <complex>
#include <limits>
#include <map>
#include <numbers>
#include <optional>
#include <set>

#include "base/rng.h"
#include "eval/ascii.h"

namespace looplm {
namespace {

using Kind = MathNode::Kind;
using Real = long double;
using Complex = std::complex<Real>;

struct Unknown {};    // thrown: this way of evaluation cannot tell
struct Undefined {};  // thrown: no value at this point, such as 1/0
struct Exhausted {};  // thrown: the budget

constexpr int kTestPoints = 8;

void spend(MathBudget& budget, int64_t steps) {
  budget.steps -= steps;
  if (budget.steps < 0) throw Exhausted();
}

// A decimal as digits and a power of ten.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;
};
Decimal decimal_of(std::string_view text) {
  Decimal d;
  d.negative = text.starts_with('-');
  text.remove_prefix(d.negative ? 1 : 0);
  const size_t mark = std::min(text.find('e'), text.size());
  if (mark < text.size()) {
    const char* const end = text.data() + text.size();
    if (std::from_chars(text.data() + mark + 1, end, d.exponent).ec != std::errc()) throw Unknown();
  }
  bool fraction = false;
  for (const char c : text.substr(0, mark)) {
    if (c == '.') fraction = true;
    if (!is_digit(c)) continue;
    d.digits += c;
    d.exponent -= fraction ? 1 : 0;
  }
  while (d.digits.size() > 1 && d.digits.ends_with('0')) {
    d.digits.pop_back();
    ++d.exponent;
  }
  return d;
}

void collect_symbols(const MathNode& x, std::set<std::string>& names) {
  if (x.kind == Kind::kSymbol && x.text != "\\pi" && x.text != "e" && x.text != "i" &&
      x.text != "\\infty") {
    names.insert(x.text);
  }
  for (const MathNode& part : x.parts) collect_symbols(part, names);
}

// Numbers modulo a prime. Symbols are small whole numbers, so that they can be powers; pi and e are
// symbols too, i is a root of -1.
class ExactPoint {
 public:
  ExactPoint(uint64_t prime, uint64_t stream, const std::set<std::string>& names,
             MathBudget& budget)
      : p_(prime), budget_(budget) {
    Rng rng(17, stream);
    pi_ = rng.next_u32() % p_;
    e_ = rng.next_u32() % p_;
    for (const std::string& name : names) values_[name] = 2 + rng.below(3000);
    // A power of what is no square.
    for (uint64_t a = 2; i_ == 0; ++a) {
      if (power(a, (p_ - 1) / 2) == p_ - 1) i_ = power(a, (p_ - 1) / 4);
    }
  }

  uint64_t value(const MathNode& x) {
    spend(budget_, 1);
    switch (x.kind) {
      case Kind::kNumber:
        return number(x.text);
      case Kind::kSymbol:
        return symbol(x.text);
      case Kind::kSum: {
        uint64_t sum = 0;
        for (const MathNode& part : x.parts) sum = (sum + value(part)) % p_;
        return sum;
      }
      case Kind::kProduct: {
        uint64_t product = 1;
        for (const MathNode& part : x.parts) product = product * value(part) % p_;
        return product;
      }
      case Kind::kQuotient:
        return value(x.parts[0]) * inverse(value(x.parts[1])) % p_;
      case Kind::kPower: {
        const int64_t exponent = whole(x.parts[1]);
        const uint64_t base = value(x.parts[0]);
        return exponent < 0 ? inverse(power(base, 0 - static_cast<uint64_t>(exponent)))
                            : power(base, static_cast<uint64_t>(exponent));
      }
      case Kind::kPercent:
        return value(x.parts[0]) * inverse(100) % p_;
      case Kind::kFunction:
        if (x.text == "!") return ratio_product(whole(x.parts[0]), whole(x.parts[0]), false);
        if (x.text == "binom") return ratio_product(whole(x.parts[0]), whole(x.parts[1]), true);
        throw Unknown();
      default:
        throw Unknown();
    }
  }

 private:
  uint64_t power(uint64_t base, uint64_t exponent) const {
    uint64_t result = 1;
    for (base %= p_; exponent > 0; exponent >>= 1) {
      if ((exponent & 1) != 0) result = result * base % p_;
      base = base * base % p_;
    }
    return result;
  }
  uint64_t inverse(uint64_t x) const {
    if (x % p_ == 0) throw Undefined();
    return power(x, p_ - 2);
  }
  uint64_t residue(int64_t x) const {
    const auto p = static_cast<int64_t>(p_);
    return static_cast<uint64_t>((x % p + p) % p);
  }

  uint64_t number(const std::string& text) const {
    const Decimal d = decimal_of(text);
    uint64_t value = 0;
    for (const char c : d.digits) value = (value * 10 + static_cast<uint64_t>(c - '0')) % p_;
    const uint64_t ten = d.exponent < 0 ? inverse(10) : 10;
    value = value * power(ten, static_cast<uint64_t>(std::abs(d.exponent))) % p_;
    return d.negative ? (p_ - value) % p_ : value;
  }

  uint64_t symbol(const std::string& name) const {
    if (name == "\\pi") return pi_;
    if (name == "e") return e_;
    if (name == "i") return i_;
    if (name == "\\infty") throw Unknown();
    return static_cast<uint64_t>(values_.at(name));
  }

  // n (n-1) ... of k factors, divided by k! for a binomial coefficient.
  uint64_t ratio_product(int64_t n, int64_t k, bool divide) {
    constexpr int64_t kMost = 20000;
    if (divide && n >= 0 && k < 0) return 0;
    if (k < 0 || k > kMost || (!divide && n > kMost)) throw Unknown();
    spend(budget_, k);
    uint64_t top = 1, bottom = 1;
    for (int64_t i = 0; i < k; ++i) {
      top = top * residue(n - i) % p_;
      bottom = bottom * residue(i + 1) % p_;
    }
    return divide ? top * inverse(bottom) % p_ : top;
  }

  // Of exponents, exactly.
  int64_t whole(const MathNode& x) {
    spend(budget_, 1);
    int64_t result = 0;
    bool over = false;
    switch (x.kind) {
      case Kind::kNumber: {
        const Decimal d = decimal_of(x.text);
        const char* const end = d.digits.data() + d.digits.size();
        if (d.exponent < 0 || d.exponent > 18 ||
            std::from_chars(d.digits.data(), end, result).ec != std::errc()) {
          throw Unknown();
        }
        for (int64_t i = 0; i < d.exponent; ++i)
          over |= __builtin_mul_overflow(result, 10, &result);
        if (d.negative) result = -result;
        break;
      }
      case Kind::kSymbol: {
        const auto value = values_.find(x.text);
        if (value == values_.end()) throw Unknown();
        return value->second;
      }
      case Kind::kSum:
        for (const MathNode& part : x.parts) {
          over |= __builtin_add_overflow(result, whole(part), &result);
        }
        break;
      case Kind::kProduct:
        result = 1;
        for (const MathNode& part : x.parts) {
          over |= __builtin_mul_overflow(result, whole(part), &result);
        }
        break;
      case Kind::kQuotient: {
        const int64_t top = whole(x.parts[0]), bottom = whole(x.parts[1]);
        if (bottom == 0) throw Undefined();
        if (bottom == -1 || top % bottom != 0) throw Unknown();
        return top / bottom;
      }
      case Kind::kPower: {
        const int64_t base = whole(x.parts[0]), exponent = whole(x.parts[1]);
        if (exponent < 0 || exponent > 62) throw Unknown();
        result = 1;
        for (int64_t i = 0; i < exponent; ++i)
          over |= __builtin_mul_overflow(result, base, &result);
        break;
      }
      default:
        throw Unknown();
    }
    if (over) throw Unknown();
    return result;
  }

  const uint64_t p_;
  MathBudget& budget_;
  uint64_t pi_ = 0, e_ = 0, i_ = 0;
  std::map<std::string, int64_t> values_;
};

// Complex numbers; roots and powers are the real ones where there are such.
class FloatPoint {
 public:
  FloatPoint(uint64_t stream, const std::set<std::string>& names, MathBudget& budget)
      : budget_(budget) {
    Rng rng(18, stream);
    for (const std::string& name : names) {
      const Real size = 0.3L + 2.7L * static_cast<Real>(rng.uniform());
      const bool negative = stream > 0 && rng.below(2) == 1;
      values_[name] = negative ? -size : size;
    }
  }

  Complex value(const MathNode& x) {
    spend(budget_, 4);
    const Complex result = evaluate(x);
    if (!std::isfinite(result.real()) || !std::isfinite(result.imag())) throw Undefined();
    return result;
  }
  // Of what was added on the way, and so of what rounding has left behind.
  Real scale() const { return scale_; }

 private:
  static bool real(const Complex& x) { return x.imag() == 0; }

  Complex evaluate(const MathNode& x) {
    switch (x.kind) {
      case Kind::kNumber: {
        Real value = 0;
        const char* const end = x.text.data() + x.text.size();
        if (std::from_chars(x.text.data(), end, value).ec != std::errc()) throw Undefined();
        return value;
      }
      case Kind::kSymbol:
        if (x.text == "\\pi") return std::numbers::pi_v<Real>;
        if (x.text == "e") return std::numbers::e_v<Real>;
        if (x.text == "i") return Complex(0, 1);
        if (x.text == "\\infty") throw Unknown();
        return values_.at(x.text);
      case Kind::kSum: {
        Complex sum = 0;
        for (const MathNode& part : x.parts) {
          const Complex term = value(part);
          scale_ = std::max(scale_, std::abs(term));
          sum += term;
        }
        return sum;
      }
      case Kind::kProduct: {
        Complex product = 1;
        for (const MathNode& part : x.parts) product *= value(part);
        return product;
      }
      case Kind::kQuotient: {
        const Complex bottom = value(x.parts[1]);
        if (bottom == Complex(0)) throw Undefined();
        return value(x.parts[0]) / bottom;
      }
      case Kind::kPower:
        return power(value(x.parts[0]), value(x.parts[1]));
      case Kind::kPercent:
        return value(x.parts[0]) / Real{100};
      case Kind::kFunction:
        return function(x);
      default:
        throw Unknown();
    }
  }

  Complex power(const Complex& base, const Complex& exponent) {
    if (base == Complex(0)) {
      if (real(exponent) && exponent.real() >= 0) return exponent.real() == 0 ? 1 : 0;
      throw Undefined();
    }
    if (real(base) && real(exponent) &&
        (base.real() > 0 || exponent.real() == std::floor(exponent.real()))) {
      return std::pow(base.real(), exponent.real());
    }
    const Complex result = std::pow(base, exponent);
    scale_ = std::max(scale_, std::abs(result));
    return result;
  }

  Complex root(const Complex& index, const Complex& x) {
    if (!real(index) || index.real() == 0) throw Undefined();
    const bool odd = std::fmod(index.real(), Real{2}) == 1;
    if (real(x) && x.real() < 0) {
      if (odd) return -std::pow(-x.real(), 1 / index.real());
      if (index.real() == 2) return Complex(0, std::sqrt(-x.real()));
    }
    return power(x, 1 / index.real());
  }

  Complex function(const MathNode& f) {
    const Complex x = value(f.parts.back());
    const std::string& name = f.text;
    if (name == "|") return std::abs(x);
    if (name == "sqrt") return root(value(f.parts[0]), x);
    if (name == "binom") return binomial(value(f.parts[0]), x);
    if (name == "!" || name == "floor" || name == "ceil") {
      constexpr Real kRounding = 1e-12L;
      if (!real(x)) throw Unknown();
      if (name == "floor") return std::floor(x.real() + kRounding);
      if (name == "ceil") return std::ceil(x.real() - kRounding);
      return std::tgamma(x.real() + 1);
    }
    // What follows may be rounded around 0.
    scale_ = std::max(scale_, Real{1});
    if (name == "ln") return logarithm(x);
    if (name == "log") return logarithm(x) / logarithm(value(f.parts[0]));
    if (name == "sin") return std::sin(x);
    if (name == "cos") return std::cos(x);
    if (name == "tan") return std::tan(x);
    if (name == "cot") return Complex(1) / std::tan(x);
    if (name == "sec") return Complex(1) / std::cos(x);
    if (name == "csc") return Complex(1) / std::sin(x);
    if (name == "arcsin") return std::asin(x);
    if (name == "arccos") return std::acos(x);
    if (name == "arctan") return std::atan(x);
    if (name == "sinh") return std::sinh(x);
    if (name == "cosh") return std::cosh(x);
    if (name == "tanh") return std::tanh(x);
    throw Unknown();
  }

  static Complex logarithm(const Complex& x) {
    if (x == Complex(0)) throw Undefined();
    return std::log(x);
  }

  Complex binomial(const Complex& n, const Complex& k) {
    constexpr Real kMost = 10000;
    if (!real(k) || k.real() < 0 || k.real() > kMost || k.real() != std::floor(k.real())) {
      throw Unknown();
    }
    spend(budget_, static_cast<int64_t>(k.real()));
    Complex result = 1;
    for (Real i = 0; i < k.real(); ++i) result *= (n - i) / (k.real() - i);
    return result;
  }

  MathBudget& budget_;
  Real scale_ = 0;
  std::map<std::string, Real> values_;
};

std::set<std::string> symbols_of(const MathNode& a, const MathNode& b) {
  std::set<std::string> names;
  collect_symbols(a, names);
  collect_symbols(b, names);
  return names;
}

// None: it cannot be told this way.
std::optional<bool> same_exactly(const MathNode& a, const MathNode& b, MathBudget& budget) {
  constexpr uint64_t kPrimes[] = {2147483629, 2147483549, 2147483497};  // 1 modulo 4
  const std::set<std::string> names = symbols_of(a, b);
  bool any = false;
  for (size_t i = 0; i < std::size(kPrimes); ++i) {
    try {
      ExactPoint point(kPrimes[i], i, names, budget);
      if (point.value(a) != point.value(b)) return false;
      any = true;
    } catch (const Undefined&) {
    } catch (const Unknown&) {
      return std::nullopt;
    }
  }
  return any ? std::optional(true) : std::nullopt;
}

// Calls `same` with the values at each point where both have one; whether all calls said yes, of
// `least` at least.
template <typename Same>
bool at_points(const MathNode& a, const MathNode& b, int least, MathBudget& budget, Same same) {
  const std::set<std::string> names = symbols_of(a, b);
  int met = 0;
  for (uint64_t i = 0; i < kTestPoints && (i == 0 || !names.empty()); ++i) {
    FloatPoint point(i, names, budget);
    try {
      const Complex x = point.value(a), y = point.value(b);
      if (!same(x, y, point.scale())) return false;
      ++met;
    } catch (const Undefined&) {
    } catch (const Unknown&) {
      return false;
    }
  }
  return met >= (names.empty() ? 1 : least);
}

bool within(const Complex& x, const Complex& y, Real relative) {
  return std::abs(x - y) <= relative * std::max(std::abs(x), std::abs(y));
}

// Written as a whole number, if with zeros behind a point.
bool is_whole(const MathNode& x) {
  return x.kind == Kind::kNumber && decimal_of(x.text).exponent >= 0;
}

bool is_literal(const MathNode& x) {
  return x.kind == Kind::kNumber || (x.kind == Kind::kPercent && is_literal(x.parts[0]));
}
bool is_decimal(const MathNode& x) {
  if (x.kind == Kind::kPercent) return is_decimal(x.parts[0]);
  return x.kind == Kind::kNumber && x.text.find('.') != std::string::npos;
}

template <typename Answer>
bool unless_exhausted(Answer answer) {
  try {
    return answer();
  } catch (const Exhausted&) {
  } catch (const Unknown&) {
  }
  return false;
}

}  // namespace

bool same_value(const MathNode& a, const MathNode& b, MathBudget& budget) {
  return unless_exhausted([&] {
    const std::optional<bool> exactly = same_exactly(a, b, budget);
    if (exactly.value_or(false)) return true;
    // A decimal stands for the expression that it rounds: 0.333333 for 1/3, but not 0.33.
    const bool rounded = ((is_decimal(a) && !is_literal(b)) || (is_decimal(b) && !is_literal(a))) &&
                         symbols_of(a, b).empty();
    if (exactly && !rounded) return false;
    return at_points(a, b, 2, budget, [&](const Complex& x, const Complex& y, Real scale) {
      constexpr Real kSixPlaces = 5e-7L, kSixDigits = 2e-6L;
      if (rounded) return std::abs(x - y) <= kSixPlaces && within(x, y, kSixDigits);
      return within(x, y, 1e-10L) || std::abs(x - y) <= 1e-13L * scale;
    });
  });
}

bool same_rounded_number(const MathNode& a, const MathNode& b, MathBudget& budget) {
  return unless_exhausted([&] {
    if (same_exactly(a, b, budget).value_or(false)) return true;
    if (is_whole(a) && is_whole(b)) return false;
    return symbols_of(a, b).empty() &&
           at_points(a, b, 1, budget,
                     [](const Complex& x, const Complex& y, Real) { return within(x, y, 1e-9L); });
  });
}

bool same_but_for_factor(const MathNode& a, const MathNode& b, bool positive, MathBudget& budget) {
  return unless_exhausted([&] {
    std::optional<Complex> ratio;
    return at_points(a, b, 3, budget, [&](const Complex& x, const Complex& y, Real scale) {
      const Real least = 1e-13L * scale;
      if (std::abs(x) <= least || std::abs(y) <= least) {
        return std::abs(x) <= least && std::abs(y) <= least;
      }
      if (!ratio) ratio = y / x;
      return within(y / x, *ratio, 1e-10L) &&
             (!positive || (ratio->real() > 0 && std::abs(ratio->imag()) <= 1e-10L));
    });
  });
}

bool is_constant(const MathNode& x) {
  std::set<std::string> names;
  collect_symbols(x, names);
  return names.empty();
}

}  // namespace looplm
