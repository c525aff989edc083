// The values of a rendering that are neither plain data nor text.
#ifndef LOOPLM_CHAT_JINJA_OBJECTS_H_
#define LOOPLM_CHAT_JINJA_OBJECTS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/interpreter.h"

namespace looplm::jinja {

// namespace(a=1): the one thing that templates can change.
class Namespace : public Object {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  void repr(TextBuilder& out, int depth) const override;
  void set(Interpreter& interpreter, std::string_view name, Value value);
  void clear() { attributes_ = {}; }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

// range(): at most 100,000 numbers, as Jinja's sandbox has it.
class Range : public Object {
 public:
  Range(int64_t start, int64_t step, size_t size) : start_(start), step_(step), size_(size) {}
  std::string_view type_name() const override { return "range"; }
  bool truth() const override { return size_ > 0; }
  std::optional<size_t> length() const override { return size_; }
  std::unique_ptr<Iterator> iterate(Interpreter& interpreter) override;
  void repr(TextBuilder& out, int depth) const override;
  Value at(size_t index) const;

 private:
  int64_t start_, step_;
  size_t size_;
};

// What filters such as map give: can be gone through once, has no length, is always true.
class Generator : public Object {
 public:
  using Next = std::function<bool(Value&)>;
  Generator(Next next, int depth);
  std::string_view type_name() const override { return "generator"; }
  std::unique_ptr<Iterator> iterate(Interpreter& interpreter) override;
  int depth() const override { return depth_; }

 private:
  std::shared_ptr<Next> next_;
  int depth_;
};
Value make_generator(Generator::Next next, const Value& source);

// dict.keys(), values() and items().
class DictView : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(Value dict, Part part) : dict_(std::move(dict)), part_(part) {}
  std::string_view type_name() const override;
  bool truth() const override { return dict_.dict()->size() > 0; }
  std::optional<size_t> length() const override { return dict_.dict()->size(); }
  std::unique_ptr<Iterator> iterate(Interpreter& interpreter) override;
  void repr(TextBuilder& out, int depth) const override;
  int depth() const override { return dict_.depth() + 1; }

 private:
  Value dict_;
  Part part_;
};

// A function or bound method of ours.
class Function : public Object {
 public:
  using Body = std::function<Value(Interpreter&, const Arguments&)>;
  explicit Function(Body body, int depth = 1) : body_(std::move(body)), depth_(depth) {}
  std::string_view type_name() const override { return "function"; }
  bool callable() const override { return true; }
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return body_(interpreter, arguments);
  }
  int depth() const override { return depth_; }

 private:
  Body body_;
  int depth_;
};
Value make_function(Function::Body body, int depth = 1);

class Macro : public Object {
 public:
  Macro(std::string name, const Signature& signature, const Body& body,
        std::shared_ptr<Scope> defined_in)
      : name_(std::move(name)),
        signature_(signature),
        body_(body),
        defined_in_(std::move(defined_in)) {}
  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  std::optional<Value> attribute(Interpreter& interpreter, std::string_view name) override;
  Value call(Interpreter& interpreter, const Arguments& arguments) override;

 private:
  std::string name_;
  const Signature& signature_;
  const Body& body_;
  std::shared_ptr<Scope> defined_in_;
};

// range, dict, namespace, cycler, joiner, raise_exception and strftime_now, set in a scope under
// the names that the template uses.
void set_globals(Scope& scope, const std::vector<std::string>& names);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_OBJECTS_H_
