#include "chat/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

namespace looplm::jinja {
namespace {

constexpr size_t kIndexedFrom = 16;  // entries from which a dict has an index

size_t add_weights(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

std::shared_ptr<const List> finished_list(Budget& budget, std::vector<Value> items, bool tuple) {
  budget.allocate(items.size() + 1, sizeof(Value));
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    list->depth = std::max(list->depth, item.depth() + 1);
    list->weight = add_weights(list->weight, item.weight());
  }
  if (list->depth > kMaxDepth) fail(fmt::format("lists nest deeper than {} levels", kMaxDepth));
  list->items = std::move(items);
  list->tuple = tuple;
  return list;
}

int order(auto a, auto b) { return a < b ? -1 : (b < a ? 1 : 0); }

}  // namespace

Value Value::undefined(std::string why) {
  Value value;
  value.data_ = std::make_shared<const Undefined>(Undefined{std::move(why)});
  return value;
}

std::optional<Integer> Value::as_integer() const {
  if (const bool* b = boolean()) return *b ? 1 : 0;
  if (const Integer* i = integer()) return *i;
  return std::nullopt;
}

std::optional<double> Value::as_number() const {
  if (const double* d = real()) return *d;
  if (const auto i = as_integer()) return static_cast<double>(*i);
  return std::nullopt;
}

bool Value::same_object(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (list() != nullptr) return list() == other.list();
  if (dict() != nullptr) return dict() == other.dict();
  if (object() != nullptr) return object() == other.object();
  return equal(*this, other);
}

int Value::depth() const {
  if (const List* l = list()) return l->depth;
  if (const Dict* d = dict()) return d->depth();
  if (const Object* o = object()) return o->depth();
  return 0;
}

size_t Value::weight() const {
  if (const Text* text = string()) return 1 + text->size() / kWeightBytes;
  if (const List* l = list()) return l->weight;
  if (const Dict* d = dict()) return d->weight();
  return 1;
}

std::string_view Value::type_name() const {
  if (is_none()) return "NoneType";
  if (undefined() != nullptr) return "Undefined";
  if (boolean() != nullptr) return "bool";
  if (integer() != nullptr) return "int";
  if (real() != nullptr) return "float";
  if (string() != nullptr) return "str";
  if (const List* l = list()) return l->tuple ? "tuple" : "list";
  if (dict() != nullptr) return "dict";
  return object()->type_name();
}

bool Value::truth() const {
  if (is_none() || undefined() != nullptr) return false;
  if (const bool* b = boolean()) return *b;
  if (const Integer* i = integer()) return *i != 0;
  if (const double* d = real()) return *d != 0;
  if (const Text* t = string()) return !t->empty();
  if (const List* l = list()) return !l->items.empty();
  if (const Dict* d = dict()) return d->size() > 0;
  return object()->truth();
}

Value Object::call(Interpreter&, const Arguments&) {
  fail(fmt::format("'{}' object is not callable", type_name()));
}

void Object::repr(TextBuilder& out, int) const {
  out.append(fmt::format("<{} object>", type_name()), 0);
}

Value make_list(Budget& budget, std::vector<Value> items) {
  return Value(finished_list(budget, std::move(items), false));
}
Value make_tuple(Budget& budget, std::vector<Value> items) {
  return Value(finished_list(budget, std::move(items), true));
}

Value make_dict(Budget& budget, Dict dict) {
  budget.allocate(dict.size() + 1, 3 * sizeof(Value));
  if (dict.depth() > kMaxDepth) fail(fmt::format("dicts nest deeper than {} levels", kMaxDepth));
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

size_t Dict::position(const Value& key) const {
  const size_t code = hash(key);
  if (index_.empty()) {
    size_t i = 0;
    while (i < entries_.size() && !equal(entries_[i].key, key)) ++i;
    return i;
  }
  const auto [begin, end] = index_.equal_range(code);
  for (auto at = begin; at != end; ++at) {
    if (equal(entries_[at->second].key, key)) return at->second;
  }
  return entries_.size();
}

const Value* Dict::find(const Value& key) const {
  const size_t at = position(key);
  return at < entries_.size() ? &entries_[at].value : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (index_.empty()) {
    for (const Entry& entry : entries_) {
      const Text* name = entry.key.string();
      if (name != nullptr && name->view() == key) return &entry.value;
    }
    return nullptr;
  }
  return find(Value::text(std::string(key)));
}

void Dict::set(Value key, Value value) {
  depth_ = std::max({depth_, key.depth() + 1, value.depth() + 1});
  weight_ = add_weights(add_weights(weight_, key.weight()), value.weight());
  const size_t at = position(key);
  if (at < entries_.size()) {
    entries_[at].value = std::move(value);
    return;
  }
  entries_.push_back({std::move(key), std::move(value)});
  if (!index_.empty()) {
    index_.emplace(hash(entries_.back().key), at);
  } else if (entries_.size() >= kIndexedFrom) {
    for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash(entries_[i].key), i);
  }
}

bool equal(const Value& a, const Value& b) {
  if (a.string() != nullptr && b.string() != nullptr) {
    return a.string()->view() == b.string()->view();
  }
  const auto ia = a.as_integer();
  const auto ib = b.as_integer();
  if (ia && ib) return *ia == *ib;
  const auto na = a.as_number();
  const auto nb = b.as_number();
  if (na && nb) return *na == *nb;
  if (const List* la = a.list(), *lb = b.list(); la != nullptr && lb != nullptr) {
    return la->tuple == lb->tuple && std::equal(la->items.begin(), la->items.end(),
                                                lb->items.begin(), lb->items.end(), equal);
  }
  if (const Dict* da = a.dict(), *db = b.dict(); da != nullptr && db != nullptr) {
    return da->size() == db->size() &&
           std::all_of(da->entries().begin(), da->entries().end(), [&](const Dict::Entry& entry) {
             const Value* other = db->find(entry.key);
             return other != nullptr && equal(entry.value, *other);
           });
  }
  if (a.object() != nullptr) return a.object() == b.object();
  return (a.is_none() && b.is_none()) || (a.undefined() != nullptr && b.undefined() != nullptr);
}

int compare(const Value& a, const Value& b, std::string_view operation) {
  for (const Value* value : {&a, &b}) {
    if (value->undefined() != nullptr) fail(value->undefined()->why);
  }
  if (a.string() != nullptr && b.string() != nullptr) {
    return order(a.string()->view(), b.string()->view());
  }
  const auto ia = a.as_integer();
  const auto ib = b.as_integer();
  if (ia && ib) return order(*ia, *ib);
  const auto na = a.as_number();
  const auto nb = b.as_number();
  if (na && nb) return order(*na, *nb);
  if (const List* la = a.list(), *lb = b.list();
      la != nullptr && lb != nullptr && la->tuple == lb->tuple) {
    const size_t common = std::min(la->items.size(), lb->items.size());
    for (size_t i = 0; i < common; ++i) {
      if (!equal(la->items[i], lb->items[i])) {
        return compare(la->items[i], lb->items[i], operation);
      }
    }
    return order(la->items.size(), lb->items.size());
  }
  fail(fmt::format("'{}' is not supported between '{}' and '{}'", operation, a.type_name(),
                   b.type_name()));
}

size_t hash(const Value& value) {
  if (const Text* text = value.string()) return std::hash<std::string_view>()(text->view());
  if (const auto i = value.as_integer()) return std::hash<int64_t>()(static_cast<int64_t>(*i));
  if (const double* d = value.real()) {
    const bool whole = std::floor(*d) == *d && std::fabs(*d) < 0x1p62;
    return whole ? std::hash<int64_t>()(static_cast<int64_t>(*d)) : std::hash<double>()(*d);
  }
  if (const List* list = value.list(); list != nullptr && list->tuple) {
    size_t all = list->items.size();
    for (const Value& item : list->items) all = all * 1000003 + hash(item);
    return all;
  }
  if (value.list() != nullptr || value.dict() != nullptr) {
    fail(fmt::format("unhashable type: '{}'", value.type_name()));
  }
  return std::hash<const void*>()(value.object());
}

}  // namespace looplm::jinja
