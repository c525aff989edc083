// What must match and what must not, together: look-ahead, "not", patterns beside formats.
#include "grammar/overlap.h"

#include <regex>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/test_matcher.h"

namespace looplm {
namespace {

using testing::HasSubstr;

// Every text of up to `length` letters of `alphabet`.
std::vector<std::string> all_texts(const std::string& alphabet, size_t length) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size() && texts[i].size() < length; ++i) {
    for (const char c : alphabet) texts.push_back(texts[i] + c);
  }
  return texts;
}

TEST(Pattern, LookAheadAgreesWithTheStandardLibrary) {
  const std::vector<std::string> texts = all_texts("ab1", 6);
  for (const std::string pattern :
       {"^(?!ab).*$", "^(?=.*a)(?=.*1)[a-b1]+$", "a(?!b)", "b(?=1)", "^a(?!b1|1).*$",
        "^(?!^[ab]*$).+$", "^(?!.*1$)[ab1]{2,4}$", "^(?=a)(?!.*bb)", "(?!a)", "^(?!)a|^b(?=$)",
        "^(?!(?=a)ab)a", "1(?=a)a(?!1)b?$", "^(?![ab]+$)(?![1]+$)[ab1]+$"}) {
    Matcher ours = search(pattern);
    const std::regex standard(pattern);
    for (const std::string& text : texts) {
      EXPECT_EQ(ours.matches(text), std::regex_search(text, standard)) << pattern << " on " << text;
    }
  }
}

TEST(Pattern, AWholePatternLooksAheadToo) {
  Matcher m(grammar_of(parse_full_pattern("(?!no)[a-z]{2,5}(?=!).").value()));
  EXPECT_TRUE(m.matches("yes!"));
  EXPECT_FALSE(m.matches("no!"));
  EXPECT_FALSE(m.matches("yes?"));
  EXPECT_FALSE(m.matches("yes!!"));
  EXPECT_FALSE(m.begins("no"));
}

