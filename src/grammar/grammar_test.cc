#include <chrono>
#include <regex>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/rng.h"
#include "grammar/automaton.h"
#include "grammar/compiled_grammar.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"
#include "grammar/test_matcher.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

using testing::HasSubstr;

Matcher gbnf(std::string_view text) { return Matcher(parse_gbnf(text).value()); }

TEST(Gbnf, LiteralsClassesRepeatsAndRules) {
  Matcher g = gbnf(R"(
root ::= greeting (" and " greeting){0,2} end?   # a comment
greeting ::= "hello" | "good " [a-cx]+ |
             "\u00e9\n"
end ::= [^a-z] .
)");
  EXPECT_TRUE(g.matches("hello"));
  EXPECT_TRUE(g.matches("hello and good abcx"));
  EXPECT_TRUE(g.matches("\xC3\xA9\n and hello and hello"));
  EXPECT_TRUE(g.matches("hello!?"));
  EXPECT_TRUE(g.matches("hello\xE2\x82\xAC\xF0\x9F\x98\x80"));
  EXPECT_FALSE(g.matches("hello and hello and hello and hello"));
  EXPECT_FALSE(g.matches("good d"));
  EXPECT_FALSE(g.matches("helloab"));
  EXPECT_FALSE(g.begins("hello\xFF"));
  EXPECT_FALSE(g.begins("hello\xED\xA0"));  // a surrogate
}

