#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/objects.h"
#include "chat/jinja/text_methods.h"

namespace looplm::jinja {
namespace {

// Looks up "a.b.0" step by step.
class AttributeGetter {
 public:
  AttributeGetter() = default;
  // None: the item itself.
  AttributeGetter(Interpreter& interpreter, const Value& path, const Value* fallback = nullptr)
      : fallback_(fallback) {
    if (path.is_none()) return;
    if (path.string() == nullptr) {
      steps_.push_back(path);
      return;
    }
    const Text dot(".");
    for (const Value& step : split(interpreter, *path.string(), &dot, -1, false)) {
      const std::string_view name = step.string()->view();
      const bool number = !name.empty() && name.size() < 18 &&
                          name.find_first_not_of("0123456789") == std::string_view::npos;
      steps_.push_back(number ? Value(Integer{std::stoll(std::string(name))}) : step);
    }
  }

  Value operator()(Interpreter& interpreter, Value item) const {
    for (const Value& step : steps_) {
      item = interpreter.subscript(item, step);
      if (fallback_ != nullptr && item.undefined() != nullptr) item = *fallback_;
    }
    return item;
  }

 private:
  std::vector<Value> steps_;
  const Value* fallback_ = nullptr;
};

// A value to sort or compare by; strings without case unless that matters.
Value sort_key(Interpreter& interpreter, const Value& value, bool case_sensitive) {
  if (case_sensitive || value.string() == nullptr) return value;
  return change_case(interpreter, *value.string(), Case::kLower);
}

bool flag(const Value* value) { return value != nullptr && value->truth(); }
Value or_none(const Value* value) { return value == nullptr ? Value() : *value; }

Value length(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("length", arguments, {}, 0);
  return Value(static_cast<Integer>(interpreter.length(value)));
}

Value list_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("list", arguments, {}, 0);
  return interpreter.list(interpreter.items(value));
}

Value first(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("first", arguments, {}, 0);
  Value item;
  if (interpreter.iterate(value)->next(item)) return item;
  return Value::undefined("there is no first item: the sequence is empty");
}

// Python cannot go backwards through a generator.
void need_reversible(std::string_view filter, const Value& value) {
  if (value.object() != nullptr && !value.object()->length()) {
    fail(fmt::format("{}: a {} cannot be reversed", filter, value.type_name()));
  }
}

Value last(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("last", arguments, {}, 0);
  need_reversible("last", value);
  std::vector<Value> items = interpreter.items(value);
  if (!items.empty()) return std::move(items.back());
  return Value::undefined("there is no last item: the sequence is empty");
}

Value generator_of(std::vector<Value> items, const Value& source) {
  return make_generator(
      [items = std::move(items), at = size_t{0}](Value& value) mutable {
        if (at >= items.size()) return false;
        value = items[at++];
        return true;
      },
      source);
}

Value reverse(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("reverse", arguments, {}, 0);
  if (value.string() != nullptr) {
    return apply_slice(interpreter, value, Value(), Value(), Value(Integer{-1}));
  }
  std::vector<Value> items = interpreter.items(value);
  std::reverse(items.begin(), items.end());
  const bool was_generator = value.object() != nullptr && !value.object()->length();
  return was_generator ? interpreter.list(std::move(items)) : generator_of(std::move(items), value);
}

Value join_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("join", arguments, {"d", "attribute"}, 0);
  const AttributeGetter get(interpreter, or_none(bound[1]));
  std::vector<Text> parts;
  for (const Value& item : interpreter.items(value)) {
    parts.push_back(interpreter.str(get(interpreter, item)));
  }
  Text separator = bound[0] == nullptr ? Text("") : interpreter.str(*bound[0]);
  separator.markup = false;
  return join(interpreter, separator, parts);
}

Value items_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  bind_arguments("items", arguments, {}, 0);
  if (value.undefined() != nullptr) return generator_of({}, value);
  if (value.dict() == nullptr) fail(fmt::format("items: a {} is no mapping", value.type_name()));
  return generator_of(
      interpreter.items(Value(std::make_shared<DictView>(value, DictView::Part::kItems))), value);
}

