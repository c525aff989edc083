// Schemas of objects whose members are counted, named by patterns, or found by references.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "grammar/test_matcher.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST(Pattern, UnicodeProperties) {
  Matcher name = search("^\\p{Lu}[\\p{Ll}\\p{Nd}]*\\P{L}$");
  EXPECT_TRUE(name.matches("Éa٣ß!"));
  EXPECT_FALSE(name.matches("éa!"));
  EXPECT_FALSE(name.matches("Éaz"));
  Matcher greek = search("^[^\\p{Script=Greek}]$");
  EXPECT_TRUE(greek.matches("a"));
  EXPECT_FALSE(greek.matches("λ"));
}

TEST(JsonSchema, PropertiesAreCounted) {
  const std::string three = R"("type": "object", "properties": {"a": {"type": "null"},
      "b": {"type": "null"}, "c": {"type": "null"}}, "required": ["b"])";
  const auto object = [](const std::string& keys) {
    std::string text;
    for (const char key : keys) text += fmt::format("{}\"{}\":null", text.empty() ? "" : ",", key);
    return "{" + text + "}";
  };
  Matcher two = schema("{" + three + R"(, "minProperties": 2, "maxProperties": 2})");
  Matcher few = schema("{" + three + R"(, "maxProperties": 1})");
  Matcher some = schema("{" + three + R"(, "minProperties": 3, "additionalProperties": true})");
  for (const std::string keys :
       {"", "a", "b", "c", "ab", "ac", "bc", "abc", "abd", "bd", "bdd", "abde", "abcd"}) {
    const bool listed = keys.find_first_of("de") == std::string::npos;
    const bool has_b = keys.find('b') != std::string::npos;
    EXPECT_EQ(two.matches(object(keys)), listed && has_b && keys.size() == 2) << keys;
    EXPECT_EQ(few.matches(object(keys)), keys == "b") << keys;
    // "bdd" has two members, and "bd" is too few.
    const bool enough = keys.size() >= 3 && keys != "bdd";
    EXPECT_EQ(some.matches(object(keys)), has_b && enough) << keys;
  }
  EXPECT_TRUE(schema(R"({"type": "object", "maxProperties": 0})").matches("{}"));
  EXPECT_FALSE(schema(R"({"type": "object", "maxProperties": 0})").matches(R"({"a":1})"));
  Matcher any = schema(R"({"type": "object", "minProperties": 1, "maxProperties": 2})");
  EXPECT_FALSE(any.matches("{}"));
  EXPECT_TRUE(any.matches(R"({"a":1})"));
  EXPECT_TRUE(any.matches(R"({"a":1,"b":[2]})"));
  EXPECT_FALSE(any.matches(R"({"a":1,"b":[2],"c":3})"));
  EXPECT_THAT(schema_error(R"({"type": "object", "minProperties": 2})"),
              HasSubstr("list at least 1 in properties"));
  EXPECT_THAT(schema_error("{" + three + R"(, "minProperties": 4})"), HasSubstr("minProperties"));
  EXPECT_THAT(schema_error(R"({"minProperties": 3, "maxProperties": 2})"),
              HasSubstr("nothing matches"));
}

TEST(JsonSchema, NamesOfPropertiesMayFollowAPattern) {
  Matcher patterns = schema(R"({"type": "object", "properties": {"id": {"type": "integer"}},
      "required": ["id"], "additionalProperties": false, "maxProperties": 3,
      "patternProperties": {"^n_": {"type": "integer"}, "^t_[a-z]+$": {"type": "string"}}})");
  EXPECT_TRUE(patterns.matches(R"({"id":1,"n_\u0001x":2,"t_a":"b"})"));
  EXPECT_TRUE(patterns.matches(R"({"id":1})"));
  EXPECT_FALSE(patterns.matches(R"({"id":1,"n_x":"b"})"));
  EXPECT_FALSE(patterns.matches(R"({"id":1,"t_A":"b"})"));
  EXPECT_FALSE(patterns.matches(R"({"id":1,"other":1})"));
  EXPECT_FALSE(patterns.matches(R"({"id":1,"n_a":1,"n_b":1,"n_c":1})"));
  const auto error = [](const std::string& rest) {
    return schema_error(R"({"type": "object", "patternProperties": )" + rest + "}");
  };
  EXPECT_THAT(error(R"({"^a": {}, "b$": {}})"), HasSubstr("may match the same name"));
  EXPECT_THAT(error(R"({"^ab*": {}, "^a": {}})"), HasSubstr("may match the same name"));
  EXPECT_THAT(error(R"({"^a": {}}, "properties": {"ab": {}})"), HasSubstr("the property 'ab'"));
  EXPECT_THAT(error(R"({"^a": {}}, "required": ["ab"])"), HasSubstr("the property 'ab'"));
  EXPECT_THAT(error(R"({"^a": {}}, "additionalProperties": true)"),
              HasSubstr("additionalProperties is false"));
  EXPECT_THAT(error(R"({"^a": {}}, "allOf": [{"additionalProperties": false}])"),
              HasSubstr("of another"));

  Matcher names = schema(R"({"type": "object", "additionalProperties": {"type": "integer"},
      "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 3}})");
  EXPECT_TRUE(names.matches(R"({"abc":1,"z":2})"));
  EXPECT_FALSE(names.matches(R"({"abcd":1})"));
  EXPECT_FALSE(names.matches(R"({"A":1})"));
  Matcher few = schema(R"({"type": "object", "additionalProperties": {"type": "integer"},
      "minProperties": 2, "propertyNames": {"$ref": "#/$defs/color"},
      "$defs": {"color": {"enum": ["red", "green", "blue"]}}})");
  EXPECT_TRUE(few.matches(R"({"red":1,"blue":2})"));
  EXPECT_FALSE(few.matches(R"({"red":1})"));
  EXPECT_FALSE(few.matches(R"({"red":1,"red":2})"));
  EXPECT_FALSE(few.matches(R"({"red":1,"pink":2})"));
  Matcher listed = schema(R"({"type": "object", "properties": {"ab": {}, "abcd": {}},
      "propertyNames": {"maxLength": 3}})");
  EXPECT_TRUE(listed.matches(R"({"ab":1})"));
  EXPECT_FALSE(listed.matches(R"({"abcd":1})"));
  EXPECT_THAT(schema_error(R"({"type": "object", "properties": {"abcd": {}}, "required": ["abcd"],
      "propertyNames": {"maxLength": 3}})"),
              HasSubstr("does not allow 'abcd'"));
  EXPECT_THAT(schema_error(R"({"type": "object", "properties": {"ab": {}},
      "additionalProperties": true, "propertyNames": {"maxLength": 3}})"),
              HasSubstr("free names"));
}