// What pydantic writes for Decimal and for constrained strings.
TEST(JsonSchema, PatternsMayLookAhead) {
  Matcher decimal = schema(R"({"type":"string","pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"})");
  for (const char* good : {R"("1")", R"("-0.5")", R"("+.5")", R"("12.")"}) {
    EXPECT_TRUE(decimal.matches(good)) << good;
  }
  for (const char* bad : {R"("")", R"("-")", R"(".")", R"("a")", R"("1.2.3")"}) {
    EXPECT_FALSE(decimal.matches(bad)) << bad;
  }
  Matcher password = schema(
      R"({"type":"string","pattern":"^(?=.*[A-Z])(?=.*\\d).+$","minLength":4,"maxLength":8})");
  EXPECT_TRUE(password.matches(R"("abC1")"));
  EXPECT_TRUE(password.matches(R"("\"C1\\")"));
  EXPECT_FALSE(password.matches(R"("abc1")"));
  EXPECT_FALSE(password.matches(R"("aC1")"));
  EXPECT_FALSE(password.matches(R"("aC1456789")"));
  EXPECT_TRUE(password.begins(R"("aaaaaa)"));
  EXPECT_FALSE(password.begins(R"("aaaaaaa)"));  // two more are needed
}

TEST(JsonSchema, PatternAndFormatHoldTogether) {
  Matcher m = schema(R"({"type":"string","format":"date","pattern":"^2024-02"})");
  EXPECT_TRUE(m.matches(R"("2024-02-29")"));
  EXPECT_FALSE(m.matches(R"("2024-02-30")"));
  EXPECT_FALSE(m.matches(R"("2024-03-01")"));
  Matcher mail = schema(R"({"type":"string","format":"email","pattern":"@a\\.example$"})");
  EXPECT_TRUE(mail.matches(R"("b.c@a.example")"));
  EXPECT_FALSE(mail.matches(R"("b@c.example")"));
  EXPECT_THAT(schema_error(R"({"type":"string","format":"date","pattern":"^x"})"),
              HasSubstr("matches no text"));
}

TEST(JsonSchema, NotIsObeyedOfTypesConstantsAndPatterns) {
  Matcher never = schema(R"({"type":"object","properties":{"a":{"not":{}},"b":{"type":"null"}},
                             "additionalProperties":false})");
  EXPECT_TRUE(never.matches(R"({"b":null})"));
  EXPECT_TRUE(never.matches("{}"));
  EXPECT_FALSE(never.matches(R"({"a":1})"));
  Matcher either = schema(R"({"anyOf":[{"not":{}},{"type":"string"}]})");  // zod's optional
  EXPECT_TRUE(either.matches(R"("x")"));
  EXPECT_FALSE(either.matches("1"));
  Matcher other = schema(R"({"not":{"type":["object","array","string"]}})");
  for (const char* good : {"1", "null", "true", "1.5"}) EXPECT_TRUE(other.matches(good)) << good;
  for (const char* bad : {"{}", "[]", R"("")"}) EXPECT_FALSE(other.matches(bad)) << bad;
  Matcher no_number = schema(R"({"type":["integer","string"],"not":{"type":"number"}})");
  EXPECT_TRUE(no_number.matches(R"("1")"));
  EXPECT_FALSE(no_number.matches("1"));
  Matcher listed = schema(R"({"enum":["a",1,null],"not":{"enum":[null,"b"]}})");
  EXPECT_TRUE(listed.matches("1"));
  EXPECT_FALSE(listed.matches("null"));
  Matcher named = schema(R"({"type":"string","maxLength":3,"not":{"enum":["no","a\"b",1]}})");
  EXPECT_TRUE(named.matches(R"("nop")"));
  EXPECT_TRUE(named.matches(R"("")"));
  EXPECT_FALSE(named.matches(R"("no")"));
  EXPECT_FALSE(named.matches(R"("a\"b")"));
  EXPECT_FALSE(named.matches(R"("\u006eo")"));  // another spelling of it
  EXPECT_FALSE(named.matches(R"("nope")"));
  Matcher pattern = schema(R"({"type":"string","pattern":"^[a-z]+$","not":{"pattern":"b"}})");
  EXPECT_TRUE(pattern.matches(R"("ac")"));
  EXPECT_FALSE(pattern.matches(R"("abc")"));
  Matcher anything = schema(R"({"type":"integer","not":false})");
  EXPECT_TRUE(anything.matches("4"));
  for (const char* json :
       {R"({"not":{"multipleOf":3}})", R"({"type":"array","not":{"items":{"const":3}}})",
        R"({"type":"array","not":{"contains":{"const":1}}})", R"({"not":{"const":[1]}})"}) {
    EXPECT_THAT(schema_error(json), HasSubstr("schema.not is only supported of")) << json;
  }
  EXPECT_THAT(schema_error(R"({"type":"string","not":{}})"), HasSubstr("matches no text"));
  Matcher halves = schema(R"({"enum":[1,1.5,"1"],"not":{"type":"integer"}})");
  EXPECT_TRUE(halves.matches("1.5"));
  EXPECT_FALSE(halves.matches("1"));
  for (const char* json : {R"({"not":{"type":"integer"}})",
                           R"({"type":"number","not":{"type":["integer","null"]}})"}) {
    EXPECT_THAT(schema_error(json), HasSubstr("schema.not of integers beside numbers")) << json;
  }
}

TEST(JsonSchema, ConstantsObeyTheOtherKeywords) {
  Matcher m =
      schema(R"({"enum":["a","ab","b",1,7,null],"minLength":2,"maximum":5,"pattern":"^a"})");
  for (const char* good : {R"("ab")", "1", "null"}) EXPECT_TRUE(m.matches(good)) << good;
  for (const char* bad : {R"("a")", R"("b")", "7"}) EXPECT_FALSE(m.matches(bad)) << bad;
  Matcher numbers = schema(R"({"enum":[0.00001,1e15,-1],"exclusiveMinimum":0})");
  EXPECT_TRUE(numbers.matches("1e-05"));
  EXPECT_TRUE(numbers.matches("1e+15") || numbers.matches("1000000000000000.0"));
  EXPECT_THAT(schema_error(R"({"enum":[1e20],"minimum":1})"), HasSubstr("more than 16 digits"));
  EXPECT_FALSE(numbers.matches("-1"));
  EXPECT_THAT(schema_error(R"({"const":"a","minLength":2})"), HasSubstr("matches no text"));
  EXPECT_THAT(schema_error(R"({"enum":[{"a":1}],"required":["a"]})"),
              HasSubstr("schema.required beside enum"));
}

TEST(JsonSchema, FormatsThatJsonSchemaDoesNotDefineSayNothing) {
  for (const char* format : {"int64", "password", "binary", "path", "color", "x-mine"}) {
    Matcher m = schema(fmt::format(R"({{"type":"string","format":"{}"}})", format));
    EXPECT_TRUE(m.matches(R"("any thing")")) << format;
  }
}

