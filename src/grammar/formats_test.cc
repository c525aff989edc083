// Formats of strings beside lengths, patterns, constants and "not".
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/rng.h"
#include "grammar/test_matcher.h"

namespace looplm {
namespace {

using testing::HasSubstr;

// Sanitizers take ten times as long.
#ifdef LOOPLM_SANITIZED
constexpr int kLengths[] = {40, 255};
#else
constexpr int kLengths[] = {40, 64, 255, 2048};
#endif

std::string quoted(const std::string& text) { return OrderedJson(text).dump(); }

Matcher string_schema(const OrderedJson& keywords) {
  OrderedJson json = {{"type", "string"}};
  json.update(keywords);
  return schema(json.dump());
}

// Random texts of a schema, byte by byte: none may lead to where nothing can follow.
void expect_lengths(const OrderedJson& keywords, size_t least, size_t most) {
  OrderedJson json = {{"type", "string"}};
  json.update(keywords);
  GrammarAutomaton automaton(std::make_shared<const GrammarProgram>(
      compile_grammar(json_schema_grammar(json).value()).value()));
  Rng random(7, most);
  for (int walk = 0; walk < 6; ++walk) {
    std::string text;
    GrammarAutomaton::StateId state = automaton.start();
    while (!automaton.accepts(state)) {
      std::string next;
      for (char c = ' '; c <= '~'; ++c) {
        if (automaton.after(state, static_cast<uint8_t>(c)) != GrammarAutomaton::kDead) next += c;
      }
      ASSERT_FALSE(next.empty()) << text << " of " << keywords;
      // The longest texts are those that put off their end.
      if (next.size() > 1 && walk % 2 == 0 && !text.empty()) std::erase(next, '"');
      text += next[random.below(static_cast<uint32_t>(next.size()))];
      state = automaton.after(state, static_cast<uint8_t>(text.back()));
    }
    const size_t size = OrderedJson::parse(text).get<std::string>().size();
    EXPECT_GE(size, least) << text << " of " << keywords;
    EXPECT_LE(size, most) << text << " of " << keywords;
  }
}

TEST(Formats, HoldWithLengths) {
  // As zod writes z.email().
  const std::string zods =
      R"(^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$)";
  for (const auto& [format, usual] :
       std::vector<std::pair<std::string, std::string>>{{"email", "ada.lovelace@mail.example.com"},
                                                        {"hostname", "mail.example.com"},
                                                        {"uri", "https://example.com/a?b=c#d"},
                                                        {"uri-reference", "/a/b?c=d"},
                                                        {"json-pointer", "/a/b/0"},
                                                        {"iri", "https://example.com/"},
                                                        {"date-time", "2024-02-29T12:00:00Z"},
                                                        {"idn-email", "a@b.example"}}) {
    for (const int most : kLengths) {
      const OrderedJson keywords = {{"format", format}, {"maxLength", most}};
      expect_lengths(keywords, 0, static_cast<size_t>(most));
      EXPECT_TRUE(string_schema(keywords).matches(quoted(usual))) << usual << " " << most;
    }
    OrderedJson both = {{"format", format}, {"minLength", 8}, {"maxLength", 120}};
    expect_lengths(both, 8, 120);
  }
  const OrderedJson mail = {{"format", "email"}, {"pattern", zods}, {"maxLength", 255}};
  expect_lengths(mail, 6, 255);
  Matcher m = string_schema(mail);
  EXPECT_TRUE(m.matches(quoted("ada.lovelace@mail.example.com")));
  EXPECT_FALSE(m.matches(quoted("ada@b.c")));
  EXPECT_FALSE(m.begins(quoted(std::string(300, 'a') + "@b.cc")));
}

TEST(Formats, APatternsLengthsAreCountedWhereTheyAreMany) {
  const OrderedJson keywords = {{"pattern", "^[a-z]+(-[a-z]+)*(\\.[a-z]+)+$"}, {"maxLength", 255}};
  expect_lengths(keywords, 3, 255);
  Matcher m = string_schema(keywords);
  for (const size_t size : {250, 251, 252, 253}) {
    const std::string text = "ab-" + std::string(size, 'c');
    EXPECT_EQ(m.matches(quoted(text + ".d")), size + 5 <= 255) << size;
  }
}

TEST(Formats, WhatIsKnownInPartIsNotDenied) {
  for (const char* json : {R"({"type":"string","not":{"format":"email"}})",
                           R"({"type":"string","not":{"format":"date","minLength":3}})",
                           R"({"not":{"type":"string","format":"uri"}})",
                           R"({"type":"string","if":{"format":"hostname"},"else":{"maxLength":3}})",
                           R"({"type":"array","items":{"type":"string"},
                               "contains":{"format":"ipv6"},"maxContains":1})"}) {
    EXPECT_THAT(schema_error(json), HasSubstr("only the usual texts of this format")) << json;
  }
  Matcher no_uuid = string_schema({{"not", {{"format", "uuid"}}}});
  EXPECT_TRUE(no_uuid.matches(quoted("abc")));
  EXPECT_FALSE(no_uuid.matches(quoted("00000000-0000-4000-8000-000000000000")));
  Matcher other = schema(
      R"({"type":"string","if":{"format":"ipv4"},"then":{"pattern":"^10"},"else":{"maxLength":3}})");
  EXPECT_TRUE(other.matches(quoted("10.0.0.1")));
  EXPECT_TRUE(other.matches(quoted("abc")));
  EXPECT_FALSE(other.matches(quoted("11.0.0.1")));
  EXPECT_FALSE(other.matches(quoted("abcd")));
}

TEST(Formats, HoldForConstants) {
  Matcher some = string_schema({{"format", "ipv4"}, {"enum", {"1.2.3.4", "1.2.3", "x"}}});
  EXPECT_TRUE(some.matches(quoted("1.2.3.4")));
  EXPECT_FALSE(some.matches(quoted("1.2.3")));
  Matcher mails = string_schema({{"format", "email"}, {"enum", {"a@b.cc", ""}}, {"minLength", 1}});
  EXPECT_TRUE(mails.matches(quoted("a@b.cc")));
  EXPECT_THAT(schema_error(R"({"format":"email","enum":["a@b.cc","nobody"]})"),
              HasSubstr("cannot tell whether 'nobody' is valid"));
  EXPECT_THAT(schema_error(R"({"type":"string","format":"uri","const":"http://[::1]/"})"),
              HasSubstr("schema.format is \"uri\""));
}

TEST(Pattern, WhiteSpaceIsUnicodes) {
  Matcher words = search(R"(^\S+$)");
  Matcher space = search(R"(^\s$)");
  for (const char* c : {"\xE3\x80\x80", "\xE2\x80\x83", "\xC2\xA0", "\xEF\xBB\xBF", "\xE1\x9A\x80",
                        "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE2\x80\xA8", "\v"}) {
    EXPECT_FALSE(words.matches(std::string("a") + c + "b"));
    EXPECT_TRUE(space.matches(c));
  }
  EXPECT_TRUE(words.matches("a\xE2\x80\x8B"));  // of no width, and no white space
}

}  // namespace
}  // namespace looplm
