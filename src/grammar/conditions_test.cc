// Schemas that say something on a condition, count items, or deny more than a type.
#include <ctime>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "grammar/test_matcher.h"

namespace looplm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void expect(const std::string& json, const std::vector<std::string>& yes,
            const std::vector<std::string>& no) {
  Matcher m = schema(json);
  for (const std::string& text : yes) EXPECT_TRUE(m.matches(text)) << json << " " << text;
  for (const std::string& text : no) EXPECT_FALSE(m.matches(text)) << json << " " << text;
}

TEST(JsonSchema, IfThenAndElse) {
  const std::string members =
      R"("type": "object", "properties": {"kind": {"enum": ["a", "b", "c"]}, "n": {"type": "integer"}})";
  expect("{" + members + R"(, "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["n"]}, "else": {"properties": {"n": false}}})",
         {R"({"kind":"a","n":1})", R"({"kind":"b"})", R"({"kind":"c"})"},
         {R"({"kind":"a"})", R"({"kind":"b","n":1})", R"({"n":1})"});
  // Without the property the condition holds.
  expect("{" + members +
             R"(, "if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["n"]}})",
         {R"({"n":1})", R"({"kind":"a","n":1})", R"({"kind":"b"})", R"({"kind":"b","n":2})"},
         {"{}", R"({"kind":"a"})"});
  expect(
      "{" + members +
          R"(, "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"required": ["n"]}})",
      {"{}", R"({"n":1})", R"({"kind":"b"})"}, {R"({"kind":"a"})"});
  // Several stand in allOf.
  expect("{" + members + R"(, "required": ["kind"], "allOf": [
            {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["n"]}},
            {"if": {"properties": {"kind": {"const": "b"}}}, "then": {"properties": {"n": {"maximum": 3}}}}]})",
         {R"({"kind":"a","n":9})", R"({"kind":"b"})", R"({"kind":"b","n":3})",
          R"({"kind":"c","n":9})"},
         {R"({"kind":"a"})", R"({"kind":"b","n":4})"});
  // Of other things than objects.
  expect(
      R"({"type": ["integer", "string"], "if": {"type": "integer"}, "then": {"minimum": 5}, "else": {"maxLength": 1}})",
      {"5", "\"x\"", "\"\""}, {"4", "\"xy\""});
  expect(
      R"({"type": "integer", "if": {"minimum": 5, "maximum": 8}, "then": {"maximum": 6}, "else": {"minimum": 3}})",
      {"3", "4", "5", "6", "9"}, {"2", "7", "8"});
  expect(
      R"({"type": "object", "properties": {"on": {"type": "boolean"}, "x": {"type": "null"}}, "required": ["on"],
             "if": {"properties": {"on": {"const": true}}}, "then": {"required": ["x"]}})",
      {R"({"on":true,"x":null})", R"({"on":false})"}, {R"({"on":true})"});
  // Objects of any members stay open.
  expect(R"({"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}})",
         {"{}", R"({"c":1})", R"({"a":1,"b":2})", R"({"b":1,"c":2})"},
         {R"({"a":1})", R"({"a":1,"c":2})"});
  // What says nothing.
  expect(R"({"type": "null", "if": {"minimum": 5}})", {"null"}, {"1"});
  expect(R"({"type": "null", "then": false, "else": false})", {"null"}, {"1"});
  expect(R"({"type": "integer", "if": true, "then": {"maximum": 2}, "else": false})", {"2"}, {"3"});
  expect(R"({"type": "integer", "if": false, "then": false, "else": {"maximum": 2}})", {"2"},
         {"3"});
  expect(R"({"$ref": "#/$defs/x", "if": {"$ref": "#/$defs/y"}, "then": {"maximum": 6},
             "$defs": {"x": {"type": "integer", "minimum": 4}, "y": {"minimum": 5}}})",
         {"4", "5", "6"}, {"3", "7"});
  EXPECT_THAT(
      schema_error(
          R"({"if": {"items": {"type": "null"}}, "then": {"maxItems": 1}, "type": "array"})"),
      HasSubstr("not is only supported"));
  EXPECT_THAT(schema_error(R"({"if": 7, "then": {}})"), HasSubstr("schema.if"));
}