TEST(JsonSchema, AddressesAndPointersAreFormats) {
  const auto is = [](const char* format, const std::string& text) {
    return schema(fmt::format(R"({{"type":"string","format":"{}"}})", format))
        .matches("\"" + text + "\"");
  };
  EXPECT_TRUE(is("uri", "https://a.example/b?c=%20d#e"));
  EXPECT_FALSE(is("uri", "https://a.example/#b#c"));
  EXPECT_FALSE(is("uri", "https://a.example/%2"));
  EXPECT_FALSE(is("uri", "/b/c"));
  EXPECT_TRUE(is("uri-reference", "/b/c?d#e"));
  EXPECT_TRUE(is("uri-reference", "b.html"));
  EXPECT_FALSE(is("uri-reference", "a b"));
  EXPECT_TRUE(is("uri-template", "/users/{id}"));
  EXPECT_FALSE(is("uri-template", "/users/{id"));
  EXPECT_TRUE(is("json-pointer", "/a~1b/0"));
  EXPECT_TRUE(is("json-pointer", ""));
  EXPECT_FALSE(is("json-pointer", "a"));
  EXPECT_FALSE(is("json-pointer", "/~2"));
  EXPECT_TRUE(is("relative-json-pointer", "1/a"));
  EXPECT_FALSE(is("relative-json-pointer", "/a"));
  EXPECT_TRUE(is("iri", "https://a.example/"));
}

// JSON Schema 2020-12, 8.2.1: references start from the nearest "$id".
TEST(JsonSchema, AnAddressInsideChangesWhatReferencesStartFrom) {
  Matcher m = schema(R"({
      "$id": "https://a.example/root.json",
      "type": "object",
      "properties": {
        "inner": {"$ref": "item.json"},
        "name": {"$ref": "item.json#/$defs/x"},
        "own": {"$ref": "#/$defs/x"},
        "far": {"$ref": "https://b.example/dir/far.json#here"}},
      "$defs": {
        "x": {"type": "boolean"},
        "item": {
          "$id": "item.json",
          "type": "array", "items": {"$ref": "#/$defs/x"},
          "$defs": {"x": {"type": "integer"}}},
        "far": {
          "$id": "https://b.example/dir/far.json",
          "$defs": {
            "y": {"$anchor": "here", "type": "array", "items": {"$ref": "near.json"}},
            "a/b%": {"$id": "near.json", "type": "null"}}}}})");
  EXPECT_TRUE(m.matches(R"({"inner":[1,2],"name":3,"own":true,"far":[null]})"));
  EXPECT_FALSE(m.matches(R"({"inner":[true]})"));
  EXPECT_FALSE(m.matches(R"({"name":true})"));
  EXPECT_FALSE(m.matches(R"({"own":1})"));
  EXPECT_FALSE(m.matches(R"({"far":[1]})"));
  // Names of properties are no keywords.
  Matcher named = schema(R"({
      "properties": {"inner": {"$ref": "item.json"}, "old": {"$ref": "#here"}},
      "$defs": {
        "x": {"type": "boolean"},
        "const": {"$anchor": "here", "type": "null"},
        "item": {
          "$id": "item.json",
          "properties": {"default": {"$ref": "#/$defs/x"}, "$ref": {"type": "null"}},
          "$defs": {"x": {"type": "integer"}}}}})");
  EXPECT_TRUE(named.matches(R"({"inner":{"default":1,"$ref":null},"old":null})"));
  EXPECT_FALSE(named.matches(R"({"inner":{"default":true}})"));
  // A value that looks like an address is none.
  Matcher plain = schema(R"({"$ref": "#/$defs/x", "$defs": {"x": {"const": {"$id": "b"}}}})");
  EXPECT_TRUE(plain.matches(R"({"$id":"b"})"));
  Matcher old = schema(R"({"$ref": "#x", "definitions": {"x": {"$id": "#x", "type": "null"}}})");
  EXPECT_TRUE(old.matches("null"));
  EXPECT_FALSE(old.matches("1"));
  EXPECT_THAT(schema_error(R"({"properties": {"a": {"$id": "b.json", "$ref": "#/$defs/x"}},
                               "$defs": {"x": true}})"),
              HasSubstr("$defs/x"));
}

