// What each statement does.
#include <fmt/format.h>

#include "chat/jinja/ast.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/objects.h"

namespace looplm::jinja {
namespace {

using Visit = Interpreter::Visit;

// The variable `loop`. The iterator is asked for an item ahead only where `last`, `nextitem` or the
// length is, as Jinja does.
class LoopObject : public Object {
 public:
  LoopObject(Interpreter& interpreter, const Value& iterable, std::function<bool(Value&)> next,
             bool filtered, int level)
      : interpreter_(interpreter), iterable_(iterable), next_(std::move(next)), level_(level) {
    if (filtered) return;
    if (iterable.object() == nullptr || iterable.object()->length()) {
      length_ = interpreter.length(iterable);
    }
  }

  std::string_view type_name() const override { return "LoopContext"; }
  bool callable() const override { return true; }
  int depth() const override { return iterable_.depth() + 1; }

  bool advance(Value& item) {
    const bool ahead = !ahead_.empty();
    if (ahead) {
      item = std::move(ahead_.front());
      ahead_.erase(ahead_.begin());
    } else if (!next_(item)) {
      return false;
    }
    previous_ = std::move(current_);
    current_ = item;
    ++index_;
    return true;
  }

  void set_render(std::function<Value(const Value&)> render) { render_ = std::move(render); }

  Value call(Interpreter&, const Arguments& arguments) override {
    if (!render_) fail("the loop is not recursive, so it cannot be called");
    return render_(*bind_arguments("loop", arguments, {"iterable"}, 1)[0]);
  }

  std::optional<size_t> length() const override { return const_cast<LoopObject*>(this)->count(); }

  std::optional<Value> attribute(Interpreter&, std::string_view name) override {
    const auto number = [](size_t n) { return Value(static_cast<Integer>(n)); };
    if (name == "index") return number(index_);
    if (name == "index0") return number(index_ - 1);
    if (name == "first") return Value(index_ == 1);
    if (name == "last") return Value(!peek());
    if (name == "length") return number(count());
    if (name == "revindex") return number(count() - index_ + 1);
    if (name == "revindex0") return number(count() - index_);
    if (name == "depth") return number(static_cast<size_t>(level_) + 1);
    if (name == "depth0") return number(static_cast<size_t>(level_));
    if (name == "previtem") {
      return index_ == 1 ? Value::undefined("there is no previous item") : previous_;
    }
    if (name == "nextitem") {
      return peek() ? ahead_.front() : Value::undefined("there is no next item");
    }
    if (name == "cycle") {
      return make_function([index = index_ - 1](Interpreter&, const Arguments& arguments) {
        if (arguments.positional.empty()) fail("loop.cycle: no items");
        return arguments.positional[index % arguments.positional.size()];
      });
    }
    if (name == "changed") {
      return make_function(
          [this, keep = shared_from_this()](Interpreter& interpreter, const Arguments& arguments) {
            const Value now = interpreter.tuple(arguments.positional);
            interpreter.budget().step(now.weight());
            const bool changed = !seen_ || !equal(*seen_, now);
            seen_ = now;
            return Value(changed);
          });
    }
    return std::nullopt;
  }

 private:
  bool peek() {
    if (ahead_.empty()) {
      Value item;
      if (!next_(item)) return false;
      ahead_.push_back(std::move(item));
    }
    return true;
  }

  size_t count() {
    if (!length_) {
      for (Value item; next_(item);) {
        interpreter_.budget().allocate(sizeof(Value));
        ahead_.push_back(item);
      }
      length_ = index_ + ahead_.size();
    }
    return *length_;
  }

  Interpreter& interpreter_;
  Value iterable_;
  std::function<bool(Value&)> next_;
  int level_;
  std::function<Value(const Value&)> render_;
  std::optional<size_t> length_;
  std::vector<Value> ahead_;
  size_t index_ = 0;  // items given out
  Value current_, previous_;
  std::optional<Value> seen_;
};

}  // namespace

Flow Body::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  for (const auto& statement : statements) {
    const Flow flow = statement->execute(interpreter, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Flow Data::execute(Interpreter& interpreter, Scope&, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  out.append(text, 0);
  return Flow::kNext;
}

Flow Print::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  append_text(out, expression->evaluate(interpreter, scope));
  return Flow::kNext;
}

Flow If::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  for (const auto& [condition, body] : branches) {
    if (condition->evaluate(interpreter, scope).truth()) {
      return body.execute(interpreter, scope, out);
    }
  }
  return otherwise.execute(interpreter, scope, out);
}

Flow For::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  return run(interpreter, scope, out, iterable->evaluate(interpreter, scope), 0);
}

