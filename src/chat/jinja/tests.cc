// Tests: `value is name`.
#include <unordered_map>

#include <fmt/format.h>

#include "chat/jinja/filters.h"
#include "chat/jinja/interpreter.h"

namespace looplm::jinja {
namespace {

using TestFunction = bool (*)(Interpreter&, const Value&, const Arguments&);

void none(const Arguments& arguments) { bind_arguments("a test", arguments, {}, 0); }

const Value& only(const Arguments& arguments) {
  return *bind_arguments("a test", arguments, {"other"}, 1)[0];
}

template <Comparison comparison>
bool compares(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return apply_comparison(interpreter, comparison, value, only(arguments));
}

bool divisible(Interpreter& interpreter, const Value& value, const Value& by) {
  const Value rest = apply_binary(interpreter, BinaryOperator::kModulo, value, by);
  return equal(rest, Value(Integer{0}));
}

template <bool (*is)(const Value&)>
bool plain(Interpreter&, const Value& value, const Arguments& arguments) {
  none(arguments);
  return is(value);
}

bool is_defined(const Value& v) { return v.undefined() == nullptr; }
bool is_undefined(const Value& v) { return v.undefined() != nullptr; }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.boolean() != nullptr; }
bool is_true(const Value& v) { return is_boolean(v) && *v.boolean(); }
bool is_false(const Value& v) { return is_boolean(v) && !*v.boolean(); }
bool is_integer(const Value& v) { return v.integer() != nullptr; }
bool is_float(const Value& v) { return v.real() != nullptr; }
bool is_number(const Value& v) { return v.as_number().has_value(); }
bool is_string(const Value& v) { return v.string() != nullptr; }
bool is_mapping(const Value& v) { return v.dict() != nullptr; }
bool is_callable(const Value& v) { return v.object() != nullptr && v.object()->callable(); }
bool is_escaped(const Value& v) { return is_string(v) && v.string()->markup; }
// With a length and items by number or key.
bool is_sequence(const Value& v) {
  return is_string(v) || v.list() != nullptr || is_mapping(v) || is_undefined(v) ||
         v.type_name() == "range";
}

bool is_iterable(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  none(arguments);
  if (value.object() != nullptr) return value.object()->iterate(interpreter) != nullptr;
  return is_sequence(value);
}

bool is_even(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  none(arguments);
  return divisible(interpreter, value, Value(Integer{2}));
}
bool is_odd(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  none(arguments);
  const Value rest = apply_binary(interpreter, BinaryOperator::kModulo, value, Value(Integer{2}));
  return equal(rest, Value(Integer{1}));
}
bool is_divisible_by(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return divisible(interpreter, value, only(arguments));
}
bool is_same(Interpreter&, const Value& value, const Arguments& arguments) {
  return value.same_object(only(arguments));
}
bool is_in(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  return interpreter.contains(only(arguments), value);
}

template <bool upper>
bool is_case(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  none(arguments);
  const Value text(interpreter.str(value));
  const auto method = find_method(interpreter, text, upper ? "isupper" : "islower");
  return interpreter.call(*method, {}).truth();
}

bool names_filter(Interpreter&, const Value& value, const Arguments& arguments) {
  none(arguments);
  return value.string() != nullptr && is_filter(value.string()->view());
}
bool names_test(Interpreter&, const Value& value, const Arguments& arguments) {
  none(arguments);
  return value.string() != nullptr && is_test(value.string()->view());
}

const std::unordered_map<std::string_view, TestFunction>& table() {
  static const std::unordered_map<std::string_view, TestFunction> kTable = {
      {"!=", compares<Comparison::kUnequal>},
      {"<", compares<Comparison::kLess>},
      {"<=", compares<Comparison::kLessEqual>},
      {"==", compares<Comparison::kEqual>},
      {">", compares<Comparison::kGreater>},
      {">=", compares<Comparison::kGreaterEqual>},
      {"boolean", plain<is_boolean>},
      {"callable", plain<is_callable>},
      {"defined", plain<is_defined>},
      {"divisibleby", is_divisible_by},
      {"eq", compares<Comparison::kEqual>},
      {"equalto", compares<Comparison::kEqual>},
      {"escaped", plain<is_escaped>},
      {"even", is_even},
      {"false", plain<is_false>},
      {"filter", names_filter},
      {"float", plain<is_float>},
      {"ge", compares<Comparison::kGreaterEqual>},
      {"greaterthan", compares<Comparison::kGreater>},
      {"gt", compares<Comparison::kGreater>},
      {"in", is_in},
      {"integer", plain<is_integer>},
      {"iterable", is_iterable},
      {"le", compares<Comparison::kLessEqual>},
      {"lessthan", compares<Comparison::kLess>},
      {"lower", is_case<false>},
      {"lt", compares<Comparison::kLess>},
      {"mapping", plain<is_mapping>},
      {"ne", compares<Comparison::kUnequal>},
      {"none", plain<is_none>},
      {"number", plain<is_number>},
      {"odd", is_odd},
      {"sameas", is_same},
      {"sequence", plain<is_sequence>},
      {"string", plain<is_string>},
      {"test", names_test},
      {"true", plain<is_true>},
      {"undefined", plain<is_undefined>},
      {"upper", is_case<true>},
  };
  return kTable;
}

}  // namespace

bool is_test(std::string_view name) { return table().count(name) > 0; }

bool Interpreter::apply_test(std::string_view name, const Value& value,
                             const Arguments& arguments) {
  const auto found = table().find(name);
  if (found == table().end()) fail(fmt::format("there is no test '{}'", name));
  budget_.step();
  return found->second(*this, value, arguments);
}

}  // namespace looplm::jinja