TEST(Gbnf, ErrorsSayWhere) {
  const auto message = [](std::string_view text) { return parse_gbnf(text).status().message(); };
  EXPECT_THAT(message("a ::= \"x\""), HasSubstr("no rule 'root'"));
  EXPECT_THAT(message("root ::= x"), HasSubstr("'x' and does not define it"));
  EXPECT_THAT(message("root ::= \"x\nroot ::= \"y\""), HasSubstr("line 2"));
  EXPECT_THAT(message("root ::= \"a\"\nroot ::= \"y\""), HasSubstr("'root' is defined twice"));
  EXPECT_THAT(message("root = \"a\""), HasSubstr("expected '::='"));
  EXPECT_THAT(message("root ::= (\"a\""), HasSubstr("expected ')'"));
  EXPECT_THAT(message("root ::= [b-a]"), HasSubstr("lies before its start"));
  EXPECT_THAT(message("root ::= \"\\uD83D\\uDE00\""), HasSubstr("U+D83D is half a character"));
  EXPECT_THAT(message("root ::= [^\\UFFFFFFFF]"), HasSubstr("U+FFFFFFFF is beyond Unicode"));
  EXPECT_THAT(message("root ::= \"\\q\""), HasSubstr("unknown escape"));
  EXPECT_THAT(message("root ::= \"a\"{9999999999}"), HasSubstr("1000000"));
  EXPECT_THAT(message("root ::= " + std::string(100'000, '(')), HasSubstr("nested deeper"));
  EXPECT_THAT(message("root ::= \"a\"" + std::string(100'000, '*')),
              HasSubstr("more than 200 repetitions"));
}

TEST(Grammar, RefusesWhatNothingMatchesAndLeftRecursion) {
  const auto message = [](std::string_view text) {
    return compile_grammar(parse_gbnf(text).value()).status().message();
  };
  EXPECT_THAT(message("root ::= \"a\"{3,1}"), HasSubstr("'root' matches no text"));
  EXPECT_THAT(message("root ::= \"a\" root"), HasSubstr("'root' matches no text"));
  EXPECT_THAT(message("root ::= []"), HasSubstr("matches no text"));
  EXPECT_THAT(message("root ::= root \"a\" | \"b\""), HasSubstr("left recursion"));
  EXPECT_THAT(message("root ::= \"b\" | x\nx ::= \"c\"? y\ny ::= x \"d\" | \"e\""),
              HasSubstr("left recursion"));
  EXPECT_EQ(message("root ::= \"a\" | \"a\" root"), "");
}

TEST(Grammar, BranchesThatCannotEndAreNeverEntered) {
  Matcher g = gbnf("root ::= \"a\" dead | \"ab\"\ndead ::= \"b\" dead");
  EXPECT_TRUE(g.matches("ab"));
  EXPECT_FALSE(g.begins("abb"));
}

TEST(Grammar, RecursionAndEmptyRepeats) {
  Matcher nested = gbnf("root ::= \"(\" root* \")\"");
  EXPECT_TRUE(nested.matches("(()(()))"));
  EXPECT_FALSE(nested.matches("(()"));
  EXPECT_FALSE(nested.begins("())"));
  std::string deep(20'000, '(');
  deep.append(20'000, ')');
  EXPECT_TRUE(nested.matches(deep));

  EXPECT_TRUE(gbnf("root ::= ((\"a\"*)*){2,5}").matches("aaa"));
  EXPECT_TRUE(gbnf("root ::= (\"a\"?){2,5} \"b\"").matches("b"));
  EXPECT_FALSE(gbnf("root ::= (\"a\"?){2,5} \"b\"").matches("aaaaaab"));
  EXPECT_TRUE(gbnf("root ::= (\"a\"?){1000000}").matches("aa"));
}

TEST(Grammar, CountsExactly) {
  for (const auto& [text, least, most] : {std::tuple{"\"ab\"{3}", 3, 3},
                                          {"\"ab\"{0,4}", 0, 4},
                                          {"\"ab\"{2,}", 2, 1000},
                                          {"(\"ab\"){2,7}", 2, 7},
                                          {"\"ab\"+", 1, 1000},
                                          {"\"ab\"{0,1}", 0, 1}}) {
    Matcher g = gbnf(fmt::format("root ::= {} \"!\"", text));
    std::string repeated;
    for (int n = 0; n < 20; ++n) {
      EXPECT_EQ(g.matches(repeated + "!"), least <= n && n <= most) << text << " " << n;
      repeated += "ab";
    }
  }
}

// Readings of one text at different counts must not lend each other their repetitions.
TEST(Grammar, CountsHoldWhereReadingsOverlap) {
  Matcher three = search(R"(\d{3})");
  for (const char* text : {"12", "12x", "12x1", "1", ""}) EXPECT_FALSE(three.matches(text)) << text;
  for (const char* text : {"123", "12x345", "0123x"}) EXPECT_TRUE(three.matches(text)) << text;
  Matcher nested = search("^(a|(b?){2}a){2,3}$");
  for (const char* text : {"a", "bb", "aaaa", "bbba"}) EXPECT_FALSE(nested.matches(text)) << text;
  for (const char* text : {"aa", "bbaa", "baba", "aaa"}) EXPECT_TRUE(nested.matches(text)) << text;
}

// An expression that is used twice by each level above it is no work beyond its size.
TEST(Grammar, SharedPartsAreReadOnce) {
  for (const bool empty : {false, true}) {
    ExpressionPtr e = choice({text(empty ? "" : "a"), text("")});
    for (int level = 0; level < 100; ++level) {
      e = level % 2 == 0 ? sequence({e, repeat(e, 0, 0)}) : choice({e, e});
    }
    Matcher m(grammar_of(e));
    EXPECT_TRUE(m.matches(""));
    EXPECT_EQ(m.matches("a"), !empty);
  }
}

TEST(Grammar, AmbiguityIsBounded) {
  // The number of ways to read n letters doubles with each.
  Matcher g = gbnf("root ::= x*\nx ::= \"a\" x \"b\"? | \"a\" x \"c\"? | \"a\"");
  const auto start = std::chrono::steady_clock::now();
  g.begins(std::string(200, 'a'));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Pattern, AgreesWithTheStandardLibrary) {
  const std::vector<std::string> patterns = {
      "abc",     "^a.c$",        "^(ab|c)*d?$",      "^[^a-c]+$",
      "a{2,3}",  "^a{2}$",       "^\\d+-\\w*\\s$",   "^$",
      "x|^y|z$", "^(?:a|b)c+?$", "^[\\d\\-a]{1,2}$", "^\\x41\\u0042$",
      "\\.",     "^a{0}b$",      "^\\D\\W\\S$"};
  const std::vector<std::string> texts = {"",      "a",  "abc", "axc", "xabcx",  "aa",  "aaa",
                                          "ababd", "d",  "c",   "xyz", "12-ab ", "1- ", "-",
                                          "1a",    "AB", "a.b", "b",   "y",      "ay",  "z",
                                          "az",    "zb", "acc", "bc",  "a\nc",   "ax!"};
  for (const std::string& pattern : patterns) {
    Matcher ours = search(pattern);
    const std::regex standard(pattern);
    for (const std::string& text : texts) {
      EXPECT_EQ(ours.matches(text), std::regex_search(text, standard)) << pattern << " on " << text;
    }
  }
}

TEST(Pattern, RefusalsNameThePart) {
  const auto message = [](const std::string& pattern) {
    return parse_search_pattern(pattern, PatternText::kPlain).status().message();
  };
  EXPECT_THAT(message("^((?=a)b)+"), HasSubstr("look-ahead inside a group"));
  EXPECT_THAT(message("(?<=a)b"), HasSubstr("look-behind"));
  EXPECT_THAT(message("a(?=^b)"), HasSubstr("'^' stands after the start"));
  EXPECT_THAT(message("(?=a"), HasSubstr("expected ')'"));
  EXPECT_THAT(message("(a)\\1"), HasSubstr("back-references"));
  EXPECT_THAT(message("\\bword"), HasSubstr("word boundaries"));
  EXPECT_THAT(message("\\p{Nonsense}"), HasSubstr("there is no Unicode property 'Nonsense'"));
  EXPECT_THAT(message("\\pL"), HasSubstr("expected '{' after '\\p'"));
  EXPECT_THAT(message("(?i)a"), HasSubstr("flags"));
  EXPECT_THAT(message("^a{3,1}$"), HasSubstr("at least 3 and at most 1"));
  EXPECT_THAT(message("(a"), HasSubstr("expected ')'"));
  EXPECT_THAT(message("a)"), HasSubstr("without its '('"));
  EXPECT_THAT(message("[a"), HasSubstr("expected ']'"));
  EXPECT_THAT(message("*a"), HasSubstr("nothing to repeat"));
  EXPECT_THAT(message("a**"), HasSubstr("repeated"));
  EXPECT_THAT(message("a$b"), HasSubstr("'$' stands before the end"));
  EXPECT_THAT(message(std::string(100'000, '(')), HasSubstr("nested deeper"));
  EXPECT_THAT(message("a{99999999999999999999}"), HasSubstr("above 1000000"));
}

TEST(JsonSchema, ObjectsWithOptionalProperties) {
  Matcher s = schema(R"({"type": "object", "required": ["b"], "properties":
      {"a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"type": "null"}}})");
  EXPECT_TRUE(s.matches(R"({"b":true})"));
  EXPECT_TRUE(s.matches(R"({"a": 1, "b": false, "c": null})"));
  EXPECT_TRUE(s.matches("{\n  \"a\": -12,\n  \"b\": true\n}"));
  EXPECT_TRUE(s.matches(R"({"b":true,"c":null})"));
  EXPECT_FALSE(s.matches(R"({"a":1})"));
  EXPECT_FALSE(s.begins(R"({"c")"));
  EXPECT_FALSE(s.matches(R"({"b":true,})"));
  EXPECT_FALSE(s.matches(R"({"b":true,"d":1})"));
  EXPECT_FALSE(s.matches(R"({"a":01,"b":true})"));
  EXPECT_FALSE(s.begins(std::string("{") + std::string(30, ' ')));
}

TEST(JsonSchema, AdditionalProperties) {
  Matcher s = schema(R"({"type": "object", "properties": {"ab": {"type": "integer"}},
      "additionalProperties": {"type": "string"}})");
  EXPECT_TRUE(s.matches(R"({"ab":1,"x":"y","abc":"z","a":"q"})"));
  EXPECT_TRUE(s.matches(R"({"x":"y"})"));
  EXPECT_TRUE(s.matches("{}"));
  EXPECT_FALSE(s.matches(R"({"ab":"not a number"})"));
  EXPECT_FALSE(s.matches(R"({"x":"y","ab":"twice"})"));
  EXPECT_FALSE(s.matches(R"({"\u0061b":"hidden"})"));
  Matcher any = schema(R"({"type": "object"})");
  EXPECT_TRUE(any.matches(R"({"k": [1, {"z": null}, "\ud83d\ude00\n"]})"));
  EXPECT_FALSE(any.matches("[1]"));
  EXPECT_FALSE(any.matches(R"({"k": "\ud83d"})"));
}

TEST(JsonSchema, ArraysAndStrings) {
  Matcher s = schema(R"({"type": "array", "minItems": 2, "maxItems": 3,
      "items": {"type": "string", "minLength": 1, "maxLength": 2}})");
  EXPECT_TRUE(s.matches(R"(["a", "bb"])"));
  EXPECT_TRUE(s.matches("[\"\xC3\xA9\xC3\xA9\",\"\\n\\u00e9\",\"\\ud83d\\ude00\"]"));
  EXPECT_FALSE(s.matches(R"(["a"])"));
  EXPECT_FALSE(s.matches(R"(["a","b","c","d"])"));
  EXPECT_FALSE(s.matches(R"(["a","abc"])"));
  EXPECT_FALSE(s.matches(R"(["a",""])"));
  Matcher tuple =
      schema(R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}],
      "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3})");
  EXPECT_TRUE(tuple.matches("[1]"));
  EXPECT_TRUE(tuple.matches("[1, null]"));
  EXPECT_TRUE(tuple.matches("[1, null, true]"));
  EXPECT_FALSE(tuple.matches("[]"));
  EXPECT_FALSE(tuple.matches("[null]"));
  EXPECT_FALSE(tuple.matches("[1, null, true, true]"));
  EXPECT_TRUE(schema(R"({"type":"array","items":false})").matches("[]"));
  Matcher pattern = schema(R"({"type": "string", "pattern": "^[\"\\\\a]{1,2}$"})");
  EXPECT_TRUE(pattern.matches(R"("a\"")"));
  EXPECT_TRUE(pattern.matches(R"("\\")"));
  EXPECT_FALSE(pattern.matches(R"("""")"));
  EXPECT_TRUE(
      schema(R"({"type": "string", "format": "date-time"})").matches("\"2026-11-28T20:00:00Z\""));
  EXPECT_FALSE(schema(R"({"type": "string", "format": "date"})").matches("\"2026-13-28\""));
}

TEST(JsonSchema, IntegerBoundsAreExact) {
  for (const auto& [low, high] :
       {std::pair{-120, 35}, {0, 0}, {7, 7}, {-5, -3}, {95, 1203}, {-1, 1}, {0, 99}}) {
    Matcher s = schema(fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high));
    for (int i = -1300; i <= 1300; ++i) {
      EXPECT_EQ(s.matches(std::to_string(i)), low <= i && i <= high)
          << i << " in " << low << ".." << high;
    }
  }
  Matcher open = schema(R"({"type":"integer","exclusiveMinimum":-12})");
  for (int i = -1300; i <= 13000; ++i) EXPECT_EQ(open.matches(std::to_string(i)), i > -12) << i;
  Matcher below = schema(R"({"type":"integer","maximum":99.5})");
  for (int i = -13000; i <= 1300; ++i) EXPECT_EQ(below.matches(std::to_string(i)), i <= 99) << i;
  EXPECT_TRUE(below.matches("-123456789"));
  EXPECT_TRUE(open.matches("123456789"));
}

TEST(JsonSchema, NumberBoundsAreExact) {
  const std::vector<std::string> bounds = {"-2.75", "-1", "-0.05", "0", "0.5",
                                           "0.505", "1",  "1.25",  "3"};
  for (size_t a = 0; a < bounds.size(); ++a) {
    for (size_t b = a; b < bounds.size(); ++b) {
      for (const bool exclusive : {false, true}) {
        const double low = std::stod(bounds[a]);
        const double high = std::stod(bounds[b]);
        if (exclusive && a == b) continue;
        Matcher s = schema(
            exclusive
                ? fmt::format(R"({{"type":"number","exclusiveMinimum":{},"exclusiveMaximum":{}}})",
                              bounds[a], bounds[b])
                : fmt::format(R"({{"type":"number","minimum":{},"maximum":{}}})", bounds[a],
                              bounds[b]));
        for (int i = -3200; i <= 3200; i += 5) {
          const double x = i / 1000.0;
          for (const std::string& text : {fmt::format("{:.3f}", x), fmt::format("{}", x)}) {
            if (text.starts_with("-0") && x == 0) continue;
            EXPECT_EQ(s.matches(text), exclusive ? low < x && x < high : low <= x && x <= high)
                << text << " in " << bounds[a] << ".." << bounds[b]
                << (exclusive ? " exclusive" : "");
          }
        }
      }
    }
  }
  EXPECT_FALSE(schema(R"({"type":"number","minimum":3,"maximum":3})").matches("3."));
}

TEST(JsonSchema, ReferencesRecursionAndCombinations) {
  Matcher tree = schema(R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
      "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
      "required": ["value"], "additionalProperties": false}}})");
  EXPECT_TRUE(tree.matches(R"({"value":1,"children":[{"value":2},{"value":3,"children":[]}]})"));
  EXPECT_FALSE(tree.matches(R"({"value":1,"children":[{}]})"));
  Matcher any = schema(
      R"({"anyOf": [{"type": "integer"}, {"type": "string"}], "maximum": 5, "maxLength": 2})");
  EXPECT_TRUE(any.matches("5"));
  EXPECT_FALSE(any.matches("6"));
  EXPECT_TRUE(any.matches("\"ab\""));
  EXPECT_FALSE(any.matches("\"abc\""));
  Matcher all = schema(
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
      {"properties": {"a": {"minimum": 3}, "b": {"const": "x"}}, "required": ["b"]}]})");
  EXPECT_TRUE(all.matches(R"({"a":3,"b":"x"})"));
  EXPECT_FALSE(all.matches(R"({"a":2,"b":"x"})"));
  EXPECT_FALSE(all.matches(R"({"a":3})"));
  Matcher exact =
      schema(R"({"type": "integer", "allOf": [{"minimum": 9007199254740993}, {"minimum": 5}]})");
  EXPECT_TRUE(exact.matches("9007199254740993"));
  EXPECT_FALSE(exact.matches("9007199254740992"));
  Matcher one = schema(
      R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
      {"type": "object", "properties": {"kind": {"const": "b"}, "n": {"type": "number"}}, "required": ["kind", "n"]}]})");
  EXPECT_TRUE(one.matches(R"({"kind":"b","n":1.5e3})"));
  EXPECT_FALSE(one.matches(R"({"kind":"b"})"));
  Matcher values = schema(R"({"enum": ["a", "ab", 1, null, {"x": [1]}]})");
  for (const char* text : {"\"a\"", "\"ab\"", "1", "null", R"({"x":[1]})"})
    EXPECT_TRUE(values.matches(text));
  EXPECT_FALSE(values.matches("\"b\""));
  std::string many = R"({"enum": [0)";
  for (int i = 1; i < 20'000; ++i) many += fmt::format(",{}", i);
  EXPECT_TRUE(schema(many + "]}").matches("19999"));
}

TEST(JsonSchema, LeftoverKeywordsHoldForTheOtherSchemasMembers) {
  Matcher closed = schema(
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false},
      {"properties": {"a": {"minimum": 3}, "b": {"type": "string"}}}]})");
  EXPECT_TRUE(closed.matches(R"({"a":3})"));
  EXPECT_TRUE(closed.matches("{}"));
  EXPECT_FALSE(closed.matches(R"({"a":3,"b":"x"})"));
  EXPECT_FALSE(closed.matches(R"({"b":"x"})"));
  Matcher typed = schema(
      R"({"allOf": [{"type": "object", "properties": {"b": {"minimum": 2}}, "required": ["b"]},
      {"additionalProperties": {"type": "integer", "maximum": 5}}]})");
  EXPECT_TRUE(typed.matches(R"({"b":5})"));
  EXPECT_FALSE(typed.matches(R"({"b":1})"));
  EXPECT_FALSE(typed.matches(R"({"b":6})"));
  EXPECT_THAT(
      schema_error(
          R"({"allOf": [{"type": "object", "properties": {"a": {}}, "additionalProperties": false},
      {"properties": {"b": {}}, "required": ["b"]}]})"),
      HasSubstr("matches no text"));
  Matcher tuple = schema(R"({"type": "array", "minItems": 2, "maxItems": 3, "allOf": [
      {"prefixItems": [{"type": "integer"}]}, {"items": {"maximum": 7, "type": ["integer", "null"]}}]})");
  EXPECT_TRUE(tuple.matches("[7,null]"));
  EXPECT_FALSE(tuple.matches("[8,null]"));
  EXPECT_FALSE(tuple.matches("[null,7]"));
  EXPECT_FALSE(tuple.matches("[7,\"x\"]"));
}

TEST(JsonSchema, OlderDraftsAndEncodedReferences) {
  Matcher tuple = schema(R"({"type": "array", "items": [{"type": "integer"}, {"type": "null"}],
      "additionalItems": {"type": "boolean"}, "minItems": 2})");
  EXPECT_TRUE(tuple.matches("[1,null]"));
  EXPECT_TRUE(tuple.matches("[1,null,true,false]"));
  EXPECT_FALSE(tuple.matches("[1,null,2]"));
  EXPECT_FALSE(tuple.matches("[null,1]"));
  Matcher closed =
      schema(R"({"type": "array", "items": [{"const": 1}], "additionalItems": false})");
  EXPECT_TRUE(closed.matches("[1]"));
  EXPECT_FALSE(closed.matches("[1,1]"));
  Matcher above = schema(
      R"({"type": "integer", "minimum": 2, "exclusiveMinimum": true, "maximum": 4, "exclusiveMaximum": false})");
  EXPECT_FALSE(above.matches("2"));
  EXPECT_TRUE(above.matches("3"));
  EXPECT_TRUE(above.matches("4"));
  EXPECT_FALSE(above.matches("5"));
  Matcher encoded =
      schema(R"({"$defs": {"a/b~c d": {"const": 7}}, "$ref": "#/$defs/a~1b~0c%20d"})");
  EXPECT_TRUE(encoded.matches("7"));
  EXPECT_FALSE(encoded.matches("8"));
}

TEST(JsonSchema, MultiplesAreExact) {
  for (int64_t factor : {1, 2, 3, 7, 12, 50, 97, 128}) {
    const OrderedJson open = {{"type", "integer"}, {"multipleOf", factor}};
    OrderedJson bounded = open;
    bounded["exclusiveMinimum"] = -1300;
    bounded["maximum"] = 250000;  // too many to be listed
    Matcher any = schema(open.dump());
    Matcher some = schema(bounded.dump());
    for (int64_t i = -2000; i <= 2000; ++i) {
      const std::string text = std::to_string(i);
      EXPECT_EQ(any.matches(text), i % factor == 0) << text << " of " << factor;
      EXPECT_EQ(some.matches(text), i % factor == 0 && i > -1300) << text << " of " << factor;
    }
    for (int64_t i = 249'500; i <= 250'500; ++i) {
      EXPECT_EQ(some.matches(std::to_string(i)), i % factor == 0 && i <= 250'000) << i;
    }
    EXPECT_FALSE(any.begins("00"));
    EXPECT_FALSE(any.begins("-0"));
  }
}

TEST(JsonSchema, MultiplesMayHaveAPoint) {
  Matcher cents = schema(R"({"type":"number","multipleOf":0.01,"minimum":-0.29,"maximum":1e5})");
  for (const char* good : {"0.00", "0.01", "-0.29", "7.10", "99999.99", "100000.00"}) {
    EXPECT_TRUE(cents.matches(good)) << good;
  }
  for (const char* bad : {"-0.30", "0.001", "100000.01", "00.10", ".10", "-0.00"}) {
    EXPECT_FALSE(cents.matches(bad)) << bad;
  }
  Matcher quarters = schema(R"({"type":"number","multipleOf":0.25,"exclusiveMaximum":1.1})");
  for (const char* good : {"0.00", "0.25", "1.00", "-3.75"}) EXPECT_TRUE(quarters.matches(good));
  for (const char* bad : {"0.20", "1.25", "-3.70"}) EXPECT_FALSE(quarters.matches(bad)) << bad;
  // Whole multiples of one and a half.
  Matcher threes = schema(R"({"type":"integer","multipleOf":1.5,"minimum":0,"maximum":7})");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(threes.matches(std::to_string(i)), i % 3 == 0 && i <= 7) << i;
  }
}

TEST(JsonSchema, PatternAndLengthHoldTogether) {
  const std::vector<std::string> patterns = {
      "^[ab]+$", "^a*b*$",       "^(aa|b)+$", "ab",       "^a?b{2,4}(a|bb)$",
      "^b",      "^(a|bab?)*a$", "^(ab?)*$",  "^a*b*a*$", "^(a{2})*(b?)$"};
  for (const std::string& pattern : patterns) {
    const std::regex regex(pattern);
    for (const auto& [least, most] : std::vector<std::pair<int, int>>{
             {0, 3}, {2, 4}, {3, kUnbounded}, {4, 4}, {1, 6}, {0, kUnbounded}}) {
      OrderedJson json = {{"type", "string"}, {"pattern", pattern}, {"minLength", least}};
      if (most != kUnbounded) json["maxLength"] = most;
      Matcher both = schema(json.dump());
      for (size_t length = 0; length <= 7; ++length) {
        for (uint32_t bits = 0; bits < (uint32_t{1} << length); ++bits) {
          std::string word;
          for (size_t i = 0; i < length; ++i) word += (bits >> i & 1) != 0 ? 'a' : 'b';
          const auto size = static_cast<int>(length);
          const bool fits = size >= least && (most == kUnbounded || size <= most);
          EXPECT_EQ(both.matches('"' + word + '"'), fits && std::regex_search(word, regex))
              << word << " as " << json;
        }
      }
    }
  }
  // Lengths count characters, not the bytes that they are written with.
  Matcher quotes = schema(R"({"type":"string","pattern":"^[\"\n\u00e9]*$","maxLength":2})");
  EXPECT_TRUE(quotes.matches(R"("\"\n")"));
  EXPECT_TRUE(quotes.matches("\"\xC3\xA9\xC3\xA9\""));
  EXPECT_FALSE(quotes.matches(R"("\"\n\"")"));
  Matcher mail = schema(R"({"type":"string","format":"email","maxLength":8})");
  EXPECT_TRUE(mail.matches("\"ab@cd.ef\""));
  EXPECT_FALSE(mail.matches("\"abc@cd.ef\""));
}

TEST(JsonSchema, ItemsOfAnEnumMayHaveToDiffer) {
  Matcher set =
      schema(R"({"type":"array","items":{"enum":["a","ab","c"]},"uniqueItems":true,"minItems":1})");
  for (const char* good : {R"(["a"])", R"(["ab","a"])", R"(["c", "ab", "a"])"}) {
    EXPECT_TRUE(set.matches(good)) << good;
  }
  for (const char* bad : {"[]", R"(["a","a"])", R"(["c","ab","c"])", R"(["a","b"])"}) {
    EXPECT_FALSE(set.matches(bad)) << bad;
  }
  EXPECT_TRUE(schema(R"({"enum":[[1,1]],"uniqueItems":false})").matches("[1,1]"));
  // Booleans and bounded integers are few values too, and so are few of many.
  Matcher both = schema(R"({"type":"array","items":{"type":"boolean"},"uniqueItems":true})");
  EXPECT_TRUE(both.matches("[true,false]"));
  EXPECT_FALSE(both.matches("[true,true]"));
  Matcher rolls = schema(
      R"({"type":"array","items":{"type":"integer","minimum":1,"exclusiveMaximum":7,"multipleOf":2},"uniqueItems":true})");
  EXPECT_TRUE(rolls.matches("[6,2,4]"));
  for (const char* bad : {"[6,2,6]", "[3]", "[8]", "[0]"}) EXPECT_FALSE(rolls.matches(bad)) << bad;
  std::string many;
  for (int i = 0; i < 30; ++i) many += fmt::format("{}{}", i == 0 ? "" : ",", i);
  Matcher three = schema(fmt::format(
      R"({{"type":"array","items":{{"enum":[{}]}},"uniqueItems":true,"maxItems":3}})", many));
  EXPECT_TRUE(three.matches("[29,7,28]"));
  for (const char* bad : {"[29,7,29]", "[1,2,3,4]"}) EXPECT_FALSE(three.matches(bad)) << bad;
  EXPECT_THAT(schema_error(fmt::format(
                  R"({{"type":"array","items":{{"enum":[{}]}},"uniqueItems":true}})", many)),
              HasSubstr("too many sets"));
  EXPECT_THAT(
      schema_error(
          R"({"type":"array","items":{"type":"integer","minimum":0,"maximum":2000},"uniqueItems":true})"),
      HasSubstr("schema.items beside uniqueItems has more than 1000 integers between 0 and 2000"));
  EXPECT_TRUE(
      schema(R"({"type":"array","items":{"type":"integer"},"uniqueItems":true,"maxItems":1})")
          .matches("[5]"));
}

// What a level uses twice must not double with each level.
TEST(JsonSchema, DeepSchemasAreNoWorkBeyondTheirSize) {
  const std::vector<std::pair<std::string, std::string>> levels = {
      {R"({"type":"array","items":)", "}"},
      {R"({"type":"object","additionalProperties":)", "}"},
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":)", "}}"},
      {R"({"type":"array","prefixItems":[)", "]}"}};
  for (const auto& [before, after] : levels) {
    std::string deep = R"({"type":"integer"})";
    for (int i = 0; i < 60; ++i) deep = before + deep + after;
    EXPECT_EQ(schema_error(deep), "") << before;
  }
}

TEST(JsonSchema, BoundsKeepTheirDigits) {
  Matcher least = schema(R"({"type":"integer","minimum":9007199254740993})");
  EXPECT_FALSE(least.matches("9007199254740992"));
  EXPECT_TRUE(least.matches("9007199254740993"));
  Matcher most = schema(R"({"type":"integer","exclusiveMaximum":9007199254740993})");
  EXPECT_TRUE(most.matches("9007199254740992"));
  EXPECT_FALSE(most.matches("9007199254740993"));
  Matcher all =
      schema(R"({"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807})");
  for (const char* text : {"0", "-7", "9223372036854775807", "-9223372036854775807"}) {
    EXPECT_TRUE(all.matches(text)) << text;
  }
  EXPECT_FALSE(all.matches("9223372036854775808"));
  EXPECT_TRUE(schema(R"({"type":"integer","maximum":18446744073709551615})").matches("5"));
  EXPECT_THAT(schema_error(R"({"type":"integer","minimum":18446744073709551615})"),
              HasSubstr("no integer of 63 bits lies above"));
  EXPECT_THAT(schema_error(R"({"type":"integer","maximum":-9223372036854775808})"),
              HasSubstr("no integer of 63 bits lies below"));
  Matcher number = schema(R"({"type":"number","minimum":9007199254740993})");
  EXPECT_FALSE(number.matches("9007199254740992"));
  EXPECT_TRUE(number.matches("9007199254740994"));
  EXPECT_THAT(schema_error(R"({"type":"number","minimum":1e20})"), HasSubstr("beyond 18 digits"));
  EXPECT_THAT(schema_error(R"({"type":"number","exclusiveMinimum":1e-20})"),
              HasSubstr("more than 16 digits"));
  EXPECT_TRUE(schema(R"({"type":"string","maxLength":2147483647})").matches(R"("a")"));
}

TEST(JsonSchema, DatesAreOfTheCalendar) {
  Matcher date = schema(R"({"type":"string","format":"date"})");
  for (const char* day : {"2024-02-29", "2000-02-29", "0004-02-29", "2023-02-28", "2023-04-30"}) {
    EXPECT_TRUE(date.matches(fmt::format("\"{}\"", day))) << day;
  }
  for (const char* day : {"2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "0000-01-01"}) {
    EXPECT_FALSE(date.matches(fmt::format("\"{}\"", day))) << day;
  }
  Matcher ipv6 = schema(R"({"type":"string","format":"ipv6"})");
  for (const char* text : {"::", "::1", "fe80::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"}) {
    EXPECT_TRUE(ipv6.matches(fmt::format("\"{}\"", text))) << text;
  }
  for (const char* text : {"1::2::3", "1:2:3:4:5:6:7", "1:2::3:4:5:6:7:8", ":"}) {
    EXPECT_FALSE(ipv6.matches(fmt::format("\"{}\"", text))) << text;
  }
}

TEST(JsonSchema, ConstAndEnumHoldTogether) {
  for (const char* json :
       {R"({"const":"a","enum":["a","b"]})", R"({"enum":["b","a"],"const":"a"})"}) {
    EXPECT_TRUE(schema(json).matches(R"("a")"));
    EXPECT_FALSE(schema(json).matches(R"("b")"));
  }
  Matcher unique =
      schema(R"({"type":"array","uniqueItems":true,"items":{"const":"a","enum":["a","b"]}})");
  EXPECT_TRUE(unique.matches(R"(["a"])"));
  EXPECT_FALSE(unique.matches(R"(["b"])"));
  OrderedJson many;  // once a comparison of each with all
  for (int i = 0; i < 50'000; ++i) many["enum"].push_back(fmt::format("v{}", i));
  EXPECT_TRUE(schema(many.dump()).matches(R"("v49999")"));
}

TEST(JsonSchema, WhatIsNotObeyedIsRefusedByName) {
  EXPECT_THAT(schema_error(R"({"type":"string","pattern":"a{,3}"})"), HasSubstr("no lower bound"));
  EXPECT_THAT(schema_error(R"({"type":"array","uniqueItems":true})"),
              HasSubstr("schema.uniqueItems"));
  EXPECT_THAT(schema_error(R"({"type":"integer","multipleOf":0})"),
              HasSubstr("schema.multipleOf is 0"));
  EXPECT_THAT(schema_error(R"({"type":"integer","multipleOf":104729})"),
              HasSubstr("too many remainders"));
  EXPECT_THAT(schema_error(R"({"type":"integer","multipleOf":7,"minimum":8,"maximum":13})"),
              HasSubstr("no multiple"));
  EXPECT_THAT(schema_error(R"({"type":"string","pattern":"^ab$","minLength":3})"),
              HasSubstr("schema.pattern with minLength 3: no text of that length"));
  EXPECT_THAT(schema_error(R"({"type":"string","pattern":"a.*b.*c","maxLength":9000})"),
              HasSubstr("too many states"));
  EXPECT_THAT(schema_error(R"({"type":"object","properties":{"a":{"not":{"items":{}}}}})"),
              HasSubstr("schema.properties.a.not"));
  EXPECT_THAT(schema_error(R"({"type":"string","minLength":3,"maxLength":2})"),
              HasSubstr("minLength is 3 and maxLength is 2"));
  EXPECT_THAT(schema_error(R"({"type":"string","pattern":"^a{3,1}$"})"),
              HasSubstr("at least 3 and at most 1"));
  EXPECT_THAT(schema_error(R"({"type":"string","minLength":-1})"), HasSubstr("whole number"));
  EXPECT_THAT(schema_error(R"({"type":"strin"})"), HasSubstr("'strin'"));
  EXPECT_THAT(schema_error(R"({"$ref":"#/nowhere"})"), HasSubstr("no '#/nowhere'"));
  EXPECT_THAT(schema_error(R"({"$ref":"http://x/y"})"), HasSubstr("inside the schema"));
  EXPECT_THAT(schema_error(R"({"$ref":"#"})"), HasSubstr("matches no text"));
  EXPECT_THAT(schema_error(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"),
              HasSubstr("matches no text"));
  EXPECT_THAT(schema_error(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"),
              HasSubstr("may match the same"));
  EXPECT_THAT(schema_error(R"({"type":"number","minimum":3,"maximum":2})"),
              HasSubstr("between 3 and 2"));
  EXPECT_THAT(schema_error(R"({"type":"string","format":"regex"})"), HasSubstr("'regex'"));
  EXPECT_THAT(schema_error("3"), HasSubstr("schema is 3"));
  EXPECT_EQ(schema_error(R"({"type":"integer","title":"t","x-more":[1]})"), "");
}

// --- over a vocabulary

class GrammarMaskTest : public testing::Test {
 protected:
  // Bytes, and pieces that JSON and words are made of.
  void SetUp() override {
    OrderedJson vocab;
    int id = 0;
    const auto add = [&](const std::string& token) {
      if (!vocab.contains(token)) vocab[token] = id++;
    };
    for (char c = '!'; c <= '~'; ++c) add(std::string(1, c));
    add("\u0120");  // a space, as byte-level BPE writes it
    add("\u010A");  // a line end
    for (const char* piece :
         {"ab", "abc", "{\"", "\":", "\",", "\"}", "}}", "[[", "tr", "true", "al", "alse", "12",
          "123", "\u0120\u0120", "aaaa", "aaaaaaaa", "\u0120a", "null"})
      add(piece);
    const OrderedJson file = {
        {"added_tokens", {{{"id", id}, {"content", "<|end|>"}, {"special", true}}}},
        {"normalizer", nullptr},
        {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
        {"decoder", {{"type", "ByteLevel"}}},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", OrderedJson::array()}}}};
    tokenizer_ = Tokenizer::parse(file.dump(), "test").value();
    trie_ = std::make_shared<const VocabularyTrie>(*tokenizer_);
  }

  // Compares masks with trying every token, along a random text; returns its length in tokens.
  int walk(const Grammar& grammar, uint64_t seed) {
    const auto compiled = CompiledGrammar::compile(grammar, trie_).value();
    GrammarMatcher matcher(compiled);
    uint64_t state = seed;
    const auto random = [&](size_t below) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      return static_cast<size_t>(state >> 33) % below;
    };
    for (int length = 0; length < 60; ++length) {
      const auto mask = matcher.mask();
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < trie_->vocab_size(); ++id) {
        const bool bit = ((*mask)[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0;
        GrammarMatcher probe = matcher;
        EXPECT_EQ(probe.accept(id), bit) << "token " << id << " after " << length;
        if (bit) allowed.push_back(id);
      }
      EXPECT_EQ(allowed.empty(), matcher.must_end());
      if (allowed.empty()) return length;
      EXPECT_TRUE(matcher.accept(allowed[random(allowed.size())]));
      if (random(4) == 0) {  // what is taken back leaves no trace
        const auto count =
            static_cast<int64_t>(random(static_cast<size_t>(matcher.accepted()) + 1));
        matcher.forget(count);
      }
    }
    return 60;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const VocabularyTrie> trie_;
};

TEST_F(GrammarMaskTest, MasksAreWhatTryingEveryTokenSays) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    walk(parse_gbnf("root ::= \"a\"{3,40} \"b\" | (\"{\" root \"}\")+").value(), seed);
    walk(parse_gbnf("root ::= [a-c]{17,30} (\"true\" | \"alse\"){0,25}").value(), seed);
    walk(json_schema_grammar(OrderedJson::parse(R"({"type":"object","properties":{
        "ab":{"type":"string","minLength":12,"maxLength":30},"n":{"type":"integer","minimum":12,"maximum":130}},
        "required":["ab","n"]})"))
             .value(),
         seed);
    walk(json_object_grammar(), seed);
  }
}

TEST_F(GrammarMaskTest, SpecialTokensAreNeverAllowed) {
  const auto compiled = CompiledGrammar::compile(parse_gbnf("root ::= .*").value(), trie_).value();
  GrammarMatcher matcher(compiled);
  const int32_t special = tokenizer_->id_of("<|end|>").value();
  EXPECT_FALSE(matcher.accept(special));
  EXPECT_EQ((*matcher.mask())[static_cast<size_t>(special) / 32] >> (special % 32) & 1, 0u);
  EXPECT_TRUE(matcher.may_end());
  EXPECT_FALSE(matcher.must_end());
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(1 << 20));
}

TEST_F(GrammarMaskTest, LongCountedTextsShareTheirMasks) {
  const auto compiled =
      CompiledGrammar::compile(parse_gbnf("root ::= [a-z]{1000,5000}").value(), trie_).value();
  GrammarMatcher matcher(compiled);
  const int32_t a = tokenizer_->id_of("a").value();
  const TokenMask* first = nullptr;
  for (int i = 0; i < 4000; ++i) {
    ASSERT_TRUE(matcher.accept(a));
    const auto mask = matcher.mask();
    if (i == 100) first = mask.get();
    if (i > 100 && i < 900) {
      EXPECT_EQ(mask.get(), first) << i;
    }
    EXPECT_EQ(matcher.may_end(), i + 1 >= 1000);
  }
  matcher.forget(3500);
  EXPECT_FALSE(matcher.may_end());
  EXPECT_EQ(matcher.accepted(), 500);
}

}  // namespace
}  // namespace looplm
