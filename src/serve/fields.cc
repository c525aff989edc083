#include "serve/fields.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace looplm {

Fields::Fields(const OrderedJson& object, std::string path) : path_(std::move(path)) {
  if (object.is_object()) {
    object_ = &object;
  } else if (!object.is_null()) {
    error_ =
        ApiError{.message = fmt::format("{} is {}; expected an object",
                                        path_.empty() ? "the request" : path_, shown_json(object)),
                 .param = path_};
  }
}

Fields Fields::inner(std::string_view name) const {
  static const OrderedJson kEmpty = OrderedJson::object();
  const OrderedJson* value = find(name);
  return Fields(value == nullptr ? kEmpty : *value, path_of(name));
}

const OrderedJson* Fields::find(std::string_view name) const {
  if (object_ == nullptr) return nullptr;
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Fields::wrong(std::string_view name, const std::string& message, ApiError as) {
  if (error_.has_value()) return;
  as.param = path_of(name);
  as.message = fmt::format("'{}'{}{}", as.param, message.starts_with(':') ? "" : " ", message);
  error_ = std::move(as);
}

void Fields::wrong_value(std::string_view name, const OrderedJson& value,
                         const std::string& expected) {
  wrong(name, fmt::format("is {}; expected {}", shown_json(value), expected));
}

void Fields::refuse(std::string_view name, const std::string& why, const OrderedJson& neutral) {
  const OrderedJson* value = find(name);
  if (value == nullptr || *value == neutral) return;
  wrong(name, "is not supported: " + why);
  if (error_->param == path_of(name)) error_->code = "unsupported_parameter";
}

void Fields::expect_only(std::initializer_list<std::string_view> names) {
  if (object_ == nullptr) return;
  for (const auto& [name, value] : object_->items()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    return wrong(name, fmt::format("is unknown; expected one of {}", fmt::join(names, ", ")));
  }
}

const OrderedJson* Fields::list(std::string_view name, const std::string& expected) {
  const OrderedJson* value = find(name);
  if (value == nullptr || value->is_array()) return value;
  wrong_value(name, *value, expected);
  return nullptr;
}

int64_t Fields::integer(std::string_view name, int64_t fallback, int64_t least, int64_t most) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return fallback;
  // 3.0 is a whole number in JSON as much as 3 is.
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  const bool whole = value->is_number_integer() || std::floor(number) == number;
  if (whole && number >= static_cast<double>(least) && number <= static_cast<double>(most)) {
    const auto exact =
        value->is_number_float() ? static_cast<int64_t>(number) : value->get<int64_t>();
    if (exact >= least && exact <= most) return exact;
  }
  wrong_value(name, *value, fmt::format("a whole number from {} to {}", least, most));
  return fallback;
}

double Fields::number(std::string_view name, double fallback, double least, double most) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return fallback;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= least && number <= most) return number;
  wrong_value(name, *value, fmt::format("a number from {} to {}", least, most));
  return fallback;
}

bool Fields::boolean(std::string_view name, bool fallback) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  wrong_value(name, *value, "true or false");
  return fallback;
}

std::string Fields::text(std::string_view name, const std::string& fallback) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return fallback;
  if (value->is_string()) return value->get<std::string>();
  wrong_value(name, *value, "a text");
  return fallback;
}

std::string Fields::one_of(std::string_view name, const std::string& fallback,
                           std::initializer_list<std::string_view> values) {
  const OrderedJson* given = find(name);
  if (given == nullptr || !given->is_string()) return text(name, fallback);
  std::string value = given->get<std::string>();
  if (value.empty()) return fallback;
  for (std::string_view known : values) {
    if (value == known) return value;
  }
  wrong(name, fmt::format("is '{}'; expected {}{}", value, values.size() > 1 ? "one of " : "",
                          fmt::join(values, ", ")));
  return fallback;
}

}  // namespace looplm
