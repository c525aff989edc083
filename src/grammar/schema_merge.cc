#include "grammar/schema_merge.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "base/shortened.h"

namespace looplm {
namespace {

bool is_annotation(const std::string& key) {
  static const std::set<std::string> keys = {
      "title",   "description", "default",  "examples",  "$schema", "$id",        "$comment",
      "$anchor", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions"};
  return keys.contains(key);
}

std::vector<OrderedJson> as_list(const OrderedJson& value) {
  return value.is_array() ? std::vector<OrderedJson>(value.begin(), value.end())
                          : std::vector<OrderedJson>{value};
}

// The order of an object's members says nothing.
std::set<Json> set_of(const OrderedJson& list) {
  std::set<Json> all;
  for (const OrderedJson& value : list) all.insert(Json(value));
  return all;
}

// "number" holds integers.
OrderedJson common_types(const OrderedJson& a, const OrderedJson& b) {
  const std::vector<OrderedJson> left = as_list(a);
  const std::vector<OrderedJson> right = as_list(b);
  OrderedJson both = OrderedJson::array();
  for (const OrderedJson& type : left) {
    if (lists_value(right, type) || (type == "integer" && lists_value(right, "number"))) {
      both.push_back(type);
    } else if (type == "number" && lists_value(right, "integer")) {
      both.push_back("integer");
    }
  }
  return both.size() == 1 ? both[0] : both;
}

std::vector<OrderedJson> constants_of(const OrderedJson& schema) {
  if (!schema.is_object()) return {};
  if (schema.contains("const")) return {schema["const"]};
  if (schema.contains("enum") && schema["enum"].is_array()) return as_list(schema["enum"]);
  return {};
}

// Where the keys of an object stand. The object itself goes through all of them to find one.
using KeyPlaces = std::unordered_map<std::string, size_t>;
KeyPlaces places_of(const OrderedJson& object) {
  KeyPlaces places;
  for (const auto& [key, value] : object.items()) places.emplace(key, places.size());
  return places;
}

// Keywords that speak of what others leave over hold for the other schema's properties and items,
// which its own do not list.
Status spread_leftovers(const OrderedJson& from, OrderedJson& onto, const std::string& place) {
  if (from.contains("additionalProperties") &&
      (onto.contains("patternProperties") ||
       (from.contains("patternProperties") && onto.contains("properties")))) {
    return unsupported(fmt::format(
        "{}: patternProperties of one schema and additionalProperties of another are not supported",
        place));
  }
  if (from.contains("additionalProperties") && onto.contains("properties") &&
      onto["properties"].is_object()) {
    const KeyPlaces listed = places_of(from.value("properties", OrderedJson::object()));
    for (auto& [name, schema] : onto["properties"].items()) {
      if (listed.contains(name)) continue;
      LOOPLM_ASSIGN_OR_RETURN(schema, merged_schemas(schema, from["additionalProperties"],
                                                     place + "." + shortened(name)));
    }
  }
  if (from.contains("items") && !from.contains("prefixItems") && onto.contains("prefixItems") &&
      onto["prefixItems"].is_array()) {
    for (OrderedJson& schema : onto["prefixItems"]) {
      LOOPLM_ASSIGN_OR_RETURN(schema,
                              merged_schemas(schema, from["items"], place + ".prefixItems"));
    }
  }
  return {};
}

// Keywords of which the first says what the others mean; alone these say nothing.
const std::vector<std::vector<std::string>>& keyword_groups() {
  static const std::vector<std::vector<std::string>> groups = {
      {"if", "then", "else"}, {"contains", "minContains", "maxContains"}};
  return groups;
}

// One of both schemas has a group, and says all of it.
Status part_groups(OrderedJson& a, OrderedJson& b, const std::string& place) {
  for (const std::vector<std::string>& group : keyword_groups()) {
    bool differ = false;
    for (OrderedJson* one : {&a, &b}) {
      for (const std::string& key : group) {
        if (!one->contains(group[0])) one->erase(key);
      }
    }
    for (const std::string& key : group) {
      differ =
          differ || a.contains(key) != b.contains(key) || (a.contains(key) && a[key] != b[key]);
    }
    if (differ && a.contains(group[0]) && b.contains(group[0])) {
      return unsupported(fmt::format(
          "{}: two values of '{}' that must hold together are not supported", place, group[0]));
    }
  }
  return {};
}

// Constants that neither "not" allows.
std::optional<OrderedJson> neither(const OrderedJson& a, const OrderedJson& b) {
  OrderedJson all = OrderedJson::array();
  for (const OrderedJson* one : {&a, &b}) {
    if (!one->is_object() || one->size() != 1) return std::nullopt;
    const std::vector<OrderedJson> values = constants_of(*one);
    if (values.empty()) return std::nullopt;
    for (const OrderedJson& value : values) all.push_back(value);
  }
  return OrderedJson{{"enum", std::move(all)}};
}

// A property that must be there and may not.
bool contradicts_itself(const OrderedJson& schema) {
  if (!schema.contains("properties") || !schema["properties"].is_object() ||
      !schema.contains("required") || !schema["required"].is_array()) {
    return false;
  }
  std::set<std::string> never;
  for (const auto& [name, property] : schema["properties"].items()) {
    if (property == false) never.insert(name);
  }
  return std::ranges::any_of(schema["required"], [&never](const OrderedJson& name) {
    return name.is_string() && never.contains(name.get<std::string>());
  });
}

Status merge_properties(const OrderedJson& theirs, OrderedJson& mine, const std::string& place) {
  KeyPlaces places = places_of(mine);
  auto& all = mine.get_ref<OrderedJson::object_t&>();
  for (const auto& [name, schema] : theirs.items()) {
    const auto [known, fresh] = places.try_emplace(name, all.size());
    if (fresh) {
      all.emplace_back(name, schema);
      continue;
    }
    OrderedJson& both = (all.begin() + static_cast<ptrdiff_t>(known->second))->second;
    LOOPLM_ASSIGN_OR_RETURN(both, merged_schemas(both, schema, place + "." + shortened(name)));
  }
  return {};
}

}  // namespace

Result<OrderedJson> merged_schemas(const OrderedJson& a, const OrderedJson& b,
                                   const std::string& place) {
  if (a == true || (a.is_object() && a.empty())) return b;
  if (b == true || (b.is_object() && b.empty())) return a;
  if (a == false || b == false) return OrderedJson(false);
  if (!a.is_object() || !b.is_object()) {
    return invalid_argument(fmt::format("{} holds {}; expected schemas", place,
                                        a.is_object() ? dump_json(b) : dump_json(a)));
  }
  for (const char* key : {"unevaluatedProperties", "unevaluatedItems"}) {
    if (!a.contains(key) && !b.contains(key)) continue;
    return unsupported(
        fmt::format("{}: {} is not supported where another schema must hold too", place, key));
  }
  OrderedJson both = a;
  OrderedJson other = b;
  LOOPLM_RETURN_IF_ERROR(part_groups(both, other, place));
  LOOPLM_RETURN_IF_ERROR(spread_leftovers(b, both, place));
  LOOPLM_RETURN_IF_ERROR(spread_leftovers(a, other, place));
  for (const auto& [key, value] : other.items()) {
    if (!both.contains(key)) {
      both[key] = value;
      continue;
    }
    OrderedJson& mine = both[key];
    if (mine == value || is_annotation(key)) continue;
    if (key == "type") {
      mine = common_types(mine, value);
      if (mine.empty()) return OrderedJson(false);
    } else if (key == "const") {
      if (!lists_value({mine}, value)) return OrderedJson(false);
    } else if (std::optional<OrderedJson> none; key == "not" && (none = neither(mine, value))) {
      mine = *std::move(none);
    } else if (key == "allOf" && mine.is_array() && value.is_array()) {
      mine.insert(mine.end(), value.begin(), value.end());
    } else if (key == "properties" && mine.is_object() && value.is_object()) {
      LOOPLM_RETURN_IF_ERROR(merge_properties(value, mine, place));
    } else if (key == "required" && mine.is_array() && value.is_array()) {
      const std::set<Json> known = set_of(mine);
      for (const OrderedJson& name : value) {
        if (!known.contains(Json(name))) mine.push_back(name);
      }
    } else if (key == "enum" && mine.is_array() && value.is_array()) {
      const std::set<Json> known = set_of(value);
      OrderedJson common = OrderedJson::array();
      for (const OrderedJson& v : mine) {
        if (known.contains(Json(v))) common.push_back(v);
      }
      if (common.empty()) return OrderedJson(false);
      mine = std::move(common);
    } else if ((key == "items" || key == "additionalProperties")) {
      LOOPLM_ASSIGN_OR_RETURN(OrderedJson one, merged_schemas(mine, value, place + "." + key));
      mine = std::move(one);
    } else if (mine.is_number() && value.is_number() &&
               (key.starts_with("min") || key == "exclusiveMinimum")) {
      if (mine < value) mine = value;
    } else if (mine.is_number() && value.is_number() &&
               (key.starts_with("max") || key == "exclusiveMaximum")) {
      if (value < mine) mine = value;
    } else {
      return unsupported(fmt::format(
          "{}: two values of '{}' that must hold together are not supported", place, key));
    }
  }
  return contradicts_itself(both) ? OrderedJson(false) : both;
}

bool lists_value(const std::vector<OrderedJson>& list, const OrderedJson& value) {
  return std::ranges::any_of(list, [&value](const OrderedJson& one) {
    return one == value || (one.is_structured() && Json(one) == Json(value));
  });
}

Result<std::vector<OrderedJson>> listed_values(const OrderedJson& schema,
                                               const std::string& place) {
  std::vector<OrderedJson> values;
  if (schema.contains("enum")) {
    const OrderedJson& all = schema["enum"];
    if (!all.is_array() || all.empty()) {
      return invalid_argument(
          fmt::format("{}.enum is {}; expected a list of values", place, dump_json(all)));
    }
    values.assign(all.begin(), all.end());
  }
  if (!schema.contains("const")) return values;
  const bool allowed = values.empty() || lists_value(values, schema["const"]);
  return allowed ? std::vector{schema["const"]} : std::vector<OrderedJson>();
}

bool is_of_type(const OrderedJson& value, const OrderedJson& type) {
  if (type.is_array()) {
    return std::any_of(type.begin(), type.end(),
                       [&](const OrderedJson& t) { return is_of_type(value, t); });
  }
  if (type == "integer") {
    return value.is_number_integer() ||
           (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
  }
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

bool names_type(const OrderedJson& types, const std::string& type) {
  return types == type ||
         (types.is_array() && std::find(types.begin(), types.end(), type) != types.end());
}

std::optional<SchemaKeys> keys_inside(SchemaKeys keys, const std::string& key) {
  if (keys == SchemaKeys::kNames) return SchemaKeys::kKeywords;
  for (const char* plain : {"const", "enum", "default", "examples"}) {
    if (key == plain) return std::nullopt;
  }
  for (const char* map : {"properties", "patternProperties", "$defs", "definitions",
                          "dependentSchemas", "dependencies"}) {
    if (key == map) return SchemaKeys::kNames;
  }
  return SchemaKeys::kKeywords;
}

const OrderedJson* find_anchor(const OrderedJson& schema, const std::string& name,
                               SchemaKeys keys) {
  if (!schema.is_structured()) return nullptr;
  if (keys == SchemaKeys::kKeywords && schema.is_object() && schema.contains("$anchor") &&
      schema["$anchor"] == name) {
    return &schema;
  }
  for (const auto& [key, value] : schema.items()) {
    const std::optional<SchemaKeys> inside = keys_inside(keys, key);
    if (!inside) continue;
    if (const OrderedJson* found = find_anchor(value, name, *inside)) return found;
  }
  return nullptr;
}

}  // namespace looplm