Value map_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  if (!value.truth()) return generator_of({}, value);
  Arguments rest = arguments;
  std::function<Value(const Value&)> change;
  if (arguments.positional.empty()) {
    const auto bound = bind_arguments("map", arguments, {"attribute", "default"}, 1);
    auto fallback = std::make_shared<Value>(or_none(bound[1]));
    const AttributeGetter get(interpreter, *bound[0],
                              fallback->is_none() ? nullptr : fallback.get());
    change = [&interpreter, get, fallback](const Value& item) { return get(interpreter, item); };
  } else {
    const std::string name(string_argument("map", rest.positional[0]).view());
    rest.positional.erase(rest.positional.begin());
    change = [&interpreter, name, rest](const Value& item) {
      return interpreter.apply_filter(name, item, rest);
    };
  }
  return make_generator(
      [&interpreter, change, source = std::shared_ptr(interpreter.iterate(value))](Value& out) {
        interpreter.budget().step();
        Value item;
        if (!source->next(item)) return false;
        out = change(item);
        return true;
      },
      value);
}

// select, reject, selectattr and rejectattr.
template <bool keeps, bool by_attribute>
Value select(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  if (!value.truth()) return generator_of({}, value);
  Arguments rest = arguments;
  AttributeGetter get;
  if (by_attribute) {
    if (rest.positional.empty()) fail("selectattr: the attribute's name is missing");
    get = AttributeGetter(interpreter, rest.positional[0]);
    rest.positional.erase(rest.positional.begin());
  }
  std::string test;
  if (!rest.positional.empty()) {
    test = string_argument("select", rest.positional[0]).view();
    rest.positional.erase(rest.positional.begin());
  }
  return make_generator(
      [&interpreter, get, test, rest,
       source = std::shared_ptr(interpreter.iterate(value))](Value& out) {
        while (source->next(out)) {
          interpreter.budget().step();
          const Value tested = get(interpreter, out);
          const bool holds =
              test.empty() ? tested.truth() : interpreter.apply_test(test, tested, rest);
          if (holds == keeps) return true;
        }
        return false;
      },
      value);
}

// Sorts places by their keys, stably.
std::vector<size_t> sorted(Interpreter& interpreter, const std::vector<Value>& keys,
                           bool reversed) {
  for (const Value& key : keys) {  // about as often as each is looked at
    for (size_t n = keys.size(); n > 0; n /= 2) interpreter.budget().step(key.weight());
  }
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reversed ? compare(keys[b], keys[a], "<") < 0 : compare(keys[a], keys[b], "<") < 0;
  });
  return order;
}

Value sort(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound =
      bind_arguments("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<AttributeGetter> getters;
  if (bound[2] != nullptr && bound[2]->string() != nullptr) {
    const Text comma(",");
    for (const Value& path : split(interpreter, *bound[2]->string(), &comma, -1, false)) {
      getters.emplace_back(interpreter, path);
    }
  } else {
    getters.emplace_back(interpreter, or_none(bound[2]));
  }
  const std::vector<Value> items = interpreter.items(value);
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributeGetter& get : getters) {
      parts.push_back(sort_key(interpreter, get(interpreter, item), flag(bound[1])));
    }
    keys.push_back(interpreter.list(std::move(parts)));
  }
  std::vector<Value> out;
  for (size_t place : sorted(interpreter, keys, flag(bound[0]))) out.push_back(items[place]);
  return interpreter.list(std::move(out));
}

Value dictsort(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  const std::string_view by =
      bound[1] == nullptr ? "key" : string_argument("dictsort", *bound[1]).view();
  if (by != "key" && by != "value") fail("dictsort: by is neither 'key' nor 'value'");
  if (value.dict() == nullptr) fail(fmt::format("dictsort: a {} is no dict", value.type_name()));
  std::vector<Value> keys;
  for (const Dict::Entry& entry : value.dict()->entries()) {
    keys.push_back(sort_key(interpreter, by == "key" ? entry.key : entry.value, flag(bound[0])));
  }
  std::vector<Value> out;
  for (size_t place : sorted(interpreter, keys, flag(bound[2]))) {
    const Dict::Entry& entry = value.dict()->entries()[place];
    out.push_back(interpreter.tuple({entry.key, entry.value}));
  }
  return interpreter.list(std::move(out));
}

