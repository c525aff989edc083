// One rendering: its budget, its variables, and how nodes look things up.
#ifndef LOOPLM_CHAT_JINJA_INTERPRETER_H_
#define LOOPLM_CHAT_JINJA_INTERPRETER_H_

#include <ctime>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/value.h"

namespace looplm::jinja {

// Variables of a body; what is not here is looked up outside.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  explicit Scope(std::shared_ptr<Scope> outside) : outside_(std::move(outside)) {}

  const Value* find(int name) const;
  void set(int name, Value value);
  std::shared_ptr<Scope> inner() { return std::make_shared<Scope>(shared_from_this()); }
  void clear() { variables_.clear(); }

 private:
  std::shared_ptr<Scope> outside_;
  std::vector<std::pair<int, Value>> variables_;
};

class Interpreter {
 public:
  Interpreter(const std::vector<std::string>& names, Budget& budget, std::time_t now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Budget& budget() { return budget_; }
  std::time_t now() const { return now_; }
  const std::string& name(int id) const { return names_[static_cast<size_t>(id)]; }
  Scope& root() { return *root_; }

  // A node being evaluated: counts a step, notes the line, and bounds the stack.
  class Visit {
   public:
    Visit(Interpreter& interpreter, int line);
    ~Visit() { --interpreter_.active_; }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Interpreter& interpreter_;
  };
  int line() const { return line_; }
  void at(int line) { line_ = line; }

  // Objects and scopes that may hold each other in circles are emptied at the end.
  void keep(std::shared_ptr<Scope> scope) { kept_scopes_.push_back(std::move(scope)); }
  void keep(std::shared_ptr<Object> object) { kept_objects_.push_back(std::move(object)); }

  Value attribute(const Value& object, std::string_view name);  // object.name
  Value subscript(const Value& object, const Value& key);       // object[key]
  Value call(const Value& function, const Arguments& arguments);
  std::unique_ptr<Iterator> iterate(const Value& value);  // fails where there is none
  std::vector<Value> items(const Value& value);           // of an iteration
  size_t length(const Value& value);
  bool contains(const Value& container, const Value& item);  // Python's `in`
  void assign(Scope& scope, const Target& target, const Value& value);

  // filters.cc, tests.cc
  Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments);
  bool apply_test(std::string_view name, const Value& value, const Arguments& arguments);

  // Values made within the budget.
  Value text(std::string_view bytes, Marks marks = 0);
  Value slice(const Text& text, size_t from, size_t to);  // bytes
  Value list(std::vector<Value> items) { return make_list(budget_, std::move(items)); }
  Value tuple(std::vector<Value> items) { return make_tuple(budget_, std::move(items)); }
  Text str(const Value& value) { return to_text(budget_, value); }

 private:
  const std::vector<std::string>& names_;
  Budget& budget_;
  std::time_t now_;
  int line_ = 1;
  int active_ = 0;
  std::shared_ptr<Scope> root_;
  std::vector<std::shared_ptr<Scope>> kept_scopes_;
  std::vector<std::shared_ptr<Object>> kept_objects_;
};

// A call's arguments put to a function's parameters; null where one was not given. Fails on too
// many, unknown ones and ones given twice, and without the first `required`.
std::vector<const Value*> bind_arguments(std::string_view function, const Arguments& arguments,
                                         std::initializer_list<std::string_view> parameters,
                                         size_t required);

// The whole number of an argument; fails on other types and beyond 62 bits.
int64_t integer_argument(std::string_view function, const Value& value);
const Text& string_argument(std::string_view function, const Value& value);

// methods.cc: a method of str, list, tuple or dict, bound to its object; none: no such.
std::optional<Value> find_method(Interpreter& interpreter, const Value& object,
                                 std::string_view name);

// operators.cc
Value apply_unary(UnaryOperator operation, const Value& value);
Value apply_binary(Interpreter& interpreter, BinaryOperator operation, const Value& a,
                   const Value& b);
bool apply_comparison(Interpreter& interpreter, Comparison comparison, const Value& a,
                      const Value& b);
Value apply_slice(Interpreter& interpreter, const Value& value, const Value& start,
                  const Value& stop, const Value& step);
// & < > ' " as HTML writes them.
Text escaped(Budget& budget, const Text& text);

// format.cc: 'a %s' % values, and 'a {}'.format(...)
Value percent_format(Interpreter& interpreter, const Text& format, const Value& values);
Value brace_format(Interpreter& interpreter, const Text& format, const Arguments& arguments);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_INTERPRETER_H_
