// Python's two ways to put values into a format string.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "chat/jinja/interpreter.h"

namespace looplm::jinja {
namespace {

constexpr int64_t kMaxPrecision = 400;

struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '\0';   // + or space
  bool alternative = false;
  bool grouped = false;  // thousands by commas
  size_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

// Digits at `at`, as a number small enough to add to.
int64_t read_digits(std::string_view text, size_t& at) {
  int64_t number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    number = std::min<int64_t>(number * 10 + (text[at] - '0'), int64_t{1} << 40);
  }
  return number;
}

std::string grouped_digits(const std::string& digits) {
  const size_t end = std::min(digits.find_first_of(".e"), digits.size());
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && i < end && (end - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

// A number's digits without its sign.
std::string digits_of(const Value& value, const Spec& spec) {
  const char type = spec.type;
  const bool as_float =
      value.real() != nullptr ||
      (type != '\0' && std::string_view("eEfFgG%").find(type) != std::string_view::npos);
  if (!as_float) {
    const Integer integer = *value.as_integer();
    const auto magnitude =
        integer < 0 ? -static_cast<Magnitude>(integer) : static_cast<Magnitude>(integer);
    if (type != '\0' && std::string_view("xXob").find(type) != std::string_view::npos) {
      std::string text = fmt::format(fmt::runtime(fmt::format("{{:{}}}", type)), magnitude);
      if (!spec.alternative) return text;
      return fmt::format("0{}{}", type, text);
    }
    if (type != '\0' && type != 'd' && type != 'n')
      fail(fmt::format("unknown format type '{}'", type));
    return fmt::format("{}", magnitude);
  }
  const double number = std::fabs(*value.as_number()) * (type == '%' ? 100 : 1);
  if (type == '\0' && spec.precision < 0) return float_repr(number);
  if (!std::isfinite(number)) return std::isnan(number) ? "nan" : "inf";
  const char shown_type = type == '%' ? 'f' : type == '\0' || type == 'n' ? 'g' : type;
  if (std::string_view("eEfFgG").find(shown_type) == std::string_view::npos) {
    fail(fmt::format("unknown format type '{}'", type));
  }
  const std::string pattern = fmt::format("{{:{}.{}{}}}", spec.alternative ? "#" : "",
                                          spec.precision < 0 ? 6 : spec.precision, shown_type);
  return fmt::format(fmt::runtime(pattern), number) + (type == '%' ? "%" : "");
}

void append_padded(TextBuilder& out, const Text& text, const Spec& spec, char usual_align) {
  const char align = spec.align == '\0' ? usual_align : spec.align;
  const size_t size = count_characters(text.view());
  const size_t missing = spec.width > size ? spec.width - size : 0;
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  out.repeat(spec.fill, before, 0);
  out.append(text);
  out.repeat(spec.fill, missing - before, 0);
}

void append_number(TextBuilder& out, const Value& value, const Spec& spec) {
  std::string digits = digits_of(value, spec);
  if (spec.grouped) digits = grouped_digits(digits);
  const auto integer = value.as_integer();
  const bool negative = integer ? *integer < 0 : std::signbit(*value.real());
  const std::string sign = negative ? "-" : spec.sign != '\0' ? std::string(1, spec.sign) : "";
  if (spec.align == '=') {
    const size_t size = sign.size() + digits.size();
    out.append(sign, 0);
    out.repeat(spec.fill, spec.width > size ? spec.width - size : 0, 0);
    out.append(digits, 0);
  } else {
    append_padded(out, Text(sign + digits), spec, '>');
  }
}

Text shortened(Budget& budget, const Text& text, int64_t precision) {
  if (precision < 0) return text;
  TextBuilder part(budget);
  part.append(text, 0, character_offset(text.view(), static_cast<size_t>(precision)));
  return part.take();
}

void check_precision(const Spec& spec) {
  if (spec.precision > kMaxPrecision) {
    fail(fmt::format("a precision is {}; expected at most {}", spec.precision, kMaxPrecision));
  }
}

// One %-conversion.
void append_conversion(Interpreter& interpreter, TextBuilder& out, const Value& value, Spec spec) {
  TextBuilder made(interpreter.budget());
  switch (spec.type) {
    case 's':
      append_text(made, value);
      break;
    case 'r':
    case 'a':
      append_repr(made, value);
      break;
    case 'c':
      if (value.string() != nullptr) {
        made.append(*value.string());
        break;
      }
      fail(fmt::format("%c stands for {}; expected a character", shown(value)));
    case 'd':
    case 'i':
    case 'u': {
      check_precision(spec);
      if (!value.as_number())
        fail(fmt::format("%{} stands for {}; expected a number", spec.type, shown(value)));
      Value whole = value;
      if (const double* real = value.real()) {
        if (!(std::fabs(*real) < 0x1p126)) fail(fmt::format("%d stands for {}", shown(value)));
        whole = Value(static_cast<Integer>(*real));
      }
      spec.type = 'd';
      return append_number(out, whole, spec);
    }
    case 'x':
    case 'X':
    case 'o':
      if (!value.as_integer())
        fail(fmt::format("%{} stands for {}; expected an integer", spec.type, shown(value)));
      return append_number(out, value, spec);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      check_precision(spec);
      if (!value.as_number())
        fail(fmt::format("%{} stands for {}; expected a number", spec.type, shown(value)));
      return append_number(out, value, spec);
    default:
      fail(fmt::format("unknown conversion '%{}'", spec.type));
  }
  if (spec.fill == "0") spec.fill.assign(1, ' ');
  if (spec.align == '=') spec.align = '>';
  append_padded(out, shortened(interpreter.budget(), made.take(), spec.precision), spec, '>');
}

// [[fill]align][sign][#][0][width][,][.precision][type]
Spec read_spec(std::string_view text) {
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  Spec spec;
  size_t at = 0;
  size_t first = 0;
  if (!text.empty()) next_character(text, first);
  if (first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    at = 1;
  }
  const auto take = [&](char c) { return at < text.size() && text[at] == c && ++at; };
  if (take('+')) spec.sign = '+';
  if (take('-')) spec.sign = '\0';
  if (take(' ')) spec.sign = ' ';
  spec.alternative = take('#');
  if (at < text.size() && text[at] == '0' && spec.align == '\0') {
    spec.fill.assign(1, '0');
    spec.align = '=';
    ++at;
  }
  spec.width = static_cast<size_t>(read_digits(text, at));
  spec.grouped = take(',');
  if (take('.')) spec.precision = read_digits(text, at);
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) fail(fmt::format("'{}' is no format specification", text));
  return spec;
}

void append_formatted(Interpreter& interpreter, TextBuilder& out, const Value& value,
                      std::string_view format) {
  if (format.empty()) return append_text(out, value);
  Spec spec = read_spec(format);
  check_precision(spec);
  if (value.as_number() && spec.type != 's') {
    if (value.boolean() == nullptr || spec.type != '\0') return append_number(out, value, spec);
  }
  if (value.string() == nullptr && value.boolean() == nullptr) {
    fail(fmt::format("a format specification for a {}", value.type_name()));
  }
  if (spec.type != '\0' && spec.type != 's') {
    fail(fmt::format("format type '{}' for a {}", spec.type, value.type_name()));
  }
  if (spec.align == '=' && spec.fill == "0") spec.align = '<';
  append_padded(out, shortened(interpreter.budget(), interpreter.str(value), spec.precision), spec,
                '<');
}

// str.format: cuts the string into text and {fields}.
class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const Arguments& arguments)
      : interpreter_(interpreter), arguments_(arguments) {}

