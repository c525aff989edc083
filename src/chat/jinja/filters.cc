// Filters on text and numbers, and the table of all filters.
#include "chat/jinja/filters.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

#include <fmt/format.h>

#include "chat/jinja/text_methods.h"

namespace looplm::jinja {
namespace {

// A string as it is, anything else as str() gives it.
Text soft_text(Interpreter& interpreter, const Value& value) {
  return value.string() != nullptr ? *value.string() : interpreter.str(value);
}

template <Case which>
Value case_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("a change of case", arguments, {}, 0);
  return change_case(interpreter, soft_text(interpreter, value), which);
}

Value capitalize_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("capitalize", arguments, {}, 0);
  return capitalize(interpreter, soft_text(interpreter, value));
}

// Words begin behind white space and - ( { [ <, other than str.title has it.
Value title(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("title", arguments, {}, 0);
  bool in_word = false;
  return mapped(interpreter, soft_text(interpreter, value), [&](std::string_view part) {
    std::string out;
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const uint32_t c = next_character(part, at);
      const std::string_view one = part.substr(begin, at - begin);
      const bool between =
          is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                          std::string_view::npos);
      out += with_case(one, in_word || between ? Case::kLower : Case::kUpper);
      in_word = !between;
    }
    return out;
  });
}

Value trim(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("trim", arguments, {"chars"}, 0);
  const Text* characters =
      bound[0] == nullptr || bound[0]->is_none() ? nullptr : &string_argument("trim", *bound[0]);
  return strip(interpreter, soft_text(interpreter, value), characters, Side::kBoth);
}

Value replace_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  const bool all = bound[2] == nullptr || bound[2]->is_none();
  Text text = interpreter.str(value);
  text.markup = false;
  return replace(interpreter, text, interpreter.str(*bound[0]), interpreter.str(*bound[1]),
                 all ? -1 : integer_argument("replace", *bound[2]));
}

Value indent(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("indent", arguments, {"width", "first", "blank"}, 0);
  TextBuilder spaces(interpreter.budget());
  if (bound[0] != nullptr && bound[0]->string() != nullptr) {
    spaces.append(*bound[0]->string());
  } else {
    const int64_t width = bound[0] == nullptr ? 4 : integer_argument("indent", *bound[0]);
    spaces.repeat(" ", static_cast<size_t>(std::max<int64_t>(0, width)), 0);
  }
  const Text indentation = spaces.take();
  const bool first = bound[1] != nullptr && bound[1]->truth();
  const bool blank = bound[2] != nullptr && bound[2]->truth();
  const Value with_end = apply_binary(interpreter, BinaryOperator::kAdd, value, Value::text("\n"));
  const std::vector<Value> lines = split_lines(interpreter, *with_end.string(), false);
  TextBuilder out(interpreter.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    const Text& line = *lines[i].string();
    if (i > 0) out.append("\n", 0);
    if (i == 0 ? first : blank || !line.empty()) out.append(indentation);
    out.append(line);
  }
  Text text = out.take();
  text.markup = with_end.string()->markup;
  return Value(std::move(text));
}

Value center(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("center", arguments, {"width"}, 0);
  return pad(interpreter, soft_text(interpreter, value),
             bound[0] == nullptr ? 80 : integer_argument("center", *bound[0]), " ", true, true);
}

Value truncate(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound =
      bind_arguments("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const auto number = [&](size_t i, int64_t fallback) {
    return bound[i] == nullptr || bound[i]->is_none() ? fallback
                                                      : integer_argument("truncate", *bound[i]);
  };
  const Text& text = string_argument("truncate", value);
  const Text end = bound[2] == nullptr ? Text("...") : string_argument("truncate", *bound[2]);
  const int64_t length = number(0, 255);
  const int64_t leeway = number(3, 5);
  const auto end_size = static_cast<int64_t>(count_characters(end.view()));
  if (length < end_size || leeway < 0) fail("truncate: the length is below that of the end");
  if (static_cast<int64_t>(count_characters(text.view())) <= length + leeway) return value;
  size_t cut = character_offset(text.view(), static_cast<size_t>(length - end_size));
  if (bound[1] == nullptr || !bound[1]->truth()) {
    const size_t space = text.view().substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  TextBuilder out(interpreter.budget());
  out.append(text, 0, cut);
  out.append(end);
  return Value(out.take());
}

Value wordcount(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("wordcount", arguments, {}, 0);
  const Text text = soft_text(interpreter, value);
  Integer words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_character(text.view(), at);
    const bool word = is_alpha(c) || is_numeric_character(c) || c == '_';
    if (word && !inside) ++words;
    inside = word;
  }
  return Value(words);
}

