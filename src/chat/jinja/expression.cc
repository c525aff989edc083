// How each expression makes its value.
#include <fmt/format.h>

#include "chat/jinja/ast.h"
#include "chat/jinja/interpreter.h"

namespace looplm::jinja {

using Visit = Interpreter::Visit;

Value Name::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  if (const Value* found = scope.find(id)) return *found;
  return Value::undefined(fmt::format("'{}' is undefined", interpreter.name(id)));
}

Value Sequence::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExpressionPtr& item : items) values.push_back(item->evaluate(interpreter, scope));
  return tuple ? interpreter.tuple(std::move(values)) : interpreter.list(std::move(values));
}

Value DictDisplay::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  Dict dict;
  for (const auto& [key, value] : pairs) {
    Value name = key->evaluate(interpreter, scope);
    interpreter.budget().step(name.weight());
    dict.set(std::move(name), value->evaluate(interpreter, scope));
  }
  return make_dict(interpreter.budget(), std::move(dict));
}

Value Unary::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value value = operand->evaluate(interpreter, scope);
  interpreter.at(line);
  return apply_unary(operation, value);
}

Value Binary::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value a = left->evaluate(interpreter, scope);
  const Value b = right->evaluate(interpreter, scope);
  interpreter.at(line);
  return apply_binary(interpreter, operation, a, b);
}

Value Logical::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  Value a = left->evaluate(interpreter, scope);
  if (a.truth() != conjunction) return a;
  return right->evaluate(interpreter, scope);
}

Value Concatenation::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  TextBuilder out(interpreter.budget());
  for (const ExpressionPtr& part : parts) append_text(out, part->evaluate(interpreter, scope));
  return Value(out.take());
}

Value Compare::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  Value left = first->evaluate(interpreter, scope);
  for (const auto& [comparison, operand] : rest) {
    Value right = operand->evaluate(interpreter, scope);
    interpreter.at(line);
    if (!apply_comparison(interpreter, comparison, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Conditional::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  if (condition->evaluate(interpreter, scope).truth()) return then->evaluate(interpreter, scope);
  if (otherwise != nullptr) return otherwise->evaluate(interpreter, scope);
  return Value::undefined("an inline if without else was false");
}

Value Attribute::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value value = object->evaluate(interpreter, scope);
  interpreter.at(line);
  return interpreter.attribute(value, name);
}

Value Subscript::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value value = object->evaluate(interpreter, scope);
  const Value index = key->evaluate(interpreter, scope);
  interpreter.at(line);
  return interpreter.subscript(value, index);
}

Value Slice::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value value = object->evaluate(interpreter, scope);
  const auto part = [&](const ExpressionPtr& expression) {
    return expression == nullptr ? Value() : expression->evaluate(interpreter, scope);
  };
  const Value from = part(start);
  const Value to = part(stop);
  const Value by = part(step);
  interpreter.at(line);
  return apply_slice(interpreter, value, from, to, by);
}

Arguments CallArguments::evaluate(Interpreter& interpreter, Scope& scope) const {
  Arguments arguments;
  for (const ExpressionPtr& argument : positional) {
    arguments.positional.push_back(argument->evaluate(interpreter, scope));
  }
  if (more_positional != nullptr) {
    for (Value& item : interpreter.items(more_positional->evaluate(interpreter, scope))) {
      arguments.positional.push_back(std::move(item));
    }
  }
  for (const auto& [name, argument] : keywords) {
    arguments.keywords.emplace_back(name, argument->evaluate(interpreter, scope));
  }
  if (more_keywords != nullptr) {
    const Value more = more_keywords->evaluate(interpreter, scope);
    if (more.dict() == nullptr) fail(fmt::format("** stands before a {}", more.type_name()));
    for (const Dict::Entry& entry : more.dict()->entries()) {
      arguments.keywords.emplace_back(string_argument("**", entry.key).view(), entry.value);
    }
  }
  return arguments;
}

Value Call::evaluate(Interpreter& interpreter, Scope& scope) const {
  return evaluate(interpreter, scope, nullptr);
}

Value Call::evaluate(Interpreter& interpreter, Scope& scope, const Value* caller) const {
  const Visit visit(interpreter, line);
  const Value callee = function->evaluate(interpreter, scope);
  Arguments with = arguments.evaluate(interpreter, scope);
  if (caller != nullptr) with.keywords.emplace_back("caller", *caller);
  interpreter.at(line);
  Value result = interpreter.call(callee, with);
  return result;
}

Value Filter::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value input = value->evaluate(interpreter, scope);
  const Arguments with = arguments.evaluate(interpreter, scope);
  interpreter.at(line);
  return interpreter.apply_filter(name, input, with);
}

Value Filter::apply(Interpreter& interpreter, Scope& scope, const Value& block) const {
  const Visit visit(interpreter, line);
  const auto* before = static_cast<const Filter*>(value.get());  // in a block all are filters
  const Value input = before == nullptr ? block : before->apply(interpreter, scope, block);
  const Arguments with = arguments.evaluate(interpreter, scope);
  interpreter.at(line);
  return interpreter.apply_filter(name, input, with);
}

Value Test::evaluate(Interpreter& interpreter, Scope& scope) const {
  const Visit visit(interpreter, line);
  const Value input = value->evaluate(interpreter, scope);
  const Arguments with = arguments.evaluate(interpreter, scope);
  interpreter.at(line);
  return Value(interpreter.apply_test(name, input, with));
}

}  // namespace looplm::jinja
