#include "base/json.h"

#include <set>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/shortened.h"

namespace looplm {
namespace {

constexpr size_t kMaxDepth = 64;

constexpr size_t kMaxOrderedKeys = 10'000;

// Builds the value through nlohmann's own DOM builder while watching nesting and repeated keys.
template <typename J>
class StrictBuilder : public nlohmann::json_sax<J> {
  using Sax = nlohmann::json_sax<J>;
  using typename Sax::number_float_t;
  using typename Sax::number_integer_t;
  using typename Sax::number_unsigned_t;
  using typename Sax::string_t;

 public:
  explicit StrictBuilder(J& root) : builder_(root, /*allow_exceptions=*/false) {}

  bool null() override { return builder_.null(); }
  bool boolean(bool v) override { return builder_.boolean(v); }
  bool number_integer(number_integer_t v) override { return builder_.number_integer(v); }
  bool number_unsigned(number_unsigned_t v) override { return builder_.number_unsigned(v); }
  bool number_float(number_float_t v, const string_t& s) override {
    return builder_.number_float(v, s);
  }
  bool string(string_t& v) override { return builder_.string(v); }
  bool binary(typename Sax::binary_t& v) override { return builder_.binary(v); }
  bool start_object(size_t elements) override {
    keys_.emplace_back();
    return depth_ok() && builder_.start_object(elements);
  }
  bool key(string_t& k) override {
    if (!keys_.back().insert(k).second) {
      error = fmt::format("key '{}' is given twice in one object", k.substr(0, 100));
      return false;
    }
    if (std::is_same_v<J, OrderedJson> && keys_.back().size() > kMaxOrderedKeys) {
      error = fmt::format("an object has more than {} keys", kMaxOrderedKeys);
      return false;
    }
    return builder_.key(k);
  }
  bool end_object() override {
    keys_.pop_back();
    return builder_.end_object();
  }
  bool start_array(size_t elements) override {
    keys_.emplace_back();
    return depth_ok() && builder_.start_array(elements);
  }
  bool end_array() override {
    keys_.pop_back();
    return builder_.end_array();
  }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    error = fmt::format("not valid JSON at byte {} near '{}'", position,
                        token.substr(token.size() > 20 ? token.size() - 20 : 0));
    return false;
  }

  std::string error;

 private:
  bool depth_ok() {
    if (keys_.size() <= kMaxDepth) return true;
    error = fmt::format("nested deeper than {} levels", kMaxDepth);
    return false;
  }

  nlohmann::detail::json_sax_dom_parser<J> builder_;
  std::vector<std::set<std::string>> keys_;
};

Status wrong_value(const char* key, const Json& value, const std::string& expected) {
  return invalid_argument(fmt::format("'{}' is {}; expected {}", key, shown_json(value), expected));
}

template <typename J>
Result<J> parse_strictly(std::string_view text, const std::string& what) {
  // The parser takes a zero byte for the end, whatever follows.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return invalid_argument(fmt::format("{}: not valid JSON: byte {} is zero", what, zero));
  }
  J root;
  StrictBuilder<J> builder(root);
  if (!J::sax_parse(text.begin(), text.end(), &builder)) {
    return invalid_argument(
        fmt::format("{}: {}", what, builder.error.empty() ? "not valid JSON" : builder.error));
  }
  return root;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& what) {
  return parse_strictly<Json>(text, what);
}
Result<OrderedJson> parse_ordered_json(std::string_view text, const std::string& what) {
  return parse_strictly<OrderedJson>(text, what);
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}
std::string dump_json(const OrderedJson& value, int indent) {
  return value.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string shown_json(const Json& value) { return shortened(dump_json(value)); }
std::string shown_json(const OrderedJson& value) { return shortened(dump_json(value)); }

Result<Json> read_json_file(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return parse_json(file.text(), path);
}

Result<OrderedJson> read_ordered_json_file(const std::string& path) {
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return parse_ordered_json(file.text(), path);
}

Result<int64_t> json_int(const Json& object, const char* key, int64_t fallback, int64_t min,
                         int64_t max) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  const std::string expected = fmt::format("an integer from {} to {}", min, max);
  if (!found->is_number_integer()) return wrong_value(key, *found, expected);
  if (found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return wrong_value(key, *found, expected);
  }
  const auto value = found->get<int64_t>();
  if (value < min || value > max) return wrong_value(key, *found, expected);
  return value;
}

Result<double> json_number(const Json& object, const char* key, double fallback, double min,
                           double max) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  const std::string expected = fmt::format("a number from {} to {}", min, max);
  if (!found->is_number()) return wrong_value(key, *found, expected);
  const auto value = found->get<double>();
  if (!(value >= min && value <= max)) return wrong_value(key, *found, expected);
  return value;
}

Result<bool> json_bool(const Json& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_boolean()) return wrong_value(key, *found, "true or false");
  return found->get<bool>();
}

Result<std::string> json_string(const Json& object, const char* key, const std::string& fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  if (!found->is_string()) return wrong_value(key, *found, "a string");
  return found->get<std::string>();
}

}  // namespace looplm
