#include "chat/jinja/interpreter.h"

#include <algorithm>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "chat/jinja/objects.h"

namespace looplm::jinja {
namespace {

class Characters : public Iterator {
 public:
  Characters(Interpreter& interpreter, Value text)
      : interpreter_(interpreter), text_(std::move(text)) {}
  bool next(Value& value) override {
    const Text& text = *text_.string();
    if (at_ >= text.size()) return false;
    const size_t begin = at_;
    next_character(text.view(), at_);
    value = interpreter_.slice(text, begin, at_);
    return true;
  }

 private:
  Interpreter& interpreter_;
  Value text_;
  size_t at_ = 0;
};

class Items : public Iterator {
 public:
  explicit Items(Value list) : list_(std::move(list)) {}
  bool next(Value& value) override {
    if (at_ >= list_.list()->items.size()) return false;
    value = list_.list()->items[at_++];
    return true;
  }

 private:
  Value list_;
  size_t at_ = 0;
};

class Nothing : public Iterator {
 public:
  bool next(Value&) override { return false; }
};

// A Python index into `size` things; nothing where it is outside.
std::optional<size_t> position(Integer index, size_t size) {
  const auto all = static_cast<Integer>(size);
  if (index < 0) index += all;
  if (index < 0 || index >= all) return std::nullopt;
  return static_cast<size_t>(index);
}

Value no_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("a {} has no attribute '{}'", object.type_name(), name));
}

}  // namespace