Value format_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty()) {
    fail("format: arguments with and without names");
  }
  const Text text = soft_text(interpreter, value);
  if (arguments.keywords.empty()) {
    return percent_format(interpreter, text, interpreter.tuple(arguments.positional));
  }
  Dict named;
  for (const auto& [name, argument] : arguments.keywords) named.set(Value::text(name), argument);
  return percent_format(interpreter, text, make_dict(interpreter.budget(), std::move(named)));
}

Value string_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("string", arguments, {}, 0);
  return Value(soft_text(interpreter, value));
}

Value safe(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("safe", arguments, {}, 0);
  Text text = soft_text(interpreter, value);
  text.markup = true;
  return Value(std::move(text));
}

template <bool again>
Value escape_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("escape", arguments, {}, 0);
  const Text text = soft_text(interpreter, value);
  return Value(text.markup && !again ? text : escaped(interpreter.budget(), text));
}

// What int() and float() read; none: not a number.
std::optional<double> read_float(std::string_view text) {
  std::string plain;
  for (char c : text) {
    if (c != '_') plain += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  }
  if (plain.starts_with('+')) plain.erase(0, 1);
  const std::string_view body = std::string_view(plain).substr(plain.starts_with('-') ? 1 : 0);
  if (body.empty() || body.find_first_not_of("0123456789.e+-infatyo") != std::string_view::npos) {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (end != plain.data() + plain.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = std::strtod(plain.c_str(), nullptr);
  return value;
}

std::optional<Integer> read_integer(std::string_view text, int base) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      text.remove_prefix(2);
    }
  }
  if (base == 0) base = 10;
  if (text.empty() || text.front() == '_' || text.back() == '_') return std::nullopt;
  Integer value = 0;
  for (char c : text) {
    if (c == '_') continue;
    const int digit = c >= '0' && c <= '9' ? c - '0'
                      : (c | 0x20) >= 'a'  ? (c | 0x20) - 'a' + 10
                                           : 99;
    if (digit >= base || digit < 0) return std::nullopt;
    if (__builtin_mul_overflow(value, Integer{base}, &value) ||
        __builtin_add_overflow(value, Integer{digit}, &value)) {
      fail("an integer has more than 127 bits");
    }
  }
  return negative ? -value : value;
}

std::optional<Integer> from_float(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::fabs(value) >= 0x1p126) fail("an integer has more than 127 bits");
  return static_cast<Integer>(value);
}

Value int_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("int", arguments, {"default", "base"}, 0);
  const int64_t base = bound[1] == nullptr ? 10 : integer_argument("int", *bound[1]);
  std::optional<Integer> found = value.as_integer();
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  if (const double* real = value.real()) found = from_float(*real);
  if (const Text* text = value.string()) {
    const Value bare = strip(interpreter, *text, nullptr, Side::kBoth);
    if (base == 0 || (base >= 2 && base <= 36)) {
      found = read_integer(bare.string()->view(), static_cast<int>(base));
    }
    if (!found) {
      if (const auto real = read_float(bare.string()->view())) found = from_float(*real);
    }
  }
  if (found) return Value(*found);
  return bound[0] == nullptr ? Value(Integer{0}) : *bound[0];
}

Value float_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("float", arguments, {"default"}, 0);
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  std::optional<double> found = value.as_number();
  if (const Text* text = value.string()) {
    found = read_float(strip(interpreter, *text, nullptr, Side::kBoth).string()->view());
  }
  if (found) return Value(*found);
  return bound[0] == nullptr ? Value(0.0) : *bound[0];
}

Value absolute(Interpreter&, const Value& value, const Arguments& arguments) {
  bind_arguments("abs", arguments, {}, 0);
  if (const double* real = value.real()) return Value(std::fabs(*real));
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  const auto integer = value.as_integer();
  if (!integer) fail(fmt::format("abs: {} is not a number", shown(value)));
  return *integer < 0 ? apply_unary(UnaryOperator::kNegative, value) : Value(*integer);
}

