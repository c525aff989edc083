#include "chat/jinja/objects.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace looplm::jinja {
namespace {

constexpr size_t kMaxRange = 100'000;

class RangeIterator : public Iterator {
 public:
  explicit RangeIterator(const Range& range) : range_(range) {}
  bool next(Value& value) override {
    if (at_ >= *range_.length()) return false;
    value = range_.at(at_++);
    return true;
  }

 private:
  Range range_;
  size_t at_ = 0;
};

class GeneratorIterator : public Iterator {
 public:
  explicit GeneratorIterator(std::shared_ptr<Generator::Next> next) : next_(std::move(next)) {}
  bool next(Value& value) override { return (*next_)(value); }

 private:
  std::shared_ptr<Generator::Next> next_;
};

class ViewIterator : public Iterator {
 public:
  ViewIterator(Interpreter& interpreter, Value dict, DictView::Part part)
      : interpreter_(interpreter), dict_(std::move(dict)), part_(part) {}
  bool next(Value& value) override {
    const auto& entries = dict_.dict()->entries();
    if (at_ >= entries.size()) return false;
    const Dict::Entry& entry = entries[at_++];
    value = part_ == DictView::Part::kKeys     ? entry.key
            : part_ == DictView::Part::kValues ? entry.value
                                               : interpreter_.tuple({entry.key, entry.value});
    return true;
  }