TEST(JsonSchema, WhatOnePropertyAsksOfOthers) {
  const std::string members =
      R"("type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}})";
  for (const char* key : {"dependentRequired", "dependencies"}) {
    expect("{" + members + ", \"" + key + R"(": {"a": ["b"], "b": ["c"]}})",
           {"{}", R"({"c":null})", R"({"b":null,"c":null})", R"({"a":null,"b":null,"c":null})"},
           {R"({"a":null})", R"({"a":null,"b":null})", R"({"b":null})"});
  }
  for (const char* key : {"dependentSchemas", "dependencies"}) {
    expect("{" + members + ", \"" + key +
               R"(": {"a": {"properties": {"c": false}, "required": ["b"]}}})",
           {"{}", R"({"b":null,"c":null})", R"({"a":null,"b":null})"},
           {R"({"a":null})", R"({"a":null,"b":null,"c":null})"});
  }
  EXPECT_THAT(schema_error(R"({"dependentRequired": []})"),
              HasSubstr("schema.dependentRequired is []"));
}

TEST(JsonSchema, NotIsTurnedRoundKeywordByKeyword) {
  const std::string members =
      R"("type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}})";
  expect("{" + members + R"(, "not": {"required": ["a", "b"]}})",
         {"{}", R"({"a":"x"})", R"({"b":1})"}, {R"({"a":"x","b":1})"});
  expect("{" + members + R"(, "not": {"properties": {"a": {"const": "x"}, "b": {"minimum": 3}}}})",
         {R"({"a":"y"})", R"({"b":2})", R"({"a":"x","b":2})", R"({"a":"y","b":3})"},
         {"{}", R"({"a":"x"})", R"({"a":"x","b":3})"});
  expect(R"({"enum": [1, 2, 3], "not": {"anyOf": [{"const": 1}, {"const": 2}]}})", {"3"},
         {"1", "2"});
  expect(R"({"type": "integer", "not": {"allOf": [{"minimum": 3}, {"maximum": 5}]}})", {"2", "6"},
         {"3", "5"});
  expect(R"({"type": "integer", "not": {"const": 5}})", {"4", "6"}, {"5"});
  expect(R"({"type": "array", "items": {"type": "null"}, "not": {"maxItems": 1}})",
         {"[null, null]"}, {"[]", "[null]"});
  expect(R"({"enum": [{"a": 1, "b": 2}, 3], "not": {"const": {"b": 2, "a": 1}}})", {"3"},
         {R"({"a":1,"b":2})"});
}

TEST(JsonSchema, SomeItemsMayHaveToMatch) {
  expect(R"({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}})",
         {"[5]", "[1, 9]", "[9, 1, 2]"}, {"[]", "[1, 2]"});
  expect(
      R"({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "minContains": 2, "maxItems": 3})",
      {"[2, 2]", "[2, 1, 2]"}, {"[2]", "[1, 2]", "[2, 1, 2, 2]"});
  expect(
      R"({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "maxContains": 1, "minItems": 2})",
      {"[1, 2]", "[2, 1, 1]"}, {"[2]", "[2, 2]", "[1, 1]"});
  expect(
      R"({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "minContains": 0})",
      {"[]", "[1]", "[2]"}, {"[3]"});
  expect(
      R"({"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "minContains": 0, "maxContains": 0})",
      {"[]", "[1, 1]"}, {"[2]"});
  expect(R"({"type": "array", "items": {"type": "null"}, "minContains": 3})", {"[]"}, {"[1]"});
  expect(
      R"({"allOf": [{"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}}, {"minContains": 0}]})",
      {"[2]"}, {"[]", "[1]"});
  expect(R"({"contains": {"const": "x"}, "items": {"type": "string", "maxLength": 1}})",
         {R"(["y", "x"])"}, {R"(["y"])"});
  EXPECT_THAT(schema_error(R"({"contains": {}, "prefixItems": [true]})"),
              HasSubstr("schema.contains beside prefixItems"));
  EXPECT_THAT(schema_error(R"({"contains": {}, "minContains": 5000, "maxItems": 9000})"),
              HasSubstr("too many"));
  EXPECT_THAT(
      schema_error(R"({"allOf": [{"contains": {"const": 1}}, {"contains": {"const": 2}}]})"),
      HasSubstr("two values of 'contains'"));
}

// Twenty kinds, each with members of its own: as many branches as there are kinds.
TEST(JsonSchema, ConditionsThatExcludeEachOtherDoNotMultiply) {
  std::string kinds;
  std::string conditions;
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    kinds += (i == 0 ? "\"k" : ",\"k") + n + "\"";
    conditions += (i == 0 ? "" : ",") +
                  std::string(R"({"if": {"properties": {"kind": {"const": "k)") + n +
                  R"("}}, "required": ["kind"]}, "then": {"properties": {"x)" + n +
                  R"(": {"type": "null"}}, "required": ["x)" + n + R"("]}})";
  }
  expect(R"({"type": "object", "properties": {"kind": {"enum": [)" + kinds +
             R"(]}}, "required": ["kind"], "allOf": [)" + conditions + "]}",
         {R"({"kind":"k7","x7":null})", R"({"kind":"k39","x39":null})"},
         {R"({"kind":"k7"})", R"({"kind":"k7","x8":null})"});
}

