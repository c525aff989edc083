#include "chat/jinja/ast.h"

#include <fmt/format.h>

#include "chat/jinja/lexer.h"

namespace looplm::jinja {

void Expression::adopt(const Expression& child) {
  depth = std::max(depth, child.depth + 1);
  if (depth > kMaxDepth) {
    fail_at(line, fmt::format("an expression nests deeper than {} levels", kMaxDepth));
  }
}

Sequence::Sequence(int at, bool is_tuple, std::vector<ExpressionPtr> all)
    : Expression(at), tuple(is_tuple), items(std::move(all)) {
  for (const ExpressionPtr& item : items) adopt(*item);
}

DictDisplay::DictDisplay(int at, std::vector<Pair> all) : Expression(at), pairs(std::move(all)) {
  for (const auto& [key, value] : pairs) {
    adopt(*key);
    adopt(*value);
  }
}

Unary::Unary(int at, UnaryOperator which, ExpressionPtr of)
    : Expression(at), operation(which), operand(std::move(of)) {
  adopt(*operand);
}

Binary::Binary(int at, BinaryOperator which, ExpressionPtr a, ExpressionPtr b)
    : Expression(at), operation(which), left(std::move(a)), right(std::move(b)) {
  adopt(*left);
  adopt(*right);
}

Logical::Logical(int at, bool is_and, ExpressionPtr a, ExpressionPtr b)
    : Expression(at), conjunction(is_and), left(std::move(a)), right(std::move(b)) {
  adopt(*left);
  adopt(*right);
}

Concatenation::Concatenation(int at, std::vector<ExpressionPtr> all)
    : Expression(at), parts(std::move(all)) {
  for (const ExpressionPtr& part : parts) adopt(*part);
}

Compare::Compare(int at, ExpressionPtr a, std::vector<Operand> others)
    : Expression(at), first(std::move(a)), rest(std::move(others)) {
  adopt(*first);
  for (const Operand& operand : rest) adopt(*operand.second);
}

Conditional::Conditional(int at, ExpressionPtr test, ExpressionPtr yes, ExpressionPtr no)
    : Expression(at), condition(std::move(test)), then(std::move(yes)), otherwise(std::move(no)) {
  adopt(*condition);
  adopt(*then);
  if (otherwise != nullptr) adopt(*otherwise);
}

Attribute::Attribute(int at, ExpressionPtr of, std::string attribute)
    : Expression(at), object(std::move(of)), name(std::move(attribute)) {
  adopt(*object);
}

Subscript::Subscript(int at, ExpressionPtr of, ExpressionPtr by)
    : Expression(at), object(std::move(of)), key(std::move(by)) {
  adopt(*object);
  adopt(*key);
}

Slice::Slice(int at, ExpressionPtr of, ExpressionPtr from, ExpressionPtr to, ExpressionPtr by)
    : Expression(at),
      object(std::move(of)),
      start(std::move(from)),
      stop(std::move(to)),
      step(std::move(by)) {
  adopt(*object);
  for (const ExpressionPtr* part : {&start, &stop, &step}) {
    if (*part != nullptr) adopt(**part);
  }
}

void CallArguments::adopt_into(Expression& owner) const {
  for (const ExpressionPtr& argument : positional) owner.adopt(*argument);
  for (const auto& [name, argument] : keywords) owner.adopt(*argument);
  if (more_positional != nullptr) owner.adopt(*more_positional);
  if (more_keywords != nullptr) owner.adopt(*more_keywords);
}

Call::Call(int at, ExpressionPtr what, CallArguments with)
    : Expression(at), function(std::move(what)), arguments(std::move(with)) {
  adopt(*function);
  arguments.adopt_into(*this);
}

Filter::Filter(int at, ExpressionPtr of, std::string filter, CallArguments with)
    : Expression(at), value(std::move(of)), name(std::move(filter)), arguments(std::move(with)) {
  if (value != nullptr) adopt(*value);
  arguments.adopt_into(*this);
}

Test::Test(int at, ExpressionPtr of, std::string test, CallArguments with)
    : Expression(at), value(std::move(of)), name(std::move(test)), arguments(std::move(with)) {
  adopt(*value);
  arguments.adopt_into(*this);
}

}  // namespace looplm::jinja
