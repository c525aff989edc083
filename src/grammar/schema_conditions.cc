#include "grammar/schema_conditions.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "grammar/schema_merge.h"
#include "grammar/schema_scalars.h"

namespace looplm {
namespace {

// The bound that begins where `key`'s ends, and what it adds to the value.
struct OtherSide {
  const char* key = nullptr;
  const char* type = nullptr;
  int step = 0;
};
OtherSide other_side(const std::string& key) {
  static const std::map<std::string, OtherSide> sides = {
      {"minimum", {"exclusiveMaximum", "number", 0}},
      {"maximum", {"exclusiveMinimum", "number", 0}},
      {"exclusiveMinimum", {"maximum", "number", 0}},
      {"exclusiveMaximum", {"minimum", "number", 0}},
      {"minLength", {"maxLength", "string", -1}},
      {"maxLength", {"minLength", "string", 1}},
      {"minItems", {"maxItems", "array", -1}},
      {"maxItems", {"minItems", "array", 1}},
      {"minProperties", {"maxProperties", "object", -1}},
      {"maxProperties", {"minProperties", "object", 1}}};
  const auto found = sides.find(key);
  return found == sides.end() ? OtherSide{} : found->second;
}

OrderedJson one_key(const std::string& key, OrderedJson value) {
  OrderedJson object = OrderedJson::object();
  object[key] = std::move(value);
  return object;
}

OrderedJson object_with(const std::string& name, OrderedJson schema) {
  return {{"type", "object"}, {"properties", one_key(name, std::move(schema))}};
}

void add_not(const std::string& key, const OrderedJson& value, std::vector<OrderedJson>& all) {
  const OtherSide side = other_side(key);
  if (side.key != nullptr && value.is_number()) {
    if (side.step < 0 && value == 0) return;  // holds for all
    OrderedJson bound = value;
    if (side.step != 0) bound = value.get<double>() + side.step;
    all.push_back({{"type", side.type}, {side.key, bound}});
  } else if (key == "properties" && value.is_object()) {
    for (const auto& [name, schema] : value.items()) {
      if (schema == true) continue;
      OrderedJson other = object_with(name, one_key("not", schema));
      other["required"] = OrderedJson::array({name});
      all.push_back(std::move(other));
    }
  } else if (key == "required" && value.is_array()) {
    for (const OrderedJson& name : value) {
      if (name.is_string()) all.push_back(object_with(name, false));
    }
  } else if (key == "not") {
    all.push_back(value);
  } else if (key == "allOf" && value.is_array()) {
    for (const OrderedJson& part : value) all.push_back(one_key("not", part));
  } else if (key == "anyOf" && value.is_array()) {
    OrderedJson none = OrderedJson::array();
    for (const OrderedJson& part : value) none.push_back(one_key("not", part));
    all.push_back(one_key("allOf", std::move(none)));
  } else if (key == "const" && value.is_primitive()) {
    if (value.is_boolean()) all.push_back(one_key("const", !value.get<bool>()));
    if (value.is_number()) {
      for (const char* bound : {"exclusiveMaximum", "exclusiveMinimum"}) {
        all.push_back({{"type", "number"}, {bound, value}});
      }
    }
    if (value.is_string()) {
      all.push_back({{"type", "string"}, {"not", one_key(key, value)}});
    }
    const std::string type = value.is_number() ? "number" : value.type_name();
    all.push_back(one_key("not", one_key("type", type)));
  } else {
    OrderedJson other = one_key("not", one_key(key, value));
    const auto known = schema_keyword_types().find(key);
    if (known != schema_keyword_types().end()) other["type"] = known->second;
    all.push_back(std::move(other));
  }
}

constexpr const char* kDependencies[] = {"dependentRequired", "dependentSchemas", "dependencies"};

}  // namespace

bool may_have_conditions(const OrderedJson& schema) {
  return schema.contains("if") || schema.contains("allOf") ||
         std::ranges::any_of(kDependencies,
                             [&schema](const char* key) { return schema.contains(key); });
}

Result<std::vector<SchemaCondition>> take_conditions(OrderedJson& schema,
                                                     const std::string& place) {
  std::vector<SchemaCondition> conditions;
  if (schema.contains("if")) {
    if (!schema["if"].is_object() && !schema["if"].is_boolean()) {
      return invalid_argument(
          fmt::format("{}.if is {}; expected a schema: an object, true or false", place,
                      dump_json(schema["if"])));
    }
    conditions.push_back({schema["if"], schema.value("then", OrderedJson(true)),
                          schema.value("else", OrderedJson(true))});
  }
  for (const char* key : {"if", "then", "else"}) schema.erase(key);
  for (const char* key : kDependencies) {
    if (!schema.contains(key)) continue;
    const OrderedJson all = schema[key];
    schema.erase(key);
    if (!all.is_object()) {
      return invalid_argument(
          fmt::format("{}.{} is {}; expected an object", place, key, dump_json(all)));
    }
    for (const auto& [name, value] : all.items()) {
      conditions.push_back({.when = one_key("required", OrderedJson::array({name})),
                            .then = value.is_array() ? one_key("required", value) : value});
    }
  }
  return conditions;
}

std::vector<OrderedJson> schemas_of_not(const OrderedJson& denied) {
  std::vector<OrderedJson> all;
  for (const auto& [key, value] : denied.items()) {
    if (is_schema_constraint(key)) add_not(key, value, all);
  }
  return all;
}

OrderedJson opened(const OrderedJson& schema, const OrderedJson& other) {
  const auto speaks_of = [](const OrderedJson& s, std::initializer_list<const char*> keys) {
    return s.is_object() &&
           std::ranges::any_of(keys, [&s](const char* key) { return s.contains(key); });
  };
  const bool names = speaks_of(other, {"properties", "required"});
  if (!names || !schema.is_object() ||
      speaks_of(schema, {"properties", "required", "additionalProperties", "patternProperties",
                         "propertyNames", "$ref", "allOf", "anyOf", "oneOf"})) {
    return schema;
  }
  OrderedJson open = schema;
  open["additionalProperties"] = true;
  return open;
}

}  // namespace looplm
