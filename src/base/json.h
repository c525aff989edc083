// JSON through nlohmann, with errors as Status and typed look-ups that name the key, the value and
// what was expected. Nobody else calls nlohmann's parse() and dump(): each file that does compiles
// them again, which takes 2 seconds, and 7 under sanitizers.
#ifndef LOOPLM_BASE_JSON_H_
#define LOOPLM_BASE_JSON_H_

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "looplm/status.h"

namespace looplm {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses strict JSON; a key given twice in one object is an error, since readers disagree on which
// value counts. Nesting deeper than 64 is refused. `what` names the source in messages
// ("config.json").
Result<Json> parse_json(std::string_view text, const std::string& what);
Result<Json> read_json_file(const std::string& path);
// The same with keys in the order of the text, for whoever writes it out again. An object of more
// than 10,000 keys is refused, since each look-up goes through all of them.
Result<OrderedJson> parse_ordered_json(std::string_view text, const std::string& what);
Result<OrderedJson> read_ordered_json_file(const std::string& path);

// On one line, or with a line for each value, indented by `indent` spaces per level; bytes that are
// not UTF-8 become U+FFFD.
std::string dump_json(const Json& value, int indent = -1);
std::string dump_json(const OrderedJson& value, int indent = -1);
// The same for messages, shortened.
std::string shown_json(const Json& value);
std::string shown_json(const OrderedJson& value);

// Look-ups in an object. A missing key yields `fallback`; a value of another type or out of range
// is an error.
Result<int64_t> json_int(const Json& object, const char* key, int64_t fallback, int64_t min,
                         int64_t max);
Result<double> json_number(const Json& object, const char* key, double fallback, double min,
                           double max);
Result<bool> json_bool(const Json& object, const char* key, bool fallback);
Result<std::string> json_string(const Json& object, const char* key, const std::string& fallback);

}  // namespace looplm

#endif  // LOOPLM_BASE_JSON_H_