TEST(JsonSchema, NothingBesideAnEnumIsDropped) {
  EXPECT_THAT(
      schema_error(
          R"({"type":"array","uniqueItems":true,"items":{"enum":["a","b"],"not":{"const":"a"}}})"),
      HasSubstr("items.not beside uniqueItems"));
  expect(
      R"({"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"enum": ["a", "bb"], "minLength": 2}})",
      {"{}", R"({"bb":null})"}, {R"({"a":null})"});
}

// Of a oneOf one branch matches and no other: by types, constants and what they require.
TEST(JsonSchema, OneBranchAloneMatches) {
  const std::string a =
      R"({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"])";
  const std::string b =
      R"({"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"])";
  for (const char* end : {"}", R"(, "additionalProperties": false})"}) {
    expect(R"({"oneOf": [)" + a + end + "," + b + end + "]}", {R"({"a":null})", R"({"b":null})"},
           {"{}", R"({"a":null,"b":null})"});
  }
  expect(R"({"oneOf": [{"properties": {"x": {"type": "integer"}}, "required": ["x"]},
                       {"properties": {"x": {"type": "string", "maxLength": 1}}, "required": ["x"]}]})",
         {R"({"x":1})", R"({"x":"1"})"}, {"{}"});
  expect(R"({"properties": {"n": {"type": "null"}}, "oneOf": [
              {"properties": {"k": {"const": 1}}, "required": ["k"]},
              {"properties": {"k": {"enum": [2, "x"]}}, "required": ["k"]}]})",
         {R"({"n":null,"k":1})", R"({"k":"x"})"}, {R"({"n":null})"});
}

// Branches that are not proved to exclude each other, of which some do.
TEST(JsonSchema, BranchesThatMayOverlapAreRefused) {
  const std::string both =
      R"("type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}})";
  const std::string name = R"({"type": "object", "properties": {"name": {"enum": ["x"]}, )";
  for (
      const std::string& schema : std::vector<std::string>{
          "{" + both + R"(, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
          "{" + both + R"(, "oneOf": [{"required": ["a"]}, {"required": ["a", "b"]}]})",
          R"({"oneOf": [{"properties": {"a": true}, "required": ["a"]},
                         {"properties": {"a": true, "b": true}, "required": ["a", "b"]}]})",
          R"({"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 5}]})",
          R"({"oneOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "maxItems": 3}]})",
          R"({"oneOf": [{"type": "string", "format": "email"}, {"type": "string", "format": "uri"}]})",
          // Others add properties, or types.
          R"({"oneOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"],
                          "dependentRequired": {"a": ["b"]}},
                         {"type": "object", "properties": {"b": true}, "required": ["b"]}]})",
          R"({"oneOf": [{"type": "object", "properties": {"x": {"minimum": 3}}, "required": ["x"],
                          "allOf": [{"properties": {"x": {"type": "string", "pattern": "^a$"}}}]},
                         {"type": "object", "properties": {"x": {"type": "string", "pattern": "^a$"}},
                          "required": ["x"]}]})",
          R"({"oneOf": [{"properties": {"x": {"uniqueItems": false}}, "required": ["x"]},
                         {"properties": {"x": {"type": "string"}}, "required": ["x"]}]})",
          R"({"oneOf": [{"properties": {"x": {"not": {"type": "null"}, "minimum": 3}}, "required": ["x"]},
                         {"properties": {"x": {"type": "string"}}, "required": ["x"]}]})",
          // Optional members.
          R"({"oneOf": [)" + name + R"("meow": {"type": "boolean"}}}, )" + name +
              R"("bark": {"type": "boolean"}}, "required": ["name"]},
                {"type": "object", "properties": {"bark": {"type": "number"}}, "required": ["bark"],
                 "additionalProperties": false}]})",
          R"({"oneOf": [)" + name + R"("meow": {"type": "boolean"}}, "required": ["name"]}, )" +
              name + R"("bark": {"type": "boolean"}}, "required": ["name"]}]})"}) {
    EXPECT_THAT(schema_error(schema), AllOf(HasSubstr("branches 0 and 1 may match the same value"),
                                            HasSubstr("write anyOf")))
        << schema;
  }
  EXPECT_THAT(
      schema_error(
          R"({"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "string", "minLength": 3}]})"),
      HasSubstr("branches 1 and 2"));
}