// Half to even on the decimal digits of the exact value, as Python's round does.
double rounded(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits >= 0) {
    return std::strtod(fmt::format("{:.{}f}", value, digits).c_str(), nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / unit) * unit;
}

Value round_filter(Interpreter&, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("round", arguments, {"precision", "method"}, 0);
  const int64_t digits = bound[0] == nullptr ? 0 : integer_argument("round", *bound[0]);
  const std::string_view method =
      bound[1] == nullptr ? "common" : string_argument("round", *bound[1]).view();
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("round: the method is not common, ceil or floor");
  }
  const auto number = value.as_number();
  if (!number) fail(fmt::format("round: {} is not a number", shown(value)));
  if (method == "common") {
    if (value.as_integer() && digits >= 0) return Value(*value.as_integer());
    const double result = rounded(*number, digits);
    return value.as_integer() ? Value(static_cast<Integer>(result)) : Value(result);
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = *number * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value tojson(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound =
      bind_arguments("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = bound[0] != nullptr && bound[0]->truth();
  if (bound[1] != nullptr && !bound[1]->is_none()) {
    style.item_separator.assign(1, ',');
    if (bound[1]->string() != nullptr) {
      style.indent = std::string(bound[1]->string()->view());
    } else {
      const auto width =
          static_cast<size_t>(std::max<int64_t>(0, integer_argument("tojson", *bound[1])));
      interpreter.budget().allocate(width);
      style.indent = std::string(width, ' ');
    }
  }
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const std::vector<Value> separators = interpreter.items(*bound[2]);
    if (separators.size() != 2) fail("tojson: the separators are not two");
    style.item_separator = string_argument("tojson", separators[0]).view();
    style.key_separator = string_argument("tojson", separators[1]).view();
  }
  style.sort_keys = bound[3] != nullptr && bound[3]->truth();
  TextBuilder out(interpreter.budget());
  append_json(out, value, style);
  return Value(out.take());
}

Value default_filter(Interpreter&, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("default", arguments, {"default_value", "boolean"}, 0);
  const bool replaces =
      value.undefined() != nullptr || (bound[1] != nullptr && bound[1]->truth() && !value.truth());
  if (!replaces) return value;
  return bound[0] == nullptr ? Value::text("") : *bound[0];
}

Value attribute_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("attr", arguments, {"name"}, 1);
  const std::string_view name = string_argument("attr", *bound[0]).view();
  if (value.dict() == nullptr) return interpreter.attribute(value, name);
  if (auto found = find_method(interpreter, value, name)) return *found;
  return Value::undefined(fmt::format("a dict has no attribute '{}'", name));
}

const std::unordered_map<std::string_view, FilterFunction>& table() {
  static const std::unordered_map<std::string_view, FilterFunction> kTable = [] {
    std::unordered_map<std::string_view, FilterFunction> all = sequence_filters();
    all.insert({
        {"abs", absolute},
        {"attr", attribute_filter},
        {"capitalize", capitalize_filter},
        {"center", center},
        {"d", default_filter},
        {"default", default_filter},
        {"e", escape_filter<false>},
        {"escape", escape_filter<false>},
        {"float", float_filter},
        {"forceescape", escape_filter<true>},
        {"format", format_filter},
        {"indent", indent},
        {"int", int_filter},
        {"lower", case_filter<Case::kLower>},
        {"replace", replace_filter},
        {"round", round_filter},
        {"safe", safe},
        {"string", string_filter},
        {"title", title},
        {"tojson", tojson},
        {"trim", trim},
        {"truncate", truncate},
        {"upper", case_filter<Case::kUpper>},
        {"wordcount", wordcount},
    });
    return all;
  }();
  return kTable;
}

}  // namespace

bool is_filter(std::string_view name) { return table().count(name) > 0; }

Value Interpreter::apply_filter(std::string_view name, const Value& value,
                                const Arguments& arguments) {
  const auto found = table().find(name);
  if (found == table().end()) fail(fmt::format("there is no filter '{}'", name));
  budget_.step();
  if (const Text* text = value.string()) budget_.step(text->size() / 64);
  return found->second(*this, value, arguments);
}

}  // namespace looplm::jinja