  Text format(const Text& format, int depth) {
    if (depth > 2) fail("format: fields nest too deep");
    const std::string_view all = format.view();
    TextBuilder out(interpreter_.budget());
    for (size_t at = 0; at < all.size();) {
      const size_t brace = std::min(all.find_first_of("{}", at), all.size());
      out.append(format, at, brace);
      if (brace == all.size()) break;
      at = brace + 1;
      if (at < all.size() && all[at] == all[brace]) {
        out.append(format, brace, at);
        ++at;
      } else if (all[brace] == '}') {
        fail("format: a single '}'");
      } else {
        at = field(format, at, out, depth);
      }
    }
    return out.take();
  }

 private:
  // The field behind a "{"; returns the place behind its "}".
  size_t field(const Text& format, size_t begin, TextBuilder& out, int depth) {
    const std::string_view all = format.view();
    size_t open = 1;
    size_t end = begin;
    for (; end < all.size(); ++end) {
      if (all[end] == '{') ++open;
      if (all[end] == '}' && --open == 0) break;
    }
    if (end == all.size()) fail("format: a '{' without its '}'");
    const std::string_view body = all.substr(begin, end - begin);
    const size_t colon = std::min(body.find(':'), body.size());
    const size_t bang = std::min(body.substr(0, colon).find('!'), colon);
    Value value = look_up(body.substr(0, bang));
    if (bang < colon) {
      const std::string_view conversion = body.substr(bang + 1, colon - bang - 1);
      TextBuilder made(interpreter_.budget());
      if (conversion == "r") {
        append_repr(made, value);
      } else if (conversion == "s") {
        append_text(made, value);
      } else {
        fail(fmt::format("format: unknown conversion '!{}'", conversion));
      }
      value = Value(made.take());
    }
    std::string spec(colon < body.size() ? body.substr(colon + 1) : "");
    if (spec.find('{') != std::string::npos) spec = this->format(Text(spec), depth + 1).view();
    append_formatted(interpreter_, out, value, spec);
    return end + 1;
  }