// A place below them would be repeated at each of its members, so it is not looked at.
TEST(JsonSchema, AddressesAtLongPointersAreRefusedWhereReferencesStart) {
  const std::string name(1'200, 'n');
  const auto error_of = [&](const char* inner, const char* reference) {
    return schema_error(fmt::format(
        R"({{"properties": {{"{}": {{{}"properties": {{"a": {{{}}}}}}}, "b": {{"type": "null"}}}},
            "$defs": {{"x": {{"type": "null"}}}}}})",
        name, inner, reference));
  };
  for (const char* inner : {R"("$id": "item.json", )", R"("$anchor": "x", )"}) {
    EXPECT_THAT(error_of(inner, R"("$ref": "#/$defs/x")"),
                HasSubstr("schema: '$id' or '$anchor' at a place whose pointer has more than 1000 "
                          "bytes (/properties/nnnnnnnn"));
    EXPECT_EQ(error_of(inner, R"("type": "null")"), "");
  }
  EXPECT_EQ(error_of("", R"("$ref": "#/$defs/x")"), "");
}

// Each character of the text may have begun the pattern.
TEST(Pattern, WhatNeedsTooManyStatesIsRefused) {
  const std::string pattern = "^(?!.*a.{40})(?=.*b.{40}).*$";
  const Result<GrammarProgram> program =
      compile_grammar(grammar_of(parse_search_pattern(pattern, PatternText::kPlain).value()));
  EXPECT_THAT(program.status().message(), HasSubstr("too many states"));
  // The place is named.
  const std::string hard = R"({"type":"string","pattern":"^(?!x).*$","maxLength":5000})";
  for (
      const auto& [schema, place] : std::vector<std::pair<std::string, std::string>>{
          {R"({"properties":{"p":)" + hard + "}}", "schema.properties.p: look-ahead"},
          {R"({"prefixItems":[true,)" + hard + "]}", "schema.prefixItems[1]: look-ahead"},
          {R"({"propertyNames":)" + hard + "}", "schema.propertyNames: look-ahead"},
          {R"({"type":"object","patternProperties":{"^(?!x).{0,5000}$":true},"additionalProperties":false})",
           "schema.patternProperties['^(?!x).{0,5000}$']: look-ahead"}}) {
    EXPECT_THAT(schema_error(schema), HasSubstr(place));
  }
  // So is the length that needs them.
  for (const auto& [keywords, said] : std::vector<std::pair<std::string, std::string>>{
           {R"("pattern":"^[a-z0-9]+(?:-[a-z0-9]+)*$","maxLength":2000)",
            "schema.properties.p.pattern with maxLength 2000 needs too many states"},
           {R"("format":"hostname","minLength":100,"maxLength":120)",
            "schema.properties.p.format with minLength 100 and maxLength 120 needs too many"},
           {R"("format":"email","minLength":300,"maxLength":310)",
            "schema.properties.p.format with minLength 300 and maxLength 310 needs too many"}}) {
    EXPECT_THAT(schema_error(R"({"properties":{"p":{"type":"string",)" + keywords + "}}}"),
                HasSubstr(said));
  }
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// Thousands of nested overlaps would need more stack than a thread has, a thousand wide ones the
// memory, and a state with thousands of readings the time.
TEST(Pattern, OverlapsAreBoundedTogether) {
  EXPECT_THAT(
      parse_search_pattern("^" + repeated("a(?!b)", 6000), PatternText::kPlain).status().message(),
      HasSubstr("has more than 16 look-aheads"));
  std::string properties;
  for (int i = 0; i < 1000; ++i) {
    properties += fmt::format(R"({}"p{}":{{"type":"string","pattern":"^(?!b)a{{{}}}$"}})",
                              i == 0 ? "" : ",", i, 3000 + i);
  }
  EXPECT_THAT(schema_error(R"({"type":"object","properties":{)" + properties + "}}"),
              HasSubstr("too many states"));
  EXPECT_THAT(
      schema_error(R"({"type":"string","pattern":"^(?!b))" + repeated("a?", 5000) + R"("})"),
      HasSubstr("too many states"));
}

// Each length is worked out on its own, but the same one once.
TEST(JsonSchema, LengthsAreBoundedTogether) {
  const auto schema_of = [](int step) {
    std::string properties;
    for (int i = 0; i < 2'000; ++i) {
      properties += fmt::format(R"({}"p{}":{{"type":"string","format":"email","maxLength":{}}})",
                                i == 0 ? "" : ",", i, 40 + i * step);
    }
    return R"({"type":"object","properties":{)" + properties + "}}";
  };
  EXPECT_THAT(schema_error(schema_of(1)), HasSubstr("too many patterns and formats with lengths"));
  EXPECT_EQ(schema_error(schema_of(0)), "");
}

}  // namespace
}  // namespace looplm
