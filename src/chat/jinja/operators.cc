// Arithmetic, comparison and slices, as Python does them.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/objects.h"

namespace looplm::jinja {
namespace {

std::string_view symbol(BinaryOperator operation) {
  static constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSymbols[static_cast<size_t>(operation)];
}

[[noreturn]] void too_large() { fail("an integer has more than 127 bits"); }

Integer floor_divide(Integer a, Integer b) {
  const Integer quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Integer power(Integer base, Integer exponent) {
  Integer result = 1;
  while (exponent > 0) {
    if (exponent % 2 != 0 && __builtin_mul_overflow(result, base, &result)) too_large();
    exponent /= 2;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) too_large();
  }
  return result;
}

Value on_integers(BinaryOperator operation, Integer a, Integer b) {
  Integer result = 0;
  bool overflow = false;
  switch (operation) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDivide:
      if (b == 0) fail("division by zero");
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDivide:
    case BinaryOperator::kModulo:
      if (b == 0) fail("division by zero");
      if (b == -1) {  // the smallest integer has no opposite
        return on_integers(BinaryOperator::kSubtract, 0,
                           operation == BinaryOperator::kModulo ? 0 : a);
      }
      result = floor_divide(a, b);
      if (operation == BinaryOperator::kModulo) result = a - result * b;
      break;
    case BinaryOperator::kPower:
      if (b < 0 && a == 0) fail("division by zero");
      if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      result = power(a, b);
      break;
  }
  if (overflow) too_large();
  return Value(result);
}

Value on_floats(BinaryOperator operation, double a, double b) {
  const bool divides = operation == BinaryOperator::kDivide ||
                       operation == BinaryOperator::kFloorDivide ||
                       operation == BinaryOperator::kModulo;
  if (divides && b == 0) fail("division by zero");
  switch (operation) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kDivide:
      return Value(a / b);
    case BinaryOperator::kFloorDivide:
      return Value(std::floor(a / b));
    case BinaryOperator::kModulo: {
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      return Value(rest);
    }
    default:
      return Value(std::pow(a, b));
  }
}

Value add_texts(Budget& budget, const Text& a, const Text& b) {
  TextBuilder out(budget);
  const bool markup = a.markup || b.markup;
  for (const Text* text : {&a, &b}) {
    if (markup && !text->markup) {
      out.append(escaped(budget, *text));
    } else {
      out.append(*text);
    }
  }
  Text all = out.take();
  all.markup = markup;
  return Value(std::move(all));
}

Value repeat(Interpreter& interpreter, const Value& value, Integer times) {
  const size_t count = times <= 0 ? 0 : times > INT64_MAX ? SIZE_MAX : static_cast<size_t>(times);
  if (const Text* text = value.string()) {
    if (text->empty()) return value;
    interpreter.budget().allocate(count, text->size());
    interpreter.budget().step(count);
    Text all;
    for (size_t i = 0; i < count; ++i) all.append(*text);
    all.markup = text->markup;
    return Value(std::move(all));
  }
  const List& list = *value.list();
  if (list.items.empty()) return value;
  interpreter.budget().allocate(count, list.items.size() * sizeof(Value));
  std::vector<Value> items;
  for (size_t i = 0; i < count; ++i) {
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return list.tuple ? interpreter.tuple(std::move(items)) : interpreter.list(std::move(items));
}

bool repeatable(const Value& value) { return value.string() != nullptr || value.list() != nullptr; }

// One end of a slice, as Python clips it.
int64_t clip(const Value& value, int64_t fallback, int64_t size, int64_t low, int64_t high) {
  if (value.is_none()) return fallback;
  Integer index = *value.as_integer();
  if (index < 0) index += size;
  return static_cast<int64_t>(std::clamp<Integer>(index, low, high));
}

}  // namespace

Text escaped(Budget& budget, const Text& text) {
  TextBuilder out(budget);
  text.for_each_run(0, text.size(), [&](std::string_view part, Marks marks) {
    for (char c : part) {
      const std::string_view entity = c == '&'    ? "&amp;"
                                      : c == '<'  ? "&lt;"
                                      : c == '>'  ? "&gt;"
                                      : c == '\'' ? "&#39;"
                                      : c == '"'  ? "&#34;"
                                                  : std::string_view(&c, 1);
      out.append(entity, marks);
    }
  });
  Text all = out.take();
  all.markup = true;
  return all;
}

Value apply_unary(UnaryOperator operation, const Value& value) {
  if (operation == UnaryOperator::kNot) return Value(!value.truth());
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  const bool negative = operation == UnaryOperator::kNegative;
  if (const auto integer = value.as_integer()) {
    return negative ? on_integers(BinaryOperator::kSubtract, 0, *integer) : Value(*integer);
  }
  if (value.real() == nullptr) {
    fail(fmt::format("a sign stands before a {}; expected a number", value.type_name()));
  }
  return negative ? Value(-*value.real()) : value;
}