const Value* Scope::find(int name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->outside_.get()) {
    for (const auto& [id, value] : scope->variables_) {
      if (id == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(int name, Value value) {
  for (auto& [id, old] : variables_) {
    if (id == name) {
      old = std::move(value);
      return;
    }
  }
  variables_.emplace_back(name, std::move(value));
}

Interpreter::Interpreter(const std::vector<std::string>& names, Budget& budget, std::time_t now)
    : names_(names), budget_(budget), now_(now), root_(std::make_shared<Scope>(nullptr)) {}

Interpreter::~Interpreter() {
  for (const auto& scope : kept_scopes_) scope->clear();
  for (const auto& object : kept_objects_) {
    if (auto* space = dynamic_cast<Namespace*>(object.get())) space->clear();
  }
}

Interpreter::Visit::Visit(Interpreter& interpreter, int line) : interpreter_(interpreter) {
  interpreter_.line_ = line;
  interpreter_.budget_.step();
  if (interpreter_.active_ >= kMaxActiveNodes) fail("calls nest too deep");
  ++interpreter_.active_;
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  if (object.undefined() != nullptr) fail(object.undefined()->why);
  if (Object* o = object.object()) {
    if (auto found = o->attribute(*this, name)) return *found;
    return no_attribute(object, name);
  }
  if (auto found = find_method(*this, object, name)) return *found;
  if (const Dict* dict = object.dict()) {
    if (const Value* found = dict->find(name)) return *found;
  }
  return no_attribute(object, name);
}

Value Interpreter::subscript(const Value& object, const Value& key) {
  if (object.undefined() != nullptr) fail(object.undefined()->why);
  const std::optional<Integer> index = key.as_integer();
  const auto missing = [&] {
    return Value::undefined(fmt::format("a {} has no element {}", object.type_name(), shown(key)));
  };
  if (const Dict* dict = object.dict()) {
    budget_.step(key.weight());
    const bool hashable = key.dict() == nullptr && (key.list() == nullptr || key.list()->tuple);
    if (const Value* found = hashable ? dict->find(key) : nullptr) return *found;
  } else if (const List* list = object.list(); list != nullptr && index) {
    const auto at = position(*index, list->items.size());
    return at ? list->items[*at] : missing();
  } else if (const Text* text = object.string(); text != nullptr && index) {
    budget_.step(text->size() / 64);
    const auto at = position(*index, count_characters(text->view()));
    if (!at) return missing();
    const size_t begin = character_offset(text->view(), *at);
    size_t end = begin;
    next_character(text->view(), end);
    return slice(*text, begin, end);
  } else if (auto* range = dynamic_cast<Range*>(object.object()); range != nullptr && index) {
    const auto at = position(*index, *range->length());
    return at ? range->at(*at) : missing();
  } else if (Object* o = object.object(); o != nullptr && key.string() != nullptr) {
    if (auto found = o->attribute(*this, key.string()->view())) return *found;
  }
  if (const Text* name = key.string()) {
    if (auto found = find_method(*this, object, name->view())) return *found;
  }
  return missing();
}

Value Interpreter::call(const Value& function, const Arguments& arguments) {
  if (function.undefined() != nullptr) fail(function.undefined()->why);
  if (function.object() == nullptr) {
    fail(fmt::format("a {} cannot be called", function.type_name()));
  }
  return function.object()->call(*this, arguments);
}

std::unique_ptr<Iterator> Interpreter::iterate(const Value& value) {
  if (value.list() != nullptr) return std::make_unique<Items>(value);
  if (value.string() != nullptr) return std::make_unique<Characters>(*this, value);
  if (value.undefined() != nullptr) return std::make_unique<Nothing>();
  std::unique_ptr<Iterator> iterator;
  if (value.dict() != nullptr) {
    iterator = DictView(value, DictView::Part::kKeys).iterate(*this);
  } else if (Object* object = value.object()) {
    iterator = object->iterate(*this);
  }
  if (iterator == nullptr) fail(fmt::format("a {} cannot be iterated over", value.type_name()));
  return iterator;
}

std::vector<Value> Interpreter::items(const Value& value) {
  std::vector<Value> all;
  const auto iterator = iterate(value);
  for (Value item; iterator->next(item);) {
    budget_.allocate(sizeof(Value));
    budget_.step();
    all.push_back(item);
  }
  return all;
}

size_t Interpreter::length(const Value& value) {
  if (const Text* text = value.string()) {
    budget_.step(text->size() / 64);
    return count_characters(text->view());
  }
  if (const List* list = value.list()) return list->items.size();
  if (const Dict* dict = value.dict()) return dict->size();
  if (value.undefined() != nullptr) return 0;
  if (Object* object = value.object()) {
    if (const auto length = object->length()) return *length;
  }
  fail(fmt::format("a {} has no length", value.type_name()));
}

bool Interpreter::contains(const Value& container, const Value& item) {
  if (const Text* text = container.string()) {
    if (item.undefined() != nullptr) fail(item.undefined()->why);
    if (item.string() == nullptr) {
      fail(fmt::format("'in' looks for a {} in a string; expected a string", item.type_name()));
    }
    budget_.step(text->size() / 64);
    return text->view().find(item.string()->view()) != std::string_view::npos;
  }
  budget_.step(item.weight());
  if (const Dict* dict = container.dict()) return dict->find(item) != nullptr;
  if (const List* list = container.list()) {
    budget_.step(list->weight);
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& one) { return equal(one, item); });
  }
  const auto iterator = iterate(container);
  for (Value one; iterator->next(one);) {
    budget_.step(one.weight());
    if (equal(one, item)) return true;
  }
  return false;
}

void Interpreter::assign(Scope& scope, const Target& target, const Value& value) {
  if (target.name < 0) {
    const std::vector<Value> parts = items(value);
    if (parts.size() != target.parts.size()) {
      fail(fmt::format("{} values are assigned to {} names", parts.size(), target.parts.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) assign(scope, target.parts[i], parts[i]);
  } else if (target.attribute.empty()) {
    scope.set(target.name, value);
  } else {
    const Value* object = scope.find(target.name);
    auto* space = object == nullptr ? nullptr : dynamic_cast<Namespace*>(object->object());
    if (space == nullptr) {
      fail(fmt::format("'{}' is not a namespace; its attribute '{}' cannot be set",
                       name(target.name), target.attribute));
    }
    space->set(*this, target.attribute, value);
  }
}

Value Interpreter::text(std::string_view bytes, Marks marks) {
  budget_.allocate(bytes.size());
  return Value::text(std::string(bytes), marks);
}

Value Interpreter::slice(const Text& text, size_t from, size_t to) {
  TextBuilder out(budget_);
  out.append(text, from, to);
  Text part = out.take();
  part.markup = text.markup;
  return Value(std::move(part));
}

std::vector<const Value*> bind_arguments(std::string_view function, const Arguments& arguments,
                                         std::initializer_list<std::string_view> parameters,
                                         size_t required) {
  std::vector<const Value*> bound(parameters.size(), nullptr);
  if (arguments.positional.size() > parameters.size()) {
    fail(fmt::format("{}: {} arguments; expected at most {}", function, arguments.positional.size(),
                     parameters.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keywords) {
    const auto at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end()) {
      fail(fmt::format("{}: there is no argument '{}'", function, name));
    }
    const Value*& place = bound[static_cast<size_t>(at - parameters.begin())];
    if (place != nullptr) fail(fmt::format("{}: argument '{}' is given twice", function, name));
    place = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i] == nullptr) {
      fail(fmt::format("{}: argument '{}' is missing", function, *(parameters.begin() + i)));
    }
  }
  return bound;
}

int64_t integer_argument(std::string_view function, const Value& value) {
  const auto integer = value.as_integer();
  constexpr Integer kMost = Integer{1} << 62;
  if (!integer || *integer > kMost || *integer < -kMost) {
    fail(fmt::format("{}: an argument is {}; expected an integer", function, shown(value)));
  }
  return static_cast<int64_t>(*integer);
}

const Text& string_argument(std::string_view function, const Value& value) {
  if (value.undefined() != nullptr) fail(value.undefined()->why);
  if (value.string() == nullptr) {
    fail(fmt::format("{}: an argument is {}; expected a string", function, shown(value)));
  }
  return *value.string();
}

}  // namespace looplm::jinja