Value unique(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("unique", arguments, {"case_sensitive", "attribute"}, 0);
  const AttributeGetter get(interpreter, or_none(bound[1]));
  Dict seen;
  std::vector<Value> out;
  for (const Value& item : interpreter.items(value)) {
    const Value key = sort_key(interpreter, get(interpreter, item), flag(bound[0]));
    interpreter.budget().step(key.weight());
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value());
    out.push_back(item);
  }
  return generator_of(std::move(out), value);
}

template <bool least>
Value extreme(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("min", arguments, {"case_sensitive", "attribute"}, 0);
  const AttributeGetter get(interpreter, or_none(bound[1]));
  Value best;
  std::optional<Value> best_key;
  for (const Value& item : interpreter.items(value)) {
    const Value key = sort_key(interpreter, get(interpreter, item), flag(bound[0]));
    interpreter.budget().step(key.weight());
    if (best_key) {
      const int order = compare(key, *best_key, least ? "<" : ">");
      if (least ? order >= 0 : order <= 0) continue;
    }
    best = item;
    best_key = key;
  }
  return best_key ? best : Value::undefined("there is no least or most: the sequence is empty");
}

Value sum(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("sum", arguments, {"attribute", "start"}, 0);
  const AttributeGetter get(interpreter, or_none(bound[0]));
  Value total = bound[1] == nullptr ? Value(Integer{0}) : *bound[1];
  for (const Value& item : interpreter.items(value)) {
    total = apply_binary(interpreter, BinaryOperator::kAdd, total, get(interpreter, item));
  }
  return total;
}

Value batch(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = integer_argument("batch", *bound[0]);
  if (size < 1) fail(fmt::format("batch: {} in a batch; expected at least 1", size));
  const bool fills = bound[1] != nullptr && !bound[1]->is_none();
  std::vector<Value> out, row;
  const auto finish_row = [&] {
    if (!row.empty()) out.push_back(interpreter.list(std::exchange(row, {})));
  };
  for (const Value& item : interpreter.items(value)) {
    if (static_cast<int64_t>(row.size()) == size) finish_row();
    row.push_back(item);
  }
  if (fills && !row.empty()) {
    interpreter.budget().allocate(static_cast<size_t>(size), sizeof(Value));
    row.resize(static_cast<size_t>(size), *bound[1]);
  }
  finish_row();
  return generator_of(std::move(out), value);
}

Value slice_filter(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  const auto bound = bind_arguments("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t slices = integer_argument("slice", *bound[0]);
  if (slices < 1) fail(fmt::format("slice: {} slices; expected at least 1", slices));
  const bool fills = bound[1] != nullptr && !bound[1]->is_none();
  const std::vector<Value> items = interpreter.items(value);
  const auto count = static_cast<size_t>(slices);
  interpreter.budget().allocate(count, sizeof(Value));
  const size_t each = items.size() / count;
  const size_t longer = items.size() % count;
  std::vector<Value> out;
  for (size_t i = 0, at = 0; i < count; ++i) {
    const size_t size = each + (i < longer ? 1 : 0);
    std::vector<Value> part(items.begin() + static_cast<ptrdiff_t>(at),
                            items.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
    if (fills && i >= longer) part.push_back(*bound[1]);
    out.push_back(interpreter.list(std::move(part)));
  }
  return generator_of(std::move(out), value);
}

}  // namespace

std::unordered_map<std::string_view, FilterFunction> sequence_filters() {
  return {
      {"batch", batch},
      {"count", length},
      {"dictsort", dictsort},
      {"first", first},
      {"items", items_filter},
      {"join", join_filter},
      {"last", last},
      {"length", length},
      {"list", list_filter},
      {"map", map_filter},
      {"max", extreme<false>},
      {"min", extreme<true>},
      {"reject", select<false, false>},
      {"rejectattr", select<false, true>},
      {"reverse", reverse},
      {"select", select<true, false>},
      {"selectattr", select<true, true>},
      {"slice", slice_filter},
      {"sort", sort},
      {"sum", sum},
      {"unique", unique},
  };
}

}  // namespace looplm::jinja