Value apply_binary(Interpreter& interpreter, BinaryOperator operation, const Value& a,
                   const Value& b) {
  const bool formats = operation == BinaryOperator::kModulo && a.string() != nullptr;
  for (const Value* value : {&a, &b}) {
    if (value->undefined() != nullptr && !formats) fail(value->undefined()->why);
  }
  if (formats) return percent_format(interpreter, *a.string(), b);
  const auto ia = a.as_integer();
  const auto ib = b.as_integer();
  if (ia && ib) return on_integers(operation, *ia, *ib);
  const auto na = a.as_number();
  const auto nb = b.as_number();
  if (na && nb) return on_floats(operation, *na, *nb);
  if (operation == BinaryOperator::kAdd) {
    if (a.string() != nullptr && b.string() != nullptr) {
      return add_texts(interpreter.budget(), *a.string(), *b.string());
    }
    if (a.list() != nullptr && b.list() != nullptr && a.list()->tuple == b.list()->tuple) {
      std::vector<Value> items = a.list()->items;
      items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
      return a.list()->tuple ? interpreter.tuple(std::move(items))
                             : interpreter.list(std::move(items));
    }
  }
  if (operation == BinaryOperator::kMultiply) {
    if (ia && repeatable(b)) return repeat(interpreter, b, *ia);
    if (ib && repeatable(a)) return repeat(interpreter, a, *ib);
  }
  fail(fmt::format("'{}' is not possible between a {} and a {}", symbol(operation), a.type_name(),
                   b.type_name()));
}

bool apply_comparison(Interpreter& interpreter, Comparison comparison, const Value& a,
                      const Value& b) {
  interpreter.budget().step(std::min(a.weight(), b.weight()));
  switch (comparison) {
    case Comparison::kEqual:
      return equal(a, b);
    case Comparison::kUnequal:
      return !equal(a, b);
    case Comparison::kLess:
      return compare(a, b, "<") < 0;
    case Comparison::kLessEqual:
      return compare(a, b, "<=") <= 0;
    case Comparison::kGreater:
      return compare(a, b, ">") > 0;
    case Comparison::kGreaterEqual:
      return compare(a, b, ">=") >= 0;
    case Comparison::kIn:
      return interpreter.contains(b, a);
    default:
      return !interpreter.contains(b, a);
  }
}

Value apply_slice(Interpreter& interpreter, const Value& value, const Value& start,
                  const Value& stop, const Value& step) {
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  const auto* range = dynamic_cast<Range*>(value.object());
  const auto is_index = [](const Value& part) { return part.is_none() || part.as_integer(); };
  const bool indices = is_index(start) && is_index(stop) && is_index(step);
  if ((!repeatable(value) && range == nullptr) || !indices) {
    return Value::undefined(fmt::format("a {} has no such slice", value.type_name()));
  }
  const auto size = static_cast<int64_t>(interpreter.length(value));
  const Integer by = step.is_none() ? 1 : *step.as_integer();
  if (by == 0) fail("a slice with step 0");
  const bool back = by < 0;
  const int64_t low = back ? -1 : 0;
  const int64_t high = back ? size - 1 : size;
  const int64_t from = clip(start, back ? high : low, size, low, high);
  const int64_t to = clip(stop, back ? low : high, size, low, high);
  const auto stride = static_cast<int64_t>(std::clamp<Integer>(by, -size - 1, size + 1));
  std::vector<size_t> places;
  for (int64_t i = from; back ? i > to : i < to; i += stride) {
    interpreter.budget().step();
    places.push_back(static_cast<size_t>(i));
  }

  if (const Text* text = value.string()) {
    if (stride == 1) {
      const size_t begin = character_offset(text->view(), static_cast<size_t>(from));
      const size_t end = character_offset(text->view(), static_cast<size_t>(std::max(from, to)));
      return interpreter.slice(*text, begin, end);
    }
    std::vector<size_t> offsets;  // of all characters, and the end
    for (size_t at = 0; at < text->size(); next_character(text->view(), at)) offsets.push_back(at);
    offsets.push_back(text->size());
    TextBuilder out(interpreter.budget());
    for (size_t place : places) out.append(*text, offsets[place], offsets[place + 1]);
    Text all = out.take();
    all.markup = text->markup;
    return Value(std::move(all));
  }
  std::vector<Value> items;
  for (size_t place : places) {
    items.push_back(range != nullptr ? range->at(place) : value.list()->items[place]);
  }
  const bool tuple = value.list() != nullptr && value.list()->tuple;
  return tuple ? interpreter.tuple(std::move(items)) : interpreter.list(std::move(items));
}

}  // namespace looplm::jinja