TEST(JsonSchema, AnchorsAndItsOwnAddressAreReferences) {
  Matcher m = schema(R"({"$id": "https://a.example/s.json", "type": "object", "properties": {
      "a": {"$ref": "#item"}, "b": {"$ref": "https://a.example/s.json#/$defs/x"},
      "c": {"$ref": "https://a.example/s.json"}},
      "$defs": {"x": {"$anchor": "item", "type": "integer"}}})");
  EXPECT_TRUE(m.matches(R"({"a":1,"b":2,"c":{"a":3}})"));
  EXPECT_FALSE(m.matches(R"({"a":"1"})"));
  EXPECT_FALSE(m.matches(R"({"c":{"b":true}})"));
  EXPECT_THAT(schema_error(R"({"$ref": "#item"})"), HasSubstr("no $anchor 'item'"));
  EXPECT_THAT(schema_error(R"({"const": {"$anchor": "item"}, "allOf": [{"$ref": "#item"}]})"),
              HasSubstr("no $anchor 'item'"));
}

// Each level names the next twice, beside a keyword of its own.
TEST(JsonSchema, WhatReferencesDoubleIsBounded) {
  for (const char* const key : {"anyOf", "allOf"}) {
    OrderedJson defs;
    for (int i = 0; i < 40; ++i) {
      const OrderedJson next = {{"$ref", fmt::format("#/$defs/{}", i + 1)}};
      defs[std::to_string(i)] = {{"type", "object"}, {key, {next, next}}};
    }
    defs["40"] = {{"type", "object"}};
    const OrderedJson whole = {{"$ref", "#/$defs/0"}, {"$defs", defs}};
    const Result<Grammar> grammar = json_schema_grammar(whole);
    if (std::string(key) == "anyOf") {
      EXPECT_THAT(grammar.status().message(), HasSubstr("must be put together"));
      EXPECT_LT(grammar.status().message().size(), 300) << grammar.status().message();
    } else {
      EXPECT_TRUE(grammar.ok()) << grammar.status().message();
    }
  }
}

// Of the 100 kB of each, gigabytes or minutes would come.
TEST(JsonSchema, WhatIsCopiedIsCountedWhole) {
#if defined(LOOPLM_SANITIZED)
  GTEST_SKIP() << "takes half a minute";
#endif
  OrderedJson numbers = OrderedJson::array();
  OrderedJson branches = OrderedJson::array();
  OrderedJson references = OrderedJson::array();
  for (int i = 0; i < 5000; ++i) {
    numbers.push_back(i);
    branches.push_back({{"required", {"a"}}});
    references.push_back({{"$ref", "#/$defs/x"}});
  }
  const OrderedJson defs = {{"x", {{"enum", numbers}}}};
  for (const OrderedJson& schema : std::vector<OrderedJson>{
           {{"type", "object"}, {"properties", {{"a", defs["x"]}}}, {"anyOf", branches}},
           {{"$defs", defs}, {"allOf", references}},
           {{"$defs", defs}, {"oneOf", references}}}) {
    EXPECT_THAT(json_schema_grammar(schema).status().message(), HasSubstr("must be put together"));
  }
  // Lists are compared by their contents, in no more time than sorting takes.
  OrderedJson ones = OrderedJson::array();
  OrderedJson others = OrderedJson::array();
  for (int i = 0; i < 5'000; ++i) {
    ones.push_back({{"a", i}, {"b", 1}});
    others.push_back({{"b", 1}, {"a", i + 4'999}});
  }
  Matcher m = schema(OrderedJson{{"allOf", {{{"enum", ones}}, {{"enum", others}}}}}.dump());
  EXPECT_TRUE(m.matches(R"({"a":4999,"b":1})"));
  EXPECT_FALSE(m.matches(R"({"a":0,"b":1})"));
}

TEST(JsonSchema, DefinitionsMayLeadDeep) {
  OrderedJson defs;
  for (int i = 0; i < 100; ++i) {
    defs[std::to_string(i)] = {
        {"type", "object"},
        {"properties", {{"a", {{"$ref", fmt::format("#/$defs/{}", i + 1)}}}}},
        {"required", {"a"}}};
  }
  defs["100"] = {{"type", "null"}};
  std::string text;
  for (int i = 0; i < 100; ++i) text += R"({"a":)";
  text += "null" + std::string(100, '}');
  EXPECT_TRUE(schema(OrderedJson{{"$ref", "#/$defs/0"}, {"$defs", defs}}.dump()).matches(text));
}

}  // namespace
}  // namespace looplm
