// A parsed template: expressions that make values, statements that write text. Each node evaluates
// itself (expression.cc, statement.cc); the parser makes them.
#ifndef LOOPLM_CHAT_JINJA_AST_H_
#define LOOPLM_CHAT_JINJA_AST_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/value.h"

namespace looplm::jinja {

class Interpreter;
class Scope;

struct Expression {
  explicit Expression(int at) : line(at) {}
  virtual ~Expression() = default;
  virtual Value evaluate(Interpreter& interpreter, Scope& scope) const = 0;
  // Counts a child's nesting; throws SourceFailure where it is too deep.
  void adopt(const Expression& child);

  int line;
  int depth = 1;
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Constant : Expression {
  Constant(int at, Value v) : Expression(at), value(std::move(v)) {}
  Value evaluate(Interpreter&, Scope&) const override { return value; }
  Value value;
};

struct Name : Expression {
  Name(int at, int name) : Expression(at), id(name) {}
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  int id;  // in Program's list of names
};

struct Sequence : Expression {  // [a, b] or (a, b)
  Sequence(int at, bool is_tuple, std::vector<ExpressionPtr> all);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  bool tuple;
  std::vector<ExpressionPtr> items;
};

struct DictDisplay : Expression {
  using Pair = std::pair<ExpressionPtr, ExpressionPtr>;
  DictDisplay(int at, std::vector<Pair> all);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  std::vector<Pair> pairs;
};

enum class UnaryOperator { kNot, kNegative, kPositive };
struct Unary : Expression {
  Unary(int at, UnaryOperator which, ExpressionPtr of);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  UnaryOperator operation;
  ExpressionPtr operand;
};

enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
struct Binary : Expression {
  Binary(int at, BinaryOperator which, ExpressionPtr a, ExpressionPtr b);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  BinaryOperator operation;
  ExpressionPtr left, right;
};

struct Logical : Expression {  // `and` gives the first false one, `or` the first true one
  Logical(int at, bool is_and, ExpressionPtr a, ExpressionPtr b);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  bool conjunction;
  ExpressionPtr left, right;
};

struct Concatenation : Expression {  // a ~ b
  Concatenation(int at, std::vector<ExpressionPtr> all);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  std::vector<ExpressionPtr> parts;
};

enum class Comparison { kEqual, kUnequal, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
struct Compare : Expression {  // a < b <= c
  using Operand = std::pair<Comparison, ExpressionPtr>;
  Compare(int at, ExpressionPtr a, std::vector<Operand> others);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr first;
  std::vector<Operand> rest;
};

struct Conditional : Expression {  // a if condition else b; without else undefined
  Conditional(int at, ExpressionPtr test, ExpressionPtr yes, ExpressionPtr no);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr condition, then, otherwise;
};

struct Attribute : Expression {  // a.name
  Attribute(int at, ExpressionPtr of, std::string attribute);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr object;
  std::string name;
};

struct Subscript : Expression {  // a[key]
  Subscript(int at, ExpressionPtr of, ExpressionPtr by);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr object, key;
};

struct Slice : Expression {  // a[start:stop:step], any part may be null
  Slice(int at, ExpressionPtr of, ExpressionPtr from, ExpressionPtr to, ExpressionPtr by);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr object, start, stop, step;
};

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keywords;
  ExpressionPtr more_positional;  // *args, or null
  ExpressionPtr more_keywords;    // **kwargs, or null
  Arguments evaluate(Interpreter& interpreter, Scope& scope) const;
  void adopt_into(Expression& owner) const;
};

struct Call : Expression {
  Call(int at, ExpressionPtr what, CallArguments with);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  Value evaluate(Interpreter& interpreter, Scope& scope, const Value* caller) const;
  ExpressionPtr function;
  CallArguments arguments;
};

struct Filter : Expression {  // value | name(arguments); without a value inside a filter block
  Filter(int at, ExpressionPtr of, std::string filter, CallArguments with);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  Value apply(Interpreter& interpreter, Scope& scope, const Value& block) const;
  ExpressionPtr value;
  std::string name;
  CallArguments arguments;
};

struct Test : Expression {  // value is name(arguments)
  Test(int at, ExpressionPtr of, std::string test, CallArguments with);
  Value evaluate(Interpreter& interpreter, Scope& scope) const override;
  ExpressionPtr value;
  std::string name;
  CallArguments arguments;
};

// What can stand left of an assignment.
struct Target {
  int line = 0;
  int name = -1;            // -1: a tuple
  std::string attribute{};  // of the namespace `name`; empty: the name itself
  std::vector<Target> parts{};
};

// How a statement ended: break and continue look for their loop.
enum class Flow { kNext, kBreak, kContinue };

struct Statement {
  explicit Statement(int at) : line(at) {}
  virtual ~Statement() = default;
  virtual Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const = 0;
  int line;
};

struct Body {
  std::vector<std::unique_ptr<Statement>> statements;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const;
};

struct Data : Statement {
  Data(int at, std::string t) : Statement(at), text(std::move(t)) {}
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::string text;
};

struct Print : Statement {
  Print(int at, ExpressionPtr e) : Statement(at), expression(std::move(e)) {}
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  ExpressionPtr expression;
};

struct If : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};

struct For : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  // One run over `iterable`; a recursive loop calls itself through its loop variable.
  Flow run(Interpreter& interpreter, Scope& scope, TextBuilder& out, const Value& iterable,
           int level) const;
  Target target;
  int loop_name = -1;  // the variable `loop`
  ExpressionPtr iterable;
  ExpressionPtr test;  // or null
  bool recursive = false;
  Body body, otherwise;
};

struct Set : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  Target target;
  ExpressionPtr value;
};

struct SetBlock : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  Target target;
  std::unique_ptr<Filter> filter;  // or null
  Body body;
};

struct Signature {
  std::vector<int> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last ones
  // The special variables that the body reads; -1: it does not.
  int caller = -1, varargs = -1, kwargs = -1;
};

struct MacroDefinition : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  int name = -1;
  Signature signature;
  Body body;
};

struct CallBlock : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::unique_ptr<Call> call;
  Signature signature;
  Body body;
};

struct FilterBlock : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::unique_ptr<Filter> filter;
  Body body;
};

struct With : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
};

struct Block : Statement {  // {% block %}: nothing inherits here, so it is its body
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  bool scoped = false;
  Body body;
};

struct Generation : Statement {
  using Statement::Statement;
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  Body body;
};

struct LoopControl : Statement {
  LoopControl(int at, Flow what) : Statement(at), flow(what) {}
  Flow execute(Interpreter&, Scope&, TextBuilder&) const override { return flow; }
  Flow flow;
};

struct OtherTemplate : Statement {  // include, import, extends: there are no others
  OtherTemplate(int at, std::string t) : Statement(at), tag(std::move(t)) {}
  Flow execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const override;
  std::string tag;
};

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_AST_H_
