#include "grammar/json_schema.h"

#include <cmath>
#include <map>
#include <set>
#include <span>

#include <fmt/format.h>

#include "base/shortened.h"
#include "grammar/automaton.h"
#include "grammar/json_items.h"
#include "grammar/json_members.h"
#include "grammar/json_parts.h"
#include "grammar/pattern.h"
#include "grammar/schema_base.h"
#include "grammar/schema_conditions.h"
#include "grammar/schema_exclusive.h"
#include "grammar/schema_merge.h"
#include "grammar/schema_scalars.h"
#include "grammar/schema_unevaluated.h"

namespace looplm {
namespace {

constexpr size_t kMostConditions = 500;  // of one schema: each takes some of the stack
constexpr size_t kMostProperties = 10'000;
// Names that other names differ from, character by character.
constexpr size_t kLongestKey = 500;
constexpr size_t kMostKeyBytes = 20'000;  // of one schema
constexpr int kMostSchemaDepth = 256;     // of schemas inside each other
// Schemas that hold together are put together once per place, which references can double at each
// level, and each time all their members become rules again.
constexpr size_t kMostMerges = 10'000;
constexpr size_t kMostMergedMembers = 1'000'000;

class SchemaReader {
 public:
  SchemaReader(const OrderedJson& root, std::string name, Grammar& grammar)
      : root_(root), name_(std::move(name)), grammar_(grammar) {}

  Result<ExpressionPtr> read() { return value_of(root_, name_, 0); }

  // A rule that matches any JSON value.
  ExpressionPtr any_value() {
    if (any_value_ < 0) {
      any_value_ = grammar_.declare(name_ + " (any value)");
      const ExpressionPtr value = rule_reference(any_value_);
      const ExpressionPtr member =
          sequence({json_string(0, kUnbounded), text(":"), json_space(), value});
      grammar_.rules[static_cast<size_t>(any_value_)].expression =
          choice({json_list("{", member, {0, kUnbounded}, "}"),
                  json_list("[", value, {0, kUnbounded}, "]"), json_string(0, kUnbounded),
                  json_number(), one_of_texts({"true", "false", "null"})});
    }
    return rule_reference(any_value_);
  }

  ExpressionPtr any_object() {
    const ExpressionPtr member =
        sequence({json_string(0, kUnbounded), text(":"), json_space(), any_value()});
    return json_list("{", member, {0, kUnbounded}, "}");
  }

