// What expressions are made of: Python's values, as far as templates see them.
//
// Values are immutable and shared; what can change (a namespace, an iterator, a loop) is an Object.
// Integers have 128 bits instead of Python's any number; beyond that is an error.
#ifndef LOOPLM_CHAT_JINJA_VALUE_H_
#define LOOPLM_CHAT_JINJA_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja/budget.h"
#include "chat/jinja/text.h"

namespace looplm::jinja {

__extension__ using Integer = __int128;
__extension__ using Magnitude = unsigned __int128;

class Dict;
class Interpreter;
class Object;
class Value;
struct List;

// The value of a name or attribute that is not there: prints as nothing, is false, is an empty
// list; most else fails with the reason.
struct Undefined {
  std::string why;  // "'x' is undefined"
};

class Value {
 public:
  Value() = default;  // None
  explicit Value(bool value) : data_(value) {}
  explicit Value(Integer value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}
  explicit Value(std::shared_ptr<const List> list) : data_(std::move(list)) {}
  explicit Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  explicit Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  static Value undefined(std::string why);
  static Value text(std::string bytes, Marks marks = 0) {
    return Value(Text(std::move(bytes), marks));
  }

  bool is_none() const { return std::holds_alternative<std::monostate>(data_); }
  const Undefined* undefined() const { return pointer<const Undefined>(); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const Integer* integer() const { return std::get_if<Integer>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  const Text* string() const { return pointer<const Text>(); }
  const List* list() const { return pointer<const List>(); }  // a tuple too
  const Dict* dict() const { return pointer<const Dict>(); }
  Object* object() const { return pointer<Object>(); }
  // Python's bool is an int.
  std::optional<Integer> as_integer() const;
  std::optional<double> as_number() const;  // int, bool or float

  bool same_object(const Value& other) const;  // Python's `is`
  int depth() const;                           // of containers in containers
  // What looking at all of it costs: one for each value and each kWeightBytes of text, counting
  // shared parts as often as they are met. SIZE_MAX: too much to say.
  size_t weight() const;

  std::string_view type_name() const;
  bool truth() const;

 private:
  template <typename T>
  T* pointer() const {
    const auto* found = std::get_if<std::shared_ptr<T>>(&data_);
    return found == nullptr ? nullptr : found->get();
  }

  std::variant<std::monostate, std::shared_ptr<const Undefined>, bool, Integer, double,
               std::shared_ptr<const Text>, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, std::shared_ptr<Object>>
      data_;
};

inline constexpr size_t kWeightBytes = 64;

struct List {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;
  size_t weight = 1;
};
Value make_list(Budget& budget, std::vector<Value> items);
Value make_tuple(Budget& budget, std::vector<Value> items);

// In the order in which keys were first put in.
class Dict {
 public:
  struct Entry {
    Value key;
    Value value;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  // Fails on a key that cannot be one (a list, a dict).
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);
  int depth() const { return depth_; }
  size_t weight() const { return weight_; }

 private:
  size_t position(const Value& key) const;  // size(): not there

  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, size_t> index_;  // hash to position, once there are many
  int depth_ = 1;
  size_t weight_ = 1;
};
Value make_dict(Budget& budget, Dict dict);

class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual bool next(Value& value) = 0;  // false at the end
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

// Functions, iterators, namespaces and the like.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  virtual bool truth() const { return true; }
  virtual std::optional<size_t> length() const { return std::nullopt; }
  // Null: cannot be iterated over.
  virtual std::unique_ptr<Iterator> iterate(Interpreter&) { return nullptr; }
  virtual std::optional<Value> attribute(Interpreter&, std::string_view) { return std::nullopt; }
  virtual bool callable() const { return false; }
  virtual Value call(Interpreter& interpreter, const Arguments& arguments);
  virtual void repr(TextBuilder& out, int depth) const;
  virtual int depth() const { return 1; }
};

// Python's `==`; mixed types are different, not an error.
bool equal(const Value& a, const Value& b);
// Negative, 0 or positive; fails where Python has no order. `operation` is for the message.
int compare(const Value& a, const Value& b, std::string_view operation);
size_t hash(const Value& value);  // fails on a list or dict

// str() and repr().
Text to_text(Budget& budget, const Value& value);
void append_text(TextBuilder& out, const Value& value);
void append_repr(TextBuilder& out, const Value& value, int depth = 0);
std::string float_repr(double value);
std::string integer_text(Integer value);
// Of a message: quoted and cut short.
std::string shown(const Value& value);

// json.dumps. Separators as given; indent as text, none: all in one line.
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
void append_json(TextBuilder& out, const Value& value, const JsonStyle& style, int depth = 0);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_VALUE_H_