// All that each branch or part has, each looked up once. Seconds are those of a sanitizer's build
// on a busy machine; the work that grows with a square took minutes.
TEST(JsonSchema, WideSchemasAreNoWorkBeyondTheirSize) {
  const std::clock_t began = std::clock();
  OrderedJson names = OrderedJson::array();
  for (int i = 0; i < 80'000; ++i) names.push_back(fmt::format("n{}", i));
  const OrderedJson required = {{"type", "object"}, {"required", names}};
  EXPECT_THAT(schema_error(required.dump()), HasSubstr("80000 properties are too many"));
  OrderedJson properties = OrderedJson::object();
  for (int i = 0; i < 2'000; ++i) {
    properties.get_ref<OrderedJson::object_t&>().emplace_back(fmt::format("n{}", i), true);
  }
  names.erase(names.begin() + 2'000, names.end());
  OrderedJson wide = {{"type", "object"}, {"properties", properties}, {"required", names}};
  OrderedJson branches = OrderedJson::array();
  for (int i = 0; i < 2; ++i) {
    wide["properties"]["n0"] = {{"const", i}};
    branches.push_back(wide);
  }
  EXPECT_EQ(schema_error(OrderedJson{{"oneOf", branches}}.dump()), "");
  for (OrderedJson& branch : branches) branch["properties"]["n0"] = {{"const", 0}};
  EXPECT_EQ(schema_error(OrderedJson{{"allOf", branches}}.dump()), "");
  const OrderedJson anything = {{"oneOf", OrderedJson::array()}};
  OrderedJson overlapping = anything;
  OrderedJson tagged = anything;
  OrderedJson deep = anything;
  for (int i = 0; i < 50'000; ++i) overlapping["oneOf"].push_back(OrderedJson::object());
  EXPECT_THAT(schema_error(overlapping.dump()), HasSubstr("branches 0 and 1"));
  for (int i = 0; i < 500; ++i) {
    tagged["oneOf"].push_back({{"properties", {{"kind", {{"const", i}}}}}, {"required", {"kind"}}});
  }
  EXPECT_EQ(schema_error(tagged.dump()), "");
  for (int i = 0; i < 20'000; ++i) deep["oneOf"].push_back({{"const", i}});
  EXPECT_THAT(schema_error(deep.dump()), HasSubstr("20000 branches are too many"));
  EXPECT_LT(std::clock() - began, std::clock_t{30} * CLOCKS_PER_SEC);
}

// Names beside which others are free, of one object or of many.
TEST(JsonSchema, ManyNamesBesideFreeOnes) {
  const auto of_names = [](int count, size_t length) {
    OrderedJson open = {{"type", "object"}, {"additionalProperties", {{"type", "null"}}}};
    for (int i = 0; i < count; ++i) {
      std::string name = fmt::format("{:05}", i);
      for (size_t at = 0; name.size() < length; ++at) name += static_cast<char>('a' + at % 26);
      open["properties"][name] = {{"const", i}};
    }
    return open;
  };
  const OrderedJson open = of_names(400, 50);
  EXPECT_EQ(schema_error(open.dump()), "");
  Matcher m = schema(open.dump());
  const std::string name = open["properties"].begin().key();
  EXPECT_TRUE(m.matches("{\"" + name + "\":0,\"x\":null}"));
  EXPECT_FALSE(m.matches("{\"" + name + "\":null}"));
  for (const std::string& other : {name.substr(1), name + "b", name.substr(0, 9), name + "\\n",
                                   "\u00e4" + name, std::string("\\\"")}) {
    EXPECT_TRUE(m.matches("{\"" + other + "\":null}")) << other;
    EXPECT_FALSE(m.matches("{\"" + other + "\":0}")) << other;
  }
  EXPECT_FALSE(m.matches("{\"\\u0030" + name.substr(1) + "\":null}"));
  Matcher marked = schema(
      R"({"properties": {"\u00e4\"\n": {"const": 1}, "a\u00f6": {"const": 2}}, "additionalProperties": {"type": "null"}})");
  EXPECT_TRUE(
      marked.matches("{\"\u00e4\\\"\\n\":1,\"a\u00f6\":2,\"a\u00fc\":null,\"\u00e4\":null,"
                     "\"\u00e4\\\"\\t\":null}"));
  EXPECT_FALSE(marked.matches("{\"\u00e4\\\"\\n\":null}"));
  EXPECT_FALSE(marked.matches("{\"a\u00f6\":null}"));
  EXPECT_THAT(schema_error(of_names(800, 494).dump()),
              HasSubstr("names have more than 20000 bytes together"));
  OrderedJson several = {{"type", "array"}};
  for (int i = 0; i < 5; ++i) several["prefixItems"].push_back(of_names(100, 50));
  EXPECT_THAT(schema_error(several.dump()), HasSubstr("20000 bytes together"));
}

// What nests with each item, name or sign would take the stack, and a place in each rule's name
// the memory.
TEST(JsonSchema, LongListsAndNamesAreNoWorkBeyondTheirSize) {
  const OrderedJson tuple = {{"type", "array"}, {"prefixItems", std::vector<bool>(20'000, true)}};
  EXPECT_EQ(schema_error(tuple.dump()), "");
  const std::string name(100'000, 'k');
  OrderedJson open = {{"type", "object"}, {"additionalProperties", true}};
  open["properties"][name] = true;
  EXPECT_THAT(schema_error(open.dump()), HasSubstr("a name of 100000 bytes"));
  OrderedJson inner = {{"type", "object"}};
  for (int i = 0; i < 2'000; ++i) inner["properties"][fmt::format("a{}", i)] = {{"type", "null"}};
  const OrderedJson outer = {{"properties", {{name, inner}}}};
  const Grammar grammar = json_schema_grammar(outer).value();
  size_t names = 0;
  for (const Grammar::Rule& rule : grammar.rules) names += rule.name.size();
  EXPECT_LT(names, 2'000'000U);
  EXPECT_EQ(schema_error(outer.dump()), "");
  OrderedJson several = {{"type", "integer"}};
  for (int i = 0; i < 20'000; ++i) {
    several["allOf"].push_back({{"if", {{"minimum", 1}}}, {"then", {{"maximum", 9}}}});
  }
  EXPECT_THAT(schema_error(several.dump()), HasSubstr("conditions are too many"));
  const OrderedJson literal = {
      {"type", "string"}, {"pattern", "^" + name + "k*j*$"}, {"maxLength", 200'000}};
  EXPECT_THAT(schema_error(literal.dump()), HasSubstr("too many states"));
}

// What the schemas that hold speak of may be there, and nothing else.
TEST(JsonSchema, UnevaluatedPropertiesAndItemsMayBeForbidden) {
  Matcher closed = schema(R"({"type":"object","properties":{"a":{"const":1}},"required":["a"],
      "anyOf":[{"$ref":"#/$defs/b"},{"properties":{"c":{"const":3}},"required":["c"]}],
      "unevaluatedProperties":false,"$defs":{"b":{"properties":{"b":{"const":2}}}}})");
  EXPECT_TRUE(closed.matches(R"({"a":1,"b":2})"));
  EXPECT_TRUE(closed.matches(R"({"a":1,"c":3})"));
  EXPECT_FALSE(closed.matches(R"({"a":1,"d":4})"));
  Matcher both =
      schema(R"({"allOf":[{"properties":{"a":{"const":1}}},{"properties":{"b":{"const":2}}}],
      "unevaluatedProperties":false})");
  EXPECT_TRUE(both.matches(R"({"a":1,"b":2})"));
  EXPECT_FALSE(both.begins(R"({"c)"));
  EXPECT_THAT(schema_error(R"({"required":["a"],"anyOf":[{},true],"unevaluatedProperties":false})"),
              HasSubstr("matches no text"));
  Matcher typed = schema(R"({"properties":{"a":true},"unevaluatedProperties":{"type":"null"}})");
  EXPECT_TRUE(typed.matches(R"({"b":null})"));
  EXPECT_FALSE(typed.matches(R"({"b":1})"));
  Matcher pair = schema(R"({"prefixItems":[{"const":1}],"unevaluatedItems":false})");
  EXPECT_TRUE(pair.matches("[1]"));
  EXPECT_FALSE(pair.begins("[1,"));
  // Beside others a schema does not see what they evaluate.
  for (
      const char* schema :
      {R"({"allOf":[{"properties":{"a":true}},{"unevaluatedProperties":false}]})",
       R"({"properties":{"x":{"unevaluatedProperties":false}},"anyOf":[{"properties":{"x":{"properties":{"a":true}}}}]})",
       R"({"properties":{"a":true},"unevaluatedProperties":false,"if":{"required":["a"]},"then":false})",
       R"({"properties":{"a":true},"unevaluatedProperties":{"type":"null"},"anyOf":[{}]})",
       R"({"allOf":[{"not":{"required":["a"]}}],"unevaluatedProperties":false})",
       R"({"contains":true,"unevaluatedItems":false})"}) {
    EXPECT_THAT(schema_error(schema), HasSubstr("unevaluated")) << schema;
  }
}

}  // namespace
}  // namespace looplm