  // "name.attribute[key]"
  Value look_up(std::string_view path) {
    const size_t first = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, first));
    for (size_t at = first; at < path.size();) {
      if (path[at] == '.') {
        const size_t end = std::min(path.find_first_of(".[", at + 1), path.size());
        value = interpreter_.attribute(value, path.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const size_t end = path.find(']', at);
        if (end == std::string_view::npos) fail("format: a '[' without its ']'");
        const std::string_view key = path.substr(at + 1, end - at - 1);
        size_t digits = 0;
        const int64_t number = read_digits(key, digits);
        const bool is_number = !key.empty() && digits == key.size();
        value = interpreter_.subscript(
            value, is_number ? Value(Integer{number}) : Value::text(std::string(key)));
        at = end + 1;
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    size_t digits = 0;
    size_t index = static_cast<size_t>(read_digits(name, digits));
    if (name.empty()) index = next_++;
    if (digits == name.size()) {
      if (index < arguments_.positional.size()) return arguments_.positional[index];
      fail(fmt::format("format: there is no argument {}", index));
    }
    for (const auto& [known, value] : arguments_.keywords) {
      if (known == name) return value;
    }
    fail(fmt::format("format: there is no argument '{}'", name));
  }

  Interpreter& interpreter_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

Value percent_format(Interpreter& interpreter, const Text& format, const Value& values) {
  const std::string_view all = format.view();
  const bool many = values.list() != nullptr && values.list()->tuple;
  size_t used = 0;
  const auto next_value = [&]() -> Value {
    if (many ? used >= values.list()->items.size() : used > 0) {
      fail("a format string wants more values than it is given");
    }
    return many ? values.list()->items[used++] : (++used, values);
  };
  TextBuilder out(interpreter.budget());
  for (size_t at = 0; at < all.size();) {
    const size_t percent = std::min(all.find('%', at), all.size());
    out.append(format, at, percent);
    if (percent == all.size()) break;
    at = percent + 1;
    std::optional<Value> named;
    if (at < all.size() && all[at] == '(') {
      const size_t end = all.find(')', at);
      if (end == std::string_view::npos) fail("a format string has '%(' without its ')'");
      const std::string_view key = all.substr(at + 1, end - at - 1);
      const Value* found = values.dict() == nullptr ? nullptr : values.dict()->find(key);
      if (found == nullptr)
        fail(fmt::format("a format string wants '{}', which is not there", key));
      named = *found;
      ++used;
      at = end + 1;
    }
    Spec spec;
    for (; at < all.size() && std::string_view("-+ #0").find(all[at]) != std::string_view::npos;
         ++at) {
      if (all[at] == '-') spec.align = '<';
      if (all[at] == '0' && spec.align == '\0') spec.align = '=';
      if (all[at] == '+' || (all[at] == ' ' && spec.sign == '\0')) spec.sign = all[at];
      if (all[at] == '#') spec.alternative = true;
    }
    if (spec.align == '=') spec.fill.assign(1, '0');
    const auto number = [&] {
      if (at < all.size() && all[at] == '*') {
        ++at;
        return integer_argument("%", next_value());
      }
      return read_digits(all, at);
    };
    int64_t width = number();
    if (width < 0) {
      spec.align = '<';
      width = -width;
    }
    spec.width = static_cast<size_t>(width);
    if (at < all.size() && all[at] == '.') {
      ++at;
      spec.precision = std::max<int64_t>(0, number());
    }
    while (at < all.size() && (all[at] == 'h' || all[at] == 'l' || all[at] == 'L')) ++at;
    if (at == all.size()) fail("a format string ends within a conversion");
    spec.type = all[at++];
    if (spec.type == '%') {
      out.append("%", 0);
      continue;
    }
    append_conversion(interpreter, out, named ? *named : next_value(), spec);
  }
  const bool left_over = many ? used < values.list()->items.size()
                              : used == 0 && values.dict() == nullptr && values.list() == nullptr;
  if (left_over) fail("a format string wants fewer values than it is given");
  return Value(out.take());
}

Value brace_format(Interpreter& interpreter, const Text& format, const Arguments& arguments) {
  return Value(BraceFormatter(interpreter, arguments).format(format, 0));
}

}  // namespace looplm::jinja