Flow For::run(Interpreter& interpreter, Scope& scope, TextBuilder& out, const Value& all,
              int level) const {
  const Visit visit(interpreter, line);
  const std::shared_ptr<Iterator> iterator = interpreter.iterate(all);
  const auto outside = scope.shared_from_this();
  const auto next = [this, &interpreter, iterator, outside](Value& item) {
    while (iterator->next(item)) {
      if (test == nullptr) return true;
      const auto inner = outside->inner();
      interpreter.assign(*inner, target, item);
      if (test->evaluate(interpreter, *inner).truth()) return true;
    }
    return false;
  };
  const auto loop = std::make_shared<LoopObject>(interpreter, all, next, test != nullptr, level);
  if (recursive) {
    loop->set_render([this, &interpreter, outside, level](const Value& inner) {
      TextBuilder part(interpreter.budget());
      run(interpreter, *outside, part, inner, level + 1);
      return Value(part.take());
    });
  }
  bool none = true;  // no item's body ran to its end: so Jinja decides about else
  for (Value item; loop->advance(item);) {
    const auto inner = scope.inner();
    if (loop_name >= 0) inner->set(loop_name, Value(std::shared_ptr<Object>(loop)));
    interpreter.assign(*inner, target, item);
    const Flow flow = body.execute(interpreter, *inner, out);
    interpreter.at(line);
    interpreter.budget().step();
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNext) none = false;
  }
  return none ? otherwise.execute(interpreter, *scope.inner(), out) : Flow::kNext;
}

Flow Set::execute(Interpreter& interpreter, Scope& scope, TextBuilder&) const {
  const Visit visit(interpreter, line);
  interpreter.assign(scope, target, value->evaluate(interpreter, scope));
  return Flow::kNext;
}

Flow SetBlock::execute(Interpreter& interpreter, Scope& scope, TextBuilder&) const {
  const Visit visit(interpreter, line);
  TextBuilder text(interpreter.budget());
  const auto inner = scope.inner();
  const Flow flow = body.execute(interpreter, *inner, text);
  if (flow != Flow::kNext) return flow;
  Value value(text.take());
  if (filter != nullptr) value = filter->apply(interpreter, *inner, value);
  interpreter.assign(scope, target, value);
  return Flow::kNext;
}

Flow MacroDefinition::execute(Interpreter& interpreter, Scope& scope, TextBuilder&) const {
  const Visit visit(interpreter, line);
  const auto here = scope.shared_from_this();
  interpreter.keep(here);
  scope.set(name, Value(std::make_shared<Macro>(interpreter.name(name), signature, body, here)));
  return Flow::kNext;
}

Flow CallBlock::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  const auto here = scope.shared_from_this();
  interpreter.keep(here);
  const Value caller(std::make_shared<Macro>("caller", signature, body, here));
  append_text(out, call->evaluate(interpreter, scope, &caller));
  return Flow::kNext;
}

Flow FilterBlock::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  TextBuilder text(interpreter.budget());
  const auto inner = scope.inner();
  const Flow flow = body.execute(interpreter, *inner, text);
  if (flow != Flow::kNext) return flow;
  append_text(out, filter->apply(interpreter, *inner, Value(text.take())));
  return Flow::kNext;
}

Flow With::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  const auto inner = scope.inner();
  for (const auto& [target, value] : assignments) {
    interpreter.assign(*inner, target, value->evaluate(interpreter, scope));
  }
  return body.execute(interpreter, *inner, out);
}

Flow Block::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  // Without "scoped" a block does not see the loops around it.
  return body.execute(interpreter, *(scoped ? scope : interpreter.root()).inner(), out);
}

Flow Generation::execute(Interpreter& interpreter, Scope& scope, TextBuilder& out) const {
  const Visit visit(interpreter, line);
  TextBuilder text(interpreter.budget());
  body.execute(interpreter, *scope.inner(), text);
  Text generated = text.take();
  generated.mark(kGenerated);
  out.append(generated);
  return Flow::kNext;
}

Flow OtherTemplate::execute(Interpreter& interpreter, Scope&, TextBuilder&) const {
  const Visit visit(interpreter, line);
  fail(fmt::format("{} asks for another template; there is only this one", tag));
}

}  // namespace looplm::jinja