 private:
  Result<ExpressionPtr> value_of(const OrderedJson& schema, const std::string& place, int depth) {
    if (depth > kMostSchemaDepth) {
      return invalid_argument(
          fmt::format("{} is nested deeper than {}", shortened(place), kMostSchemaDepth));
    }
    if (schema == true) return any_value();
    if (schema == false) return choice({});
    if (!schema.is_object()) {
      return invalid_argument(fmt::format("{} is {}; expected a schema: an object, true or false",
                                          place, dump_json(schema)));
    }
    if (schema.contains("uniqueItems") && schema["uniqueItems"] == false) {
      OrderedJson rest = schema;  // asks for nothing
      rest.erase("uniqueItems");
      return value_of(rest, place, depth);
    }
    LOOPLM_RETURN_IF_ERROR(check_schema_keywords(schema, place));
    if (schema.contains("unevaluatedProperties") || schema.contains("unevaluatedItems")) {
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson evaluated, without_unevaluated(schema, place));
      return value_of(evaluated, place, depth);
    }
    bool doubtful = schema.contains("not");  // what is evaluated depends on the value
    if (may_have_conditions(schema)) {
      OrderedJson rest = schema;
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<SchemaCondition> conditions,
                              all_conditions(rest, place));
      if (conditions.size() > kMostConditions) {
        return unsupported(fmt::format("{}: {} conditions are too many; expected at most {}", place,
                                       conditions.size(), kMostConditions));
      }
      doubtful = doubtful || !conditions.empty();
      if (!conditions.empty() && !schema.contains(kClosed)) {
        return conditional(rest, conditions, place, depth);
      }
    }
    if (doubtful && schema.contains(kClosed)) {
      return unsupported(place +
                         ".unevaluatedProperties beside conditions or not is not supported");
    }
    for (const char* key : {"$ref", "allOf", "anyOf", "oneOf"}) {
      if (schema.contains(key)) return combined(schema, key, place, depth);
    }
    if (schema.contains("not")) return all_but(schema, place, depth);
    if (schema.contains("const") || schema.contains("enum")) {
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<OrderedJson> values, listed_values(schema, place));
      return constants(schema, values, place);
    }
    return typed(schema, place, depth);
  }

  // Takes out the schema's own, and those in its allOf, which is where programs put several.
  Result<std::vector<SchemaCondition>> all_conditions(OrderedJson& schema,
                                                      const std::string& place) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<SchemaCondition> all, take_conditions(schema, place));
    if (!schema.contains("allOf") || !schema["allOf"].is_array()) return all;
    for (OrderedJson& part : schema["allOf"]) {
      LOOPLM_ASSIGN_OR_RETURN(OrderedJson whole, without_reference(part, place + ".allOf", 0));
      if (!whole.is_object()) continue;
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<SchemaCondition> more,
                              take_conditions(whole, place + ".allOf"));
      if (more.empty()) continue;
      part = std::move(whole);
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }

  // What `rest` allows under the conditions: for each, both ways in which it may end.
  Result<ExpressionPtr> conditional(const OrderedJson& rest,
                                    std::span<const SchemaCondition> conditions,
                                    const std::string& place, int depth) {
    if (rest == false) return choice({});
    if (conditions.empty()) return value_of(rest, place, depth + 1);
    std::vector<ExpressionPtr> choices;
    const auto add = [&](const OrderedJson& holds, const OrderedJson& follows) -> Status {
      LOOPLM_ASSIGN_OR_RETURN(OrderedJson both, merged(opened(rest, holds), holds, place + ".if"));
      LOOPLM_ASSIGN_OR_RETURN(both, merged(opened(both, follows), follows, place + ".then"));
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one,
                              conditional(both, conditions.subspan(1), place, depth));
      choices.push_back(std::move(one));
      return {};
    };
    const SchemaCondition& c = conditions.front();
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson when, without_reference(c.when, place + ".if", 0));
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson then, without_reference(c.then, place + ".then", 0));
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson otherwise,
                            without_reference(c.otherwise, place + ".else", 0));
    LOOPLM_RETURN_IF_ERROR(add(when, then));
    std::vector<OrderedJson> not_when;
    if (when == false) not_when = {true};
    if (when.is_object()) not_when = schemas_of_not(when);
    for (const OrderedJson& one : not_when) LOOPLM_RETURN_IF_ERROR(add(one, otherwise));
    return choice(std::move(choices));
  }

  // "not": of what matches nothing, everything, types, constants, or strings by a pattern, and of
  // what can be turned round keyword by keyword.
  Result<ExpressionPtr> all_but(const OrderedJson& schema, const std::string& place, int depth) {
    OrderedJson rest = schema;
    rest.erase("not");
    const std::string inside = place + ".not";
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson denied, without_reference(schema["not"], inside, 0));
    if (denied == false) return value_of(rest, place, depth + 1);
    if (denied == true) return choice({});
    if (!denied.is_object()) {
      return invalid_argument(fmt::format("{} is {}; expected a schema: an object, true or false",
                                          inside, dump_json(denied)));
    }
    LOOPLM_RETURN_IF_ERROR(check_schema_keywords(denied, inside));
    std::set<std::string> keys;
    for (const auto& [key, value] : denied.items()) {
      if (is_schema_constraint(key)) keys.insert(key);
    }
    if (keys.empty()) return choice({});
    const auto only = [&keys](std::initializer_list<const char*> names) {
      return std::ranges::all_of(keys, [names](const std::string& key) {
        return std::ranges::find(names, key) != names.end();
      });
    };
    const bool listed = only({"const", "enum", "type"});
    if ((rest.contains("const") || rest.contains("enum")) && listed) {
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<OrderedJson> values, listed_values(rest, place));
      const bool all_of_type = only({"type"});
      std::vector<OrderedJson> others;
      if (!all_of_type) {
        LOOPLM_ASSIGN_OR_RETURN(others, listed_values(denied, inside));
      }
      OrderedJson kept = OrderedJson::array();
      for (const OrderedJson& value : values) {
        const bool typed = !denied.contains("type") || is_of_type(value, denied["type"]);
        const bool named = all_of_type || lists_value(others, value);
        if (!typed || !named) kept.push_back(value);
      }
      rest.erase("const");
      rest["enum"] = kept;
      return kept.empty() ? choice({}) : value_of(rest, place, depth + 1);
    }
    if (only({"type"})) {
      const OrderedJson kept = schema_without_types(rest, denied["type"]);
      if (names_type(denied["type"], "integer") && names_type(kept["type"], "number")) {
        return unsupported(inside + " of integers beside numbers is not supported");
      }
      return value_of(kept, place, depth + 1);
    }
    if (rest.contains("type") && rest["type"] == "string" && !rest.contains("const") &&
        !rest.contains("enum")) {
      if (denied.contains("type") && !is_of_type("", denied["type"])) {
        return value_of(rest, place, depth + 1);
      }
      if (listed || only({"pattern", "format", "minLength", "maxLength", "type"})) {
        if (denied.contains("format") && !knows_whole_format(denied["format"])) {
          return unsupported(
              fmt::format("{}.format is {}: looplm knows only the usual texts of this format, so "
                          "it cannot exclude them all",
                          inside, dump_json(denied["format"])));
        }
        OrderedJson strings = denied;
        strings["type"] = "string";
        LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr out,
                                listed ? value_of(strings, inside, depth + 1)
                                       : schema_plain_string(strings, inside, texts_));
        LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr in, schema_plain_string(rest, place, texts_));
        return overlap({std::move(in)}, {std::move(out)});
      }
    }
    OrderedJson alone = OrderedJson::object();
    for (const std::string& key : keys) alone[key] = denied[key];
    std::vector<ExpressionPtr> choices;
    for (const OrderedJson& other : schemas_of_not(alone)) {
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson both, merged(opened(rest, other), other, inside));
      OrderedJson beside = both;
      if (beside.is_object()) beside.erase("not");
      if (other.contains("not") && other["not"] == alone && beside == rest) {
        return unsupported(fmt::format(
            "{} is only supported of types, of constants, of patterns, lengths and bounds, and of "
            "properties of which this is true",
            inside));
      }
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one, value_of(both, place, depth + 1));
      choices.push_back(std::move(one));
    }
    return choice(std::move(choices));
  }

  // `key` and its siblings hold together.
  Result<ExpressionPtr> combined(const OrderedJson& schema, const std::string& key,
                                 const std::string& place, int depth) {
    OrderedJson siblings = schema;
    siblings.erase(key);
    const std::string inside = place + "." + key;
    if (key == "$ref") {
      LOOPLM_ASSIGN_OR_RETURN(const std::string path, reference_path(root_, schema[key], inside));
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson* target, find_reference(root_, path, inside));
      if (!constrains(siblings)) return referenced(*target, path, depth);
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson both, merged(siblings, *target, place));
      return value_of(both, place, depth + 1);
    }
    if (!schema[key].is_array() || schema[key].empty()) {
      return invalid_argument(
          fmt::format("{} is {}; expected a list of schemas", inside, dump_json(schema[key])));
    }
    if (key == "allOf") {
      OrderedJson all = std::move(siblings);
      for (const OrderedJson& part : schema[key]) {
        LOOPLM_ASSIGN_OR_RETURN(const OrderedJson target, without_reference(part, inside, 0));
        LOOPLM_ASSIGN_OR_RETURN(all, merged(all, target, inside));
      }
      return value_of(all, place, depth + 1);
    }
    std::vector<OrderedJson> branches;  // with what stands beside
    for (const OrderedJson& branch : schema[key]) {
      const std::string here = fmt::format("{}[{}]", inside, branches.size());
      if (!constrains(siblings)) {
        branches.push_back(branch);
        continue;
      }
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson target, without_reference(branch, here, 0));
      LOOPLM_ASSIGN_OR_RETURN(OrderedJson both, merged(siblings, target, here));
      branches.push_back(std::move(both));
    }
    if (key == "oneOf") {
      std::vector<OrderedJson> resolved;
      for (const OrderedJson& branch : branches) {
        LOOPLM_ASSIGN_OR_RETURN(OrderedJson target, without_reference(branch, inside, 0));
        resolved.push_back(std::move(target));
      }
      LOOPLM_RETURN_IF_ERROR(check_exclusive(resolved, inside));
    }
    std::vector<ExpressionPtr> choices;
    for (size_t i = 0; i < branches.size(); ++i) {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one,
                              value_of(branches[i], fmt::format("{}[{}]", inside, i), depth + 1));
      choices.push_back(std::move(one));
    }
    return choice(std::move(choices));
  }

  Result<OrderedJson> merged(const OrderedJson& a, const OrderedJson& b, const std::string& place) {
    merged_members_ += members_of(a) + members_of(b);
    if (++merges_ > kMostMerges || merged_members_ > kMostMergedMembers) {
      return unsupported(fmt::format(
          "{}: too many schemas must be put together (allOf, anyOf, oneOf, $ref and if with other "
          "keywords beside them), more than {}, or than {} with all their members; write these "
          "keywords into the branches",
          shortened(place), kMostMerges, kMostMergedMembers));
    }
    return merged_schemas(a, b, place);
  }

  // With all that stands inside.
  static size_t members_of(const OrderedJson& value) {
    if (!value.is_structured()) return 0;
    size_t count = value.size();
    for (const OrderedJson& one : value) count += members_of(one);
    return count;
  }

  static bool constrains(const OrderedJson& schema) {
    for (const auto& [key, value] : schema.items()) {
      if (is_schema_constraint(key)) return true;
    }
    return false;
  }

  Result<OrderedJson> without_reference(const OrderedJson& schema, const std::string& place,
                                        int depth) {
    if (!schema.is_object() || !schema.contains("$ref")) return schema;
    if (depth > kMostSchemaDepth) {
      return invalid_argument(fmt::format("{}: references go round in a circle", place));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string path, reference_path(root_, schema["$ref"], place));
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson* target, find_reference(root_, path, place));
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson whole, without_reference(*target, place, depth + 1));
    OrderedJson siblings = schema;
    siblings.erase("$ref");
    return merged(siblings, whole, place);
  }

  Result<ExpressionPtr> referenced(const OrderedJson& target, const std::string& path, int depth) {
    const auto [place, fresh] = references_.try_emplace(path, -1);
    if (fresh) {
      const std::string named_place = name_ + "#" + shortened(path);
      const int rule = grammar_.declare(named_place);
      place->second = rule;
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr expression, value_of(target, named_place, depth + 1));
      grammar_.rules[static_cast<size_t>(rule)].expression = std::move(expression);
      return rule_reference(rule);
    }
    return rule_reference(place->second);
  }

  // Values as they are; other keywords beside them must allow each.
  Result<ExpressionPtr> constants(const OrderedJson& schema, const std::vector<OrderedJson>& values,
                                  const std::string& place) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string> texts,
                            schema_constant_texts(schema, values, place, texts_));
    return one_of_texts(std::move(texts));
  }

  Result<ExpressionPtr> typed(const OrderedJson& schema, const std::string& place, int depth) {
    std::vector<std::string> types;
    if (schema.contains("type")) {
      const OrderedJson& type = schema["type"];
      const bool listed = type.is_array();
      const size_t count = listed ? type.size() : 1;
      for (size_t i = 0; i < count; ++i) {
        const OrderedJson& one = listed ? type[i] : type;
        if (!one.is_string()) {
          return invalid_argument(fmt::format("{}.type is {}; expected a name or a list of names",
                                              place, dump_json(type)));
        }
        types.push_back(one.get<std::string>());
      }
    } else {
      // Keywords speak of one type; values of the others would be allowed too, and are left out.
      for (const auto& [key, value] : schema.items()) {
        const auto known = schema_keyword_types().find(key);
        if (known == schema_keyword_types().end()) continue;
        if (std::find(types.begin(), types.end(), known->second) == types.end()) {
          types.push_back(known->second);
        }
      }
      if (types.empty()) return any_value();
    }
    std::vector<ExpressionPtr> choices;
    for (const std::string& type : types) {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one, of_type(type, schema, place, depth));
      choices.push_back(std::move(one));
    }
    return choice(std::move(choices));
  }

  Result<ExpressionPtr> of_type(const std::string& type, const OrderedJson& schema,
                                const std::string& place, int depth) {
    if (type == "object") return object(schema, place, depth);
    if (type == "array") return array(schema, place, depth);
    if (type == "string") return string(schema, place);
    if (type == "integer" || type == "number") {
      return schema_number(type, schema, place, grammar_);
    }
    if (type == "boolean") return one_of_texts({"true", "false"});
    if (type == "null") return text("null");
    return invalid_argument(fmt::format(
        "{}.type is '{}'; expected object, array, string, number, integer, boolean or null", place,
        type));
  }

  // One expression for all strings of the same keywords.
  Result<ExpressionPtr> string(const OrderedJson& schema, const std::string& place) {
    OrderedJson said = OrderedJson::object();
    for (const char* key : {"pattern", "format", "minLength", "maxLength"}) {
      if (schema.contains(key)) said[key] = schema[key];
    }
    ExpressionPtr& known = strings_[dump_json(said)];
    if (known == nullptr) {
      LOOPLM_ASSIGN_OR_RETURN(known, schema_string(schema, place, texts_));
    }
    return known;
  }

  Result<ExpressionPtr> array(const OrderedJson& schema, const std::string& place, int depth) {
    LOOPLM_ASSIGN_OR_RETURN(MemberCounts length,
                            schema_counts(schema, "minItems", "maxItems", place));
    // Before 2020-12, items was prefixItems where it is a list, and additionalItems was items.
    const bool older = schema.contains("items") && schema["items"].is_array();
    if (schema.contains("contains")) {
      if (older) return unsupported(place + ".contains beside a list of items is not supported");
      OrderedJson counts = schema;
      if (!counts.contains("minContains")) counts["minContains"] = 1;
      LOOPLM_ASSIGN_OR_RETURN(const MemberCounts found,
                              schema_counts(counts, "minContains", "maxContains", place));
      if (found.least > 0 || found.most != kUnbounded) {
        return with_some(schema, found, length, place, depth);
      }
    }
    if (schema.contains("uniqueItems") && (length.most == kUnbounded || length.most > 1)) {
      return different_items(schema, length, place);
    }
    const char* const prefix_key = older ? "items" : "prefixItems";
    const char* const rest_key = older ? "additionalItems" : "items";
    const OrderedJson rest = schema.value(rest_key, OrderedJson(true));
    ExpressionPtr item;
    if (rest == false) {
      item = choice({});
    } else {
      LOOPLM_ASSIGN_OR_RETURN(item,
                              value_of(rest, fmt::format("{}.{}", place, rest_key), depth + 1));
      item = named(item, fmt::format("{}.{}", place, rest_key));
    }
    if (!schema.contains(prefix_key)) {
      if (rest == false) length.most = 0;
      return json_list("[", item, length, "]");
    }
    const OrderedJson& prefix = schema[prefix_key];
    if (!prefix.is_array()) {
      return invalid_argument(fmt::format("{}.prefixItems is {}; expected a list of schemas", place,
                                          dump_json(prefix)));
    }
    // From the last place backwards: what may follow once i items are there.
    const auto prefix_size = static_cast<int64_t>(prefix.size());
    const int64_t most_more =
        length.most == kUnbounded ? kUnbounded : std::max<int64_t>(0, length.most - prefix_size);
    ExpressionPtr after = repeat(sequence({json_comma(), item}),
                                 std::max<int64_t>(0, length.least - prefix_size), most_more);
    for (int64_t i = prefix_size - 1; i >= 0; --i) {
      const std::string item_place = fmt::format("{}.{}[{}]", place, prefix_key, i);
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr here,
                              value_of(prefix[static_cast<size_t>(i)], item_place, depth + 1));
      here = named(here, item_place);
      ExpressionPtr with = sequence({i == 0 ? text("") : json_comma(), std::move(here), after});
      const bool possible = length.most == kUnbounded || i < length.most;
      const bool needed = i < length.least;
      after = named(!possible ? text("") : needed ? with : optional(with), item_place + " and on");
    }
    return sequence({text("["), json_space(), after, json_space(), text("]")});
  }

  // uniqueItems, where the items are some few values: a rule for each set of those used.
  Result<ExpressionPtr> different_items(const OrderedJson& schema, const MemberCounts& length,
                                        const std::string& place) {
    if (schema["uniqueItems"] != true) {
      return invalid_argument(fmt::format("{}.uniqueItems is {}; expected true or false", place,
                                          dump_json(schema["uniqueItems"])));
    }
    LOOPLM_ASSIGN_OR_RETURN(
        const OrderedJson item,
        without_reference(schema.value("items", OrderedJson(true)), place + ".items", 0));
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<OrderedJson> values,
                            all_values(item, place + ".items"));
    if (values.empty() || schema.contains("prefixItems")) {
      return unsupported(
          fmt::format("{}.uniqueItems is only supported for items of an enum, for booleans and for "
                      "integers between two bounds",
                      place));
    }
    for (const auto& [key, value] : item.items()) {
      const bool known =
          key == "enum" || key == "const" || key == "type" || schema_keyword_types().contains(key);
      if (is_schema_constraint(key) && !known) {
        return unsupported(
            fmt::format("{}.items.{} beside uniqueItems is not supported", place, key));
      }
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                            schema_constant_texts(item, values, place + ".items", texts_));
    return json_items_once(texts, length, place, grammar_);
  }

  // contains: a number of items that match it too.
  Result<ExpressionPtr> with_some(const OrderedJson& schema, const MemberCounts& found,
                                  const MemberCounts& length, const std::string& place, int depth) {
    const std::string inside = place + ".contains";
    for (const char* key : {"prefixItems", "uniqueItems"}) {
      if (schema.contains(key)) {
        return unsupported(fmt::format("{} beside {} is not supported", inside, key));
      }
    }
    LOOPLM_ASSIGN_OR_RETURN(
        const OrderedJson item,
        without_reference(schema.value("items", OrderedJson(true)), place + ".items", 0));
    const auto also = [&](const OrderedJson& other) -> Result<ExpressionPtr> {
      LOOPLM_ASSIGN_OR_RETURN(const OrderedJson both, merged(item, other, inside));
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr one, value_of(both, inside, depth + 1));
      return named(one, inside);
    };
    LOOPLM_ASSIGN_OR_RETURN(const OrderedJson wanted,
                            without_reference(schema["contains"], inside, 0));
    LOOPLM_ASSIGN_OR_RETURN(const ExpressionPtr some, also(wanted));
    const OrderedJson but =
        found.most == kUnbounded ? OrderedJson(true) : OrderedJson{{"not", schema["contains"]}};
    LOOPLM_ASSIGN_OR_RETURN(const ExpressionPtr others, also(but));
    return json_items_with(some, found, others, length, place, grammar_);
  }

  Result<ExpressionPtr> object(const OrderedJson& schema, const std::string& place, int depth) {
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) {
        return invalid_argument(fmt::format("{}.required is {}; expected a list of names", place,
                                            dump_json(schema["required"])));
      }
      for (const OrderedJson& name : schema["required"]) {
        if (!name.is_string()) {
          return invalid_argument(
              fmt::format("{}.required holds {}; expected a name", place, dump_json(name)));
        }
        required.insert(name.get<std::string>());
      }
    }
    OrderedJson properties =
        schema.contains("properties") ? schema["properties"] : OrderedJson::object();
    if (!properties.is_object()) {
      return invalid_argument(fmt::format("{}.properties is {}; expected an object of schemas",
                                          place, dump_json(properties)));
    }
    const bool closed = schema.contains(kClosed);
    const OrderedJson others = schema.contains("additionalProperties")
                                   ? schema["additionalProperties"]
                                   : OrderedJson(!closed && properties.empty() && required.empty());
    add_required(required, schema.contains("additionalProperties") ? others : OrderedJson(!closed),
                 properties);
    if (properties.size() > kMostProperties) {
      return unsupported(fmt::format("{}: {} properties are too many; expected at most {}", place,
                                     properties.size(), kMostProperties));
    }

    LOOPLM_ASSIGN_OR_RETURN(const MemberCounts count,
                            schema_counts(schema, "minProperties", "maxProperties", place));
    LOOPLM_ASSIGN_OR_RETURN(OtherNames names,
                            other_names(schema, others, properties, required, place, depth));
    if (names.values) {  // a few names, which are as good as listed
      for (const std::string& name : *names.values) properties[name] = others;
    }
    std::vector<ObjectMember> members;
    std::vector<std::string> keys;
    for (const auto& [name, value] : properties.items()) {
      keys.push_back(name);
      // A place stands in the name of each rule below it.
      const std::string property = place + ".properties." + shortened(name);
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr expression, value_of(value, property, depth + 1));
      expression = named(expression, property);
      members.push_back({sequence({text(dump_json(OrderedJson(name))), text(":"), json_space(),
                                   std::move(expression)}),
                         required.contains(name)});
    }
    ExpressionPtr extra = std::move(names.member);
    if (extra == nullptr && others != false && !names.values) {
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr expression,
                              value_of(others, place + ".additionalProperties", depth + 1));
      expression = named(expression, place + ".additionalProperties");
      ExpressionPtr name = std::move(names.name);
      if (name == nullptr) {
        LOOPLM_ASSIGN_OR_RETURN(name, name_but(keys, place + ".additionalProperties"));
      }
      extra = sequence({std::move(name), text(":"), json_space(), std::move(expression)});
    }
    // A name that is not listed may come twice, and then counts once.
    const auto listed = static_cast<int64_t>(members.size());
    if (count.least > listed + (extra != nullptr ? 1 : 0)) {
      return unsupported(fmt::format(
          "{}.minProperties is {}, and the schema lists {} names; list at least {} in properties",
          place, count.least, listed, count.least - (extra != nullptr ? 1 : 0)));
    }
    LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr all,
                            members_in_order(members, extra, count, place, grammar_));
    return sequence({text("{"), json_space(), std::move(all), text("}")});
  }

  // A name in quotes that is none of these.
  Result<ExpressionPtr> name_but(const std::vector<std::string>& keys, const std::string& place) {
    if (keys.empty()) return json_string(0, kUnbounded);
    for (const std::string& key : keys) {
      key_bytes_ += key.size();
      if (key.size() > kLongestKey) {
        return unsupported(
            fmt::format("{} beside '{}' in properties, a name of {} bytes; expected at most {}",
                        place, shortened(key), key.size(), kLongestKey));
      }
    }
    if (key_bytes_ > kMostKeyBytes) {
      return unsupported(fmt::format(
          "{} beside properties whose names have more than {} bytes together, in all such objects "
          "of the schema; write \"additionalProperties\": false",
          place, kMostKeyBytes));
    }
    if (string_rest_.any == nullptr) {
      string_rest_ = json_string_rest();
      string_rest_.any = named(string_rest_.any, name_ + " (rest of a name)");
      string_rest_.marked =
          named(sequence({string_rest_.marked, string_rest_.any}), name_ + " (marked rest)");
    }
    return named(json_string_but(keys, string_rest_), place + " (name)");
  }

  // Properties that must be there and are not listed.
  static void add_required(const std::set<std::string>& required, const OrderedJson& schema,
                           OrderedJson& properties) {
    std::set<std::string> listed;  // an object goes through all its names to find one
    for (const auto& [name, value] : properties.items()) listed.insert(name);
    auto& all = properties.get_ref<OrderedJson::object_t&>();
    for (const std::string& name : required) {
      if (!listed.contains(name)) all.emplace_back(name, schema);
    }
  }

  // Members that are not listed by name, where patternProperties or propertyNames speak of them.
  struct OtherNames {
    ExpressionPtr member;  // name and value; null: additionalProperties says what they are
    ExpressionPtr name;    // in quotes; null: any name that is not listed
    std::optional<std::vector<std::string>> values;  // all of them
  };

  // Takes out of `properties` what may not be there.
  Result<OtherNames> other_names(const OrderedJson& schema, const OrderedJson& others,
                                 OrderedJson& properties, const std::set<std::string>& required,
                                 const std::string& place, int depth) {
    OtherNames names;
    if (schema.contains("propertyNames") && schema["propertyNames"] != true) {
      const std::string inside = place + ".propertyNames";
      LOOPLM_ASSIGN_OR_RETURN(OrderedJson rule,
                              without_reference(schema["propertyNames"], inside, 0));
      LOOPLM_ASSIGN_OR_RETURN(rule, merged(rule, {{"type", "string"}}, inside));
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr name, value_of(rule, inside, depth + 1));
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> matching,
                              keys_that_match(properties, name, inside, texts_.readers));
      const std::set<std::string> allowed(matching.begin(), matching.end());
      OrderedJson kept = OrderedJson::object();
      for (const auto& [key, value] : properties.items()) {
        if (allowed.contains(key)) {
          kept.get_ref<OrderedJson::object_t&>().emplace_back(key, value);
        } else if (required.contains(key)) {
          return invalid_argument(
              fmt::format("{} does not allow '{}', which is required", inside, key));
        }
      }
      properties = std::move(kept);
      const bool few = rule.is_object() && (rule.contains("enum") || rule.contains("const"));
      if (few) {
        LOOPLM_ASSIGN_OR_RETURN(const std::vector<OrderedJson> values, listed_values(rule, inside));
        OrderedJson listed = OrderedJson::object();
        for (const OrderedJson& value : values) {
          if (others != false && value.is_string() &&
              !properties.contains(value.get<std::string>()))
            listed[value.get<std::string>()] = true;
        }
        LOOPLM_ASSIGN_OR_RETURN(names.values,
                                keys_that_match(listed, name, inside, texts_.readers));
      } else if (others != false && !properties.empty()) {
        return unsupported(fmt::format(
            "{} beside properties and free names is not supported; list the names, or write "
            "\"additionalProperties\": false",
            inside));
      }
      names.name = named(name, inside);
    }
    if (!schema.contains("patternProperties") || schema["patternProperties"].empty()) return names;
    const std::string inside = place + ".patternProperties";
    const OrderedJson& patterns = schema["patternProperties"];
    if (!patterns.is_object()) {
      return invalid_argument(
          fmt::format("{} is {}; expected an object of schemas", inside, dump_json(patterns)));
    }
    if (names.name != nullptr) {
      return unsupported(inside + " beside propertyNames is not supported");
    }
    if (schema.contains("additionalProperties") && others != false) {
      return unsupported(inside + " is only supported where additionalProperties is false");
    }
    std::vector<ExpressionPtr> choices;
    std::vector<std::string> beginnings;
    for (const auto& [pattern, value] : patterns.items()) {
      const std::string here = fmt::format("{}['{}']", inside, shortened(pattern));
      Result<ExpressionPtr> plain = parse_search_pattern(pattern, PatternText::kPlain);
      if (!plain.ok()) return plain.status().with_context(inside);
      const ExpressionPtr name = sequence({text("\""), json_string_form(*plain), text("\"")});
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> both,
                              keys_that_match(properties, name, here, texts_.readers));
      if (!both.empty()) {
        return unsupported(fmt::format(
            "{} matches the property '{}' too, which is not supported; write a pattern that does "
            "not",
            here, both[0]));
      }
      const std::string beginning = fixed_beginning(pattern);
      for (const std::string& other : beginnings) {
        if (beginning.starts_with(other) || other.starts_with(beginning)) {
          return unsupported(fmt::format(
              "{}: patterns that may match the same name are not supported; let each begin with a "
              "text of its own, such as \"^a_\"",
              inside));
        }
      }
      beginnings.push_back(beginning);
      LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr expression, value_of(value, here, depth + 1));
      choices.push_back(
          sequence({named(name, here), text(":"), json_space(), named(expression, here)}));
    }
    names.member = choice(std::move(choices));
    return names;
  }

  // One rule for each expression.
  ExpressionPtr named(const ExpressionPtr& expression, std::string name) {
    ExpressionPtr& known = rules_[expression];
    if (known == nullptr) known = as_rule(expression, std::move(name), grammar_);
    return known;
  }

  const OrderedJson& root_;
  const std::string name_;
  Grammar& grammar_;
  std::map<std::string, int> references_;         // rules of what has been referred to
  std::map<std::string, ExpressionPtr> strings_;  // by their keywords
  std::map<ExpressionPtr, ExpressionPtr> rules_;  // of expressions
  TextBudget texts_;
  int any_value_ = -1;
  StringRest string_rest_;
  size_t key_bytes_ = 0;
  size_t merges_ = 0;
  size_t merged_members_ = 0;
};

}  // namespace

Result<ExpressionPtr> add_json_schema(const OrderedJson& schema, const std::string& name,
                                      Grammar& grammar) {
  LOOPLM_ASSIGN_OR_RETURN(const OrderedJson whole, with_references_from_root(schema, name));
  return SchemaReader(whole, name, grammar).read();
}

Result<Grammar> json_schema_grammar(const OrderedJson& schema) {
  Grammar grammar;
  grammar.start = grammar.declare("schema");
  LOOPLM_ASSIGN_OR_RETURN(ExpressionPtr value, add_json_schema(schema, "schema", grammar));
  grammar.rules[static_cast<size_t>(grammar.start)].expression = std::move(value);
  return grammar;
}

Grammar json_object_grammar() {
  Grammar grammar;
  grammar.start = grammar.declare("object");
  const OrderedJson anything = true;
  SchemaReader reader(anything, "object", grammar);
  grammar.rules[static_cast<size_t>(grammar.start)].expression = reader.any_object();
  return grammar;
}

}  // namespace looplm
