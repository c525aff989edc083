// Reads the fields of a request. The first wrong one is remembered and the rest go on with their
// defaults, so that a reader is a plain list of fields.
#ifndef LOOPLM_SERVE_FIELDS_H_
#define LOOPLM_SERVE_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"

namespace looplm {

class Fields {
 public:
  // `object` must outlive this. Anything but an object is an error; null is an empty one. `path`
  // stands before the fields' names in errors.
  explicit Fields(const OrderedJson& object, std::string path = "");
  explicit Fields(OrderedJson&& object, std::string path = "") = delete;
  // The object that a field holds; an empty one where there is none.
  Fields inner(std::string_view name) const;

  // Null counts as absent.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  const OrderedJson* find(std::string_view name) const;
  // Of a field that chooses or describes something: there, and not an empty text.
  bool says(std::string_view name) const {
    const OrderedJson* value = find(name);
    return value != nullptr && *value != "";
  }

  // Null where there is none, and with an error where the field is no list.
  const OrderedJson* list(std::string_view name, const std::string& expected);
  int64_t integer(std::string_view name, int64_t fallback, int64_t least, int64_t most);
  double number(std::string_view name, double fallback, double least, double most);
  bool boolean(std::string_view name, bool fallback);
  std::string text(std::string_view name, const std::string& fallback);
  // An empty text counts as absent.
  std::string one_of(std::string_view name, const std::string& fallback,
                     std::initializer_list<std::string_view> values);

  // Remembers an error of the field, unless there is one already.
  void wrong(std::string_view name, const std::string& message, ApiError as = {});
  void wrong_value(std::string_view name, const OrderedJson& value, const std::string& expected);
  // For a field that would be obeyed elsewhere and is not here; `neutral` asks for nothing.
  void refuse(std::string_view name, const std::string& why, const OrderedJson& neutral = nullptr);
  // Names the first field that is none of these.
  void expect_only(std::initializer_list<std::string_view> names);
  void adopt(const Fields& inner) {
    if (!error_.has_value()) error_ = inner.error_;
  }

  bool failed() const { return error_.has_value(); }
  const ApiError& error() const { return *error_; }
  std::string path_of(std::string_view name) const;

 private:
  const OrderedJson* object_ = nullptr;
  std::string path_;
  std::optional<ApiError> error_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_FIELDS_H_