 private:
  Interpreter& interpreter_;
  Value dict_;
  DictView::Part part_;
  size_t at_ = 0;
};

Value make_range(Interpreter&, const Arguments& arguments) {
  const auto bound = bind_arguments("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t first = integer_argument("range", *bound[0]);
  const int64_t start = bound[1] == nullptr ? 0 : first;
  const int64_t stop = bound[1] == nullptr ? first : integer_argument("range", *bound[1]);
  const int64_t step = bound[2] == nullptr ? 1 : integer_argument("range", *bound[2]);
  if (step == 0) fail("range: the step is 0");
  const Integer distance = step > 0 ? Integer{stop} - start : Integer{start} - stop;
  const Integer stride = step > 0 ? step : -Integer{step};
  const Integer size = distance <= 0 ? 0 : (distance + stride - 1) / stride;
  if (size > Integer{kMaxRange}) {
    fail(fmt::format("range: {} numbers; expected at most {}", size, kMaxRange));
  }
  return Value(std::make_shared<Range>(start, step, static_cast<size_t>(size)));
}

// dict(pairs, a=1) and what namespace() takes.
Dict gather(Interpreter& interpreter, std::string_view function, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fail(fmt::format("{}: more than one argument", function));
  Dict all;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const Dict* dict = source.dict()) {
      all = *dict;
    } else {
      for (const Value& pair : interpreter.items(source)) {
        const std::vector<Value> both = interpreter.items(pair);
        if (both.size() != 2) fail(fmt::format("{}: {} is no pair", function, shown(pair)));
        interpreter.budget().step(both[0].weight());
        all.set(both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.keywords) all.set(Value::text(name), value);
  return all;
}

Value make_dict_value(Interpreter& interpreter, const Arguments& arguments) {
  return make_dict(interpreter.budget(), gather(interpreter, "dict", arguments));
}

Value make_namespace(Interpreter& interpreter, const Arguments& arguments) {
  auto space = std::make_shared<Namespace>();
  const Dict all = gather(interpreter, "namespace", arguments);
  for (const Dict::Entry& entry : all.entries()) {
    space->set(interpreter, string_argument("namespace", entry.key).view(), entry.value);
  }
  interpreter.budget().allocate(256);
  interpreter.keep(space);
  return Value(std::shared_ptr<Object>(std::move(space)));
}

// cycler('a', 'b'): next() gives them in turn.
class Cycler : public Object {
 public:
  explicit Cycler(Value items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  int depth() const override { return items_.depth() + 1; }
  std::optional<Value> attribute(Interpreter&, std::string_view name) override {
    const auto& items = items_.list()->items;
    if (name == "current") return items[at_];
    if (name == "next") {
      return make_function(
          [this, keep = shared_from_this()](Interpreter&, const Arguments& arguments) {
            bind_arguments("cycler.next", arguments, {}, 0);
            const auto& all = items_.list()->items;
            return all[std::exchange(at_, (at_ + 1) % all.size())];
          });
    }
    if (name == "reset") {
      return make_function(
          [this, keep = shared_from_this()](Interpreter&, const Arguments& arguments) {
            bind_arguments("cycler.reset", arguments, {}, 0);
            at_ = 0;
            return Value();
          });
    }
    return std::nullopt;
  }

 private:
  Value items_;
  size_t at_ = 0;
};

Value make_cycler(Interpreter& interpreter, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keywords.empty()) fail("cycler: no items");
  auto cycler = std::make_shared<Cycler>(interpreter.list(arguments.positional));
  interpreter.budget().allocate(256);
  interpreter.keep(cycler);
  return Value(std::shared_ptr<Object>(std::move(cycler)));
}

// joiner(', '): nothing the first time, then the separator.
Value make_joiner(Interpreter&, const Arguments& arguments) {
  const auto bound = bind_arguments("joiner", arguments, {"sep"}, 0);
  const Value separator = bound[0] == nullptr ? Value::text(", ") : *bound[0];
  return make_function(
      [separator, used = false](Interpreter&, const Arguments& none) mutable {
        bind_arguments("joiner", none, {}, 0);
        return std::exchange(used, true) ? separator : Value::text("");
      },
      separator.depth() + 1);
}

Value raise_exception(Interpreter& interpreter, const Arguments& arguments) {
  const auto bound = bind_arguments("raise_exception", arguments, {"message"}, 1);
  fail(std::string(interpreter.str(*bound[0]).view()));
}

Value strftime_now(Interpreter& interpreter, const Arguments& arguments) {
  const auto bound = bind_arguments("strftime_now", arguments, {"format"}, 1);
  const std::string format(string_argument("strftime_now", *bound[0]).view());
  const std::time_t now = interpreter.now();
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 1024> text{};
  const size_t size = std::strftime(text.data(), text.size(), format.c_str(), &local);
  if (size == 0 && !format.empty()) {
    fail(fmt::format("strftime_now: the format '{}' gives no text", format.substr(0, 60)));
  }
  return interpreter.text({text.data(), size});
}

}  // namespace

std::optional<Value> Namespace::attribute(Interpreter&, std::string_view name) {
  for (const auto& [known, value] : attributes_) {
    if (known == name) return value;
  }
  return std::nullopt;
}

void Namespace::set(Interpreter& interpreter, std::string_view name, Value value) {
  if (name.starts_with('_')) {
    fail(
        fmt::format("a namespace's attribute is '{}'; names with '_' in front are reserved", name));
  }
  for (auto& [known, old] : attributes_) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  interpreter.budget().allocate(64 + name.size());
  attributes_.emplace_back(name, std::move(value));
}

void Namespace::repr(TextBuilder& out, int depth) const {
  out.append("<Namespace {", 0);
  for (size_t i = 0; i < attributes_.size(); ++i) {
    if (i > 0) out.append(", ", 0);
    append_repr(out, Value::text(attributes_[i].first), depth);
    out.append(": ", 0);
    append_repr(out, attributes_[i].second, depth);
  }
  out.append("}>", 0);
}

std::unique_ptr<Iterator> Range::iterate(Interpreter&) {
  return std::make_unique<RangeIterator>(*this);
}

void Range::repr(TextBuilder& out, int) const {
  const Integer stop = Integer{start_} + Integer{step_} * static_cast<Integer>(size_);
  out.append(step_ == 1 ? fmt::format("range({}, {})", start_, stop)
                        : fmt::format("range({}, {}, {})", start_, stop, step_),
             0);
}

Value Range::at(size_t index) const {
  return Value(Integer{start_} + Integer{step_} * static_cast<Integer>(index));
}

Generator::Generator(Next next, int depth)
    : next_(std::make_shared<Next>(std::move(next))), depth_(depth) {
  if (depth > kMaxDepth) fail(fmt::format("iterators nest deeper than {} levels", kMaxDepth));
}

std::unique_ptr<Iterator> Generator::iterate(Interpreter&) {
  return std::make_unique<GeneratorIterator>(next_);
}

Value make_generator(Generator::Next next, const Value& source) {
  return Value(std::make_shared<Generator>(std::move(next), source.depth() + 1));
}

std::string_view DictView::type_name() const {
  return part_ == Part::kKeys ? "dict_keys" : part_ == Part::kValues ? "dict_values" : "dict_items";
}

std::unique_ptr<Iterator> DictView::iterate(Interpreter& interpreter) {
  return std::make_unique<ViewIterator>(interpreter, dict_, part_);
}

void DictView::repr(TextBuilder& out, int depth) const {
  out.append(fmt::format("{}([", type_name()), 0);
  const auto& entries = dict_.dict()->entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out.append(", ", 0);
    if (part_ == Part::kItems) out.append("(", 0);
    if (part_ != Part::kValues) append_repr(out, entries[i].key, depth);
    if (part_ == Part::kItems) out.append(", ", 0);
    if (part_ != Part::kKeys) append_repr(out, entries[i].value, depth);
    if (part_ == Part::kItems) out.append(")", 0);
  }
  out.append("])", 0);
}

Value make_function(Function::Body body, int depth) {
  return Value(std::make_shared<Function>(std::move(body), depth));
}

std::optional<Value> Macro::attribute(Interpreter& interpreter, std::string_view name) {
  if (name == "name") return Value::text(name_);
  if (name == "arguments") {
    std::vector<Value> names;
    for (int id : signature_.parameters) names.push_back(Value::text(interpreter.name(id)));
    return interpreter.tuple(std::move(names));
  }
  if (name == "caller") return Value(signature_.caller >= 0);
  if (name == "catch_kwargs") return Value(signature_.kwargs >= 0);
  if (name == "catch_varargs") return Value(signature_.varargs >= 0);
  return std::nullopt;
}

Value Macro::call(Interpreter& interpreter, const Arguments& arguments) {
  const auto scope = defined_in_->inner();
  const std::vector<int>& parameters = signature_.parameters;
  std::vector<std::pair<std::string, Value>> keywords = arguments.keywords;
  const auto take_keyword = [&](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(keywords.begin(), keywords.end(),
                                    [&](const auto& keyword) { return keyword.first == name; });
    if (found == keywords.end()) return std::nullopt;
    Value value = std::move(found->second);
    keywords.erase(found);
    return value;
  };

  const size_t given = std::min(arguments.positional.size(), parameters.size());
  for (size_t i = 0; i < given; ++i) scope->set(parameters[i], arguments.positional[i]);
  const size_t without_default = parameters.size() - signature_.defaults.size();
  std::vector<size_t> defaulted;
  for (size_t i = given; i < parameters.size(); ++i) {
    const std::string& name = interpreter.name(parameters[i]);
    if (auto value = take_keyword(name)) {
      scope->set(parameters[i], std::move(*value));
    } else if (i >= without_default) {
      defaulted.push_back(i);
    } else {
      scope->set(parameters[i],
                 Value::undefined(fmt::format("parameter '{}' was not provided", name)));
    }
  }
  const bool caller_is_parameter =
      std::find(parameters.begin(), parameters.end(), signature_.caller) != parameters.end();
  if (signature_.caller >= 0 && !caller_is_parameter) {
    auto caller = take_keyword("caller");
    scope->set(signature_.caller,
               caller ? std::move(*caller) : Value::undefined("No caller defined"));
  }
  if (signature_.kwargs >= 0) {
    Dict rest;
    for (auto& [name, value] : keywords) rest.set(Value::text(name), std::move(value));
    scope->set(signature_.kwargs, make_dict(interpreter.budget(), std::move(rest)));
  } else if (!keywords.empty()) {
    fail(fmt::format("macro '{}' takes no argument '{}'", name_, keywords[0].first));
  }
  if (signature_.varargs >= 0) {
    scope->set(signature_.varargs,
               interpreter.tuple({arguments.positional.begin() + static_cast<ptrdiff_t>(given),
                                  arguments.positional.end()}));
  } else if (arguments.positional.size() > parameters.size()) {
    fail(fmt::format("macro '{}' takes at most {} arguments; {} were given", name_,
                     parameters.size(), arguments.positional.size()));
  }
  // Defaults may use the parameters before them.
  for (size_t i : defaulted) {
    scope->set(parameters[i],
               signature_.defaults[i - without_default]->evaluate(interpreter, *scope));
  }
  TextBuilder out(interpreter.budget());
  body_.execute(interpreter, *scope, out);
  return Value(out.take());
}

void set_globals(Scope& scope, const std::vector<std::string>& names) {
  using Global = Value (*)(Interpreter&, const Arguments&);
  static constexpr std::array<std::pair<std::string_view, Global>, 7> kGlobals = {
      {{"range", make_range},
       {"dict", make_dict_value},
       {"namespace", make_namespace},
       {"cycler", make_cycler},
       {"joiner", make_joiner},
       {"raise_exception", raise_exception},
       {"strftime_now", strftime_now}}};
  for (size_t id = 0; id < names.size(); ++id) {
    for (const auto& [name, function] : kGlobals) {
      if (name == names[id]) scope.set(static_cast<int>(id), make_function(function));
    }
  }
}

}  // namespace looplm::jinja
