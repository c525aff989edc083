#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "looplm/tokenizer.h"
#include "looplm/tokenizer_trainer.h"

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "text/byte_level.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Utf8, EachMaximalBrokenPartBecomesOneReplacement) {
  // The example of Unicode 15, table 3-8, and overlong, surrogate and too large forms.
  EXPECT_EQ(repair_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                        "b\x80"
                        "c\x80\xBF"
                        "d"),
            "a\uFFFD\uFFFD\uFFFD"
            "b\uFFFD"
            "c\uFFFD\uFFFD"
            "d");
  EXPECT_EQ(repair_utf8("\xC0\xAF"), "\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(repair_utf8("ok \xE2\x82"), "ok \uFFFD");
  EXPECT_TRUE(is_utf8("plain, gr\u00FC\u00DFe, \U0001F600"));
  EXPECT_FALSE(is_utf8("\xE2\x82"));
}

TEST(Utf8, TextInAnotherEncodingIsAnErrorThatSaysWhere) {
  using namespace std::string_literals;
  EXPECT_OK(check_utf8(""));
  EXPECT_OK(check_utf8("caf\u00E9\n\U0001F600\0"s));
  EXPECT_OK(check_utf8("\uFEFFmarked"));  // UTF-8 may have a mark too
  EXPECT_ERROR_SAYS(check_utf8("one\ncaf\xE9 au lait"), "byte 7 (0xE9, in line 2) is not UTF-8");
  EXPECT_ERROR_SAYS(check_utf8("\xFF\xFEh\0i\0"s), "byte order mark of UTF-16; expected UTF-8");
  EXPECT_ERROR_SAYS(check_utf8("\xFE\xFF\0h\0i"s), "byte order mark of UTF-16; expected UTF-8");
  EXPECT_ERROR_SAYS(check_utf8("\xFF\xFE\0\0h\0\0\0"s), "byte order mark of UTF-32");
  EXPECT_ERROR_SAYS(check_utf8("\0\0\xFE\xFF\0\0\0h"s), "byte order mark of UTF-32");
  // Without a mark: letters of ASCII in both orders.
  EXPECT_ERROR_SAYS(check_utf8("h\0i\0\n\0"s), "every second byte is 0, as in UTF-16");
  EXPECT_ERROR_SAYS(check_utf8("\0h\0i\0\n\0"s), "every second byte is 0");
  EXPECT_OK(check_utf8("h\0i\0\0\0"s));
  EXPECT_OK(check_utf8("a\0b!"s));
  EXPECT_EQ(first_broken_utf8("ab\xC3\xA9\xE2\x82"), 4U);  // cut off at the end
  EXPECT_EQ(first_broken_utf8("ab"), 2U);
}

TEST(Utf8, EveryCodePointSurvivesARoundTrip) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    utf8_append(text, c);
    ASSERT_TRUE(is_utf8(text)) << c;
    ASSERT_EQ(utf8_step(text).size, text.size()) << c;
    ASSERT_EQ(utf8_decode(text), c);
  }
}

TEST(ByteLevelAlphabet, IsOneToOne) {
  const ByteLevel alphabet;
  std::string all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<char>(b));
  EXPECT_EQ(alphabet.bytes_of(alphabet.text_of(all)), all);
  EXPECT_EQ(alphabet.text_of(" a\n"), "\u0120a\u010A");
  EXPECT_FALSE(alphabet.bytes_of("\u6F22").has_value());
}

TEST(RegexDialect, RewritesWhatTheTwoEnginesReadDifferently) {
  auto spaces = Regex::compile("\\s+");
  ASSERT_OK(spaces.status());
  Regex::Matcher matcher(*spaces);
  size_t begin = 0;
  size_t end = 0;
  // U+180E is no white space in Unicode, but is in PCRE2's \s.
  EXPECT_FALSE(matcher.find("a\u180Eb", 0, &begin, &end).value());
  ASSERT_TRUE(matcher.find("a\u3000\u00A0b", 0, &begin, &end).value());
  EXPECT_EQ(begin, 1U);
  EXPECT_EQ(end, 6U);
}

TEST(RegexDialect, RefusesWhatItWouldMisread) {
  for (const char* pattern : {"\\h", "[a&&b]", "[[ab]c]", "a{1,3}+", "x{,3}", "(?m:.)", "\\K",
                              "(*FAIL)", "[a", "(a", "a\\"}) {
    const auto regex = Regex::compile(pattern);
    EXPECT_FALSE(regex.ok()) << pattern;
    EXPECT_THAT(regex.status().message(), HasSubstr("regular expression"));
  }
  for (const char* pattern :
       {"\\p{N}{1,3}", "[\\s\\S]", "(?i:'s)", "[^\\r\\n\\p{L}]?\\p{L}+", "(?<!a)b"}) {
    EXPECT_OK(Regex::compile(pattern));
  }
}

TEST(RegexDialect, ALongBacktrackEndsInAnErrorNotInACrash) {
  auto regex = Regex::compile("(a+)+$");
  ASSERT_OK(regex.status());
  Regex::Matcher matcher(*regex);
  size_t begin = 0;
  size_t end = 0;
  const std::string text = std::string(64, 'a') + "b";
  EXPECT_ERROR_SAYS(matcher.find(text, 0, &begin, &end), "'(a+)+$' on a text of 65 bytes");
}

// A tokenizer.json of bytes and a few merges; `change` edits it.
std::string small_file(const std::function<void(Json&)>& change = {}) {
  Json file = {{"added_tokens", Json::array()},
               {"normalizer", nullptr},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
               {"post_processor", nullptr},
               {"decoder", {{"type", "ByteLevel"}}},
               {"model", {{"type", "BPE"}, {"merges", Json::array({"a b", "ab c"})}}}};
  const ByteLevel alphabet;
  for (int b = 0; b < 256; ++b) {
    file["model"]["vocab"][alphabet.text_of(std::string(1, static_cast<char>(b)))] = b;
  }
  file["model"]["vocab"]["ab"] = 256;
  file["model"]["vocab"]["abc"] = 257;
  if (change) change(file);
  return file.dump();
}

TEST(TokenizerFile, Minimal) {
  auto tokenizer = Tokenizer::parse(small_file(), "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_EQ(t.vocab_size(), 258);
  EXPECT_THAT(t.encode("abcab x").value(), ElementsAre(257, 256, ' ', 'x'));
  EXPECT_EQ(t.decode(std::vector<int32_t>{257, -5, 9999, 'x'}), "abcx");
  EXPECT_EQ(t.id_of("\u0120"), ' ');
  EXPECT_EQ(t.id_of("abcd"), std::nullopt);
  // Text that is not UTF-8 is read as its repair.
  EXPECT_EQ(t.decode(t.encode("a\xFFz").value()), "a\uFFFDz");
}

TEST(TokenizerFile, SpecialTokensInTextOnlyWhenAsked) {
  auto tokenizer = Tokenizer::parse(
      small_file([](Json& file) {
        file["added_tokens"] = Json::array({{{"id", 258}, {"content", "<x>"}, {"special", true}}});
      }),
      "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_THAT(t.encode("a<x>b").value(), ElementsAre('a', 258, 'b'));
  EXPECT_THAT(t.encode("a<x>b", {.parse_special = false}).value(),
              ElementsAre('a', '<', 'x', '>', 'b'));
  EXPECT_EQ(t.decode(std::vector<int32_t>{'a', 258}, true), "a");
  EXPECT_EQ(t.decode(std::vector<int32_t>{'a', 258}, false), "a<x>");
}

TEST(TokenizerFile, SpecialTokensStayTextInForeignPartsAndAcrossTheirBorders) {
  const auto with = [](bool normalized) {
    const std::string file = small_file([&](Json& json) {
      json["added_tokens"] = Json::array(
          {{{"id", 258}, {"content", "<x>"}, {"special", true}, {"normalized", normalized}},
           {{"id", 259}, {"content", "<y>"}, {"special", false}}});
    });
    return Tokenizer::parse(file, "small").value();
  };
  const auto ids = [](const Tokenizer& t, std::string_view text, std::vector<TextRange> foreign) {
    return t.encode(text, {.as = EncodeAs::kContinuation, .foreign = foreign}).value();
  };
  const auto raw = with(false);
  EXPECT_THAT(ids(*raw, "<x><x>", {}), ElementsAre(258, 258));
  EXPECT_THAT(ids(*raw, "<x><x>", {{0, 3}}), ElementsAre('<', 'x', '>', 258));
  EXPECT_THAT(ids(*raw, "<x><x>", {{3, 6}}), ElementsAre(258, '<', 'x', '>'));
  EXPECT_THAT(ids(*raw, "<x><x>", {{2, 4}}), ElementsAre('<', 'x', '>', '<', 'x', '>'));
  EXPECT_THAT(ids(*raw, "<x>a<x>", {{3, 4}}), ElementsAre(258, 'a', 258));
  EXPECT_THAT(ids(*raw, "<y>", {{0, 3}}), ElementsAre(259));  // no special token
  EXPECT_THAT(ids(*raw, "<x>\xff", {{3, 4}}), testing::Not(testing::Contains(258)));
  // Found after normalisation: foreign text anywhere in the piece counts.
  const auto normalized = with(true);
  EXPECT_THAT(ids(*normalized, "<x>a", {}), ElementsAre(258, 'a'));
  EXPECT_THAT(ids(*normalized, "<x>a", {{0, 3}}), ElementsAre('<', 'x', '>', 'a'));
}

// Ids 258 and 259 around every text, as a template says it.
void add_template(Json& file) {
  file["added_tokens"] = Json::array({{{"id", 258}, {"content", "<s>"}, {"special", true}},
                                      {{"id", 259}, {"content", "</s>"}, {"special", true}}});
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({{{"SpecialToken", {{"id", "<s>"}}}},
                              {{"Sequence", {{"id", "A"}}}},
                              {{"SpecialToken", {{"id", "</s>"}}}}})},
      {"special_tokens", {{"<s>", {{"ids", {258}}}}, {"</s>", {{"ids", {259}}}}}}};
}

TEST(EncodingPurpose, OnlyAWholeTextHasAnEnd) {
  auto tokenizer = Tokenizer::parse(small_file(add_template), "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  const auto ids = [&](std::string_view text, EncodeAs as) {
    return t.encode(text, {.as = as}).value();
  };
  EXPECT_THAT(t.encode("ab").value(), ElementsAre(258, 256)) << "a prompt, if nothing is said";
  EXPECT_THAT(ids("ab", EncodeAs::kPrompt), ElementsAre(258, 256));
  EXPECT_THAT(ids("ab", EncodeAs::kDocument), ElementsAre(258, 256, 259));
  EXPECT_THAT(ids("ab", EncodeAs::kContinuation), ElementsAre(256));
  EXPECT_THAT(ids("", EncodeAs::kPrompt), ElementsAre(258));
  EXPECT_THAT(ids("", EncodeAs::kDocument), ElementsAre(258, 259));
  EXPECT_THAT(ids("", EncodeAs::kContinuation), ElementsAre());
  EXPECT_THAT(t.ids_in_front(), ElementsAre(258));
}

// In transformers 5.24, with nine forms of a tokenizer_config.json, the file alone says what stands
// around a text.
TEST(EncodingPurpose, FlagsBesideTheFileSayNothing) {
  const TempDir directory;
  ASSERT_OK(
      write_text_file(directory.file("tokenizer_config.json"),
                      R"({"bos_token": "<s>", "add_bos_token": true, "add_eos_token": true})"));
  ASSERT_OK(write_text_file(directory.file("tokenizer.json"), small_file([](Json& file) {
                              add_template(file);
                              file["post_processor"] = nullptr;
                            })));
  auto tokenizer = Tokenizer::load(directory.path());
  ASSERT_OK(tokenizer.status());
  EXPECT_THAT((*tokenizer)->encode("ab", {.as = EncodeAs::kDocument}).value(), ElementsAre(256));
}

TEST(EncodingPurpose, ClsAndSepStandAroundAWholeText) {
  for (const char* type : {"RobertaProcessing", "BertProcessing"}) {
    for (const bool inside : {false, true}) {
      auto tokenizer = Tokenizer::parse(
          small_file([&](Json& file) {
            add_template(file);
            const Json pair = {{"type", type}, {"sep", {"</s>", 259}}, {"cls", {"<s>", 258}}};
            const Json list = {{"type", "Sequence"},
                               {"processors", Json::array({{{"type", "ByteLevel"}}, pair})}};
            file["post_processor"] = inside ? list : pair;
          }),
          "small");
      ASSERT_OK(tokenizer.status());
      const Tokenizer& t = **tokenizer;
      EXPECT_THAT(t.encode("ab").value(), ElementsAre(258, 256));
      EXPECT_THAT(t.encode("ab", {.as = EncodeAs::kDocument}).value(), ElementsAre(258, 256, 259));
    }
    auto wrong = Tokenizer::parse(
        small_file([&](Json& file) {
          file["post_processor"] = {{"type", type}, {"sep", {"</s>", 259}}, {"cls", "<s>"}};
        }),
        "small");
    EXPECT_ERROR_SAYS(wrong, "post_processor", "'cls' is \"<s>\"; expected a token and its id");
  }
}

TEST(EncodingPurpose, WhatTheTextBeginsOrEndsWithIsNotAddedAgain) {
  auto tokenizer = Tokenizer::parse(small_file(add_template), "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_THAT(t.encode("<s>ab").value(), ElementsAre(258, 256));
  EXPECT_THAT(t.encode("<s><s>ab").value(), ElementsAre(258, 258, 256)) << "as it is written";
  EXPECT_THAT(t.encode("ab<s>").value(), ElementsAre(258, 256, 258));
  EXPECT_THAT(t.encode("<s>ab</s>", {.as = EncodeAs::kDocument}).value(),
              ElementsAre(258, 256, 259));
  EXPECT_THAT(t.encode("<s>", {.as = EncodeAs::kDocument}).value(), ElementsAre(258, 259));
  // Not read as a special token, it is text like any other.
  EXPECT_THAT(t.encode("<s>", {.parse_special = false}).value(), ElementsAre(258, '<', 's', '>'));
}

TEST(LostText, IsAnErrorOrIsCounted) {
  // No token for 9, nor for the second byte of e-acute.
  const auto without = [](Json& file) {
    file["model"]["vocab"].erase("9");
    file["model"]["vocab"].erase("\u00A9");
  };
  auto tokenizer = Tokenizer::parse(small_file(without), "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_ERROR_SAYS(t.encode("#a+19="), "no", "token for '9'", "1 byte of the text would be lost");
  EXPECT_ERROR_SAYS(t.encode("caf\u00E9 99"), "'\u00E9'", "3 bytes");
  int64_t lost = 0;
  EXPECT_THAT(t.encode("#a+19=", {.lost_bytes = &lost}).value(),
              ElementsAre('#', 'a', '+', '1', '='));
  EXPECT_EQ(lost, 1);
  EXPECT_THAT(t.encode("99", {.lost_bytes = &lost}).value(), ElementsAre());
  EXPECT_EQ(lost, 3) << "added up";
  EXPECT_OK(t.encode("#a+1="));

  auto with_unknown = Tokenizer::parse(small_file([&](Json& file) {
                                         without(file);
                                         file["model"]["vocab"]["<unk>"] = 258;
                                         file["model"]["unk_token"] = "<unk>";
                                       }),
                                       "small");
  ASSERT_OK(with_unknown.status());
  EXPECT_THAT((*with_unknown)->encode("19").value(), ElementsAre('1', 258));
}

TEST(TokenizerFile, APatternThatNeedsTooManyStepsIsAnErrorThatNamesIt) {
  auto tokenizer = Tokenizer::parse(
      small_file([](Json& file) {
        const Json split = {
            {"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}};
        file["pre_tokenizer"] = {{"type", "Sequence"},
                                 {"pretokenizers", Json::array({split, file["pre_tokenizer"]})}};
      }),
      "small");
  ASSERT_OK(tokenizer.status());
  EXPECT_ERROR_SAYS((*tokenizer)->encode(std::string(64, 'a') + "b"),
                    "regular expression '(a+)+$' on a text of 65 bytes");
  EXPECT_OK((*tokenizer)->encode("aaa"));
}

TEST(TokenizerFile, ATokenOutsideTheByteAlphabetIsOnlyDecoded) {
  // Hugging Face tokenizers 0.23.3: bytes for the first text, 260 for the second.
  auto tokenizer = Tokenizer::parse(small_file([](Json& file) {
                                      file["model"]["ignore_merges"] = true;
                                      file["model"]["vocab"]["\u6F22"] = 258;
                                      file["model"]["vocab"]["a b"] = 259;
                                      file["model"]["vocab"]["\u00E6\u00BC\u00A2x"] = 260;
                                    }),
                                    "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_THAT(t.encode("\u6F22").value(), ElementsAre(0xE6, 0xBC, 0xA2));
  EXPECT_THAT(t.encode("\u6F22x").value(), ElementsAre(260));
  EXPECT_EQ(t.decode(std::vector<int32_t>{258, 259}), "\u6F22a b");
}

TEST(AddedTokens, DecodeToTheirOwnLetters) {
  // Each of these letters stands for another byte in the byte-level alphabet.
  const std::vector<std::string> contents = {"viva\u010D", "caf\u00E9", "\u0111em", "\u0120x",
                                             "\u6F22"};
  auto tokenizer = Tokenizer::parse(
      small_file([&](Json& file) {
        for (const std::string& content : contents) {
          const bool special = content == "caf\u00E9";
          file["added_tokens"].push_back({{"id", 258 + file["added_tokens"].size()},
                                          {"content", content},
                                          {"special", special},
                                          {"normalized", content == "\u0111em"}});
        }
      }),
      "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  std::string all;
  for (size_t i = 0; i < contents.size(); ++i) {
    const auto id = static_cast<int32_t>(258 + i);
    EXPECT_THAT(t.encode(contents[i]).value(), ElementsAre(id));
    EXPECT_EQ(t.bytes(id), contents[i]);
    EXPECT_EQ(t.decode(std::vector<int32_t>{id}, false), contents[i]);
    all += contents[i];
  }
  EXPECT_EQ(t.decode(t.encode(all).value(), false), all);
  // Tokens of the vocabulary are of the alphabet.
  EXPECT_EQ(t.bytes(t.id_of("\u010D").value()), "\r");
  Detokenizer stream(t, /*skip_special=*/false);
  EXPECT_EQ(stream.push(259), "caf\u00E9");
}

TEST(AddedTokens, AnEmptyOneIsPassedOver) {
  auto tokenizer = Tokenizer::parse(
      small_file([](Json& file) {
        file["added_tokens"] =
            Json::array({{{"id", 258}, {"content", ""}}, {{"id", 259}, {"content", "<x>"}}});
      }),
      "small");
  ASSERT_OK(tokenizer.status());
  EXPECT_THAT((*tokenizer)->encode("a<x>").value(), ElementsAre('a', 259));
  EXPECT_EQ((*tokenizer)->decode(std::vector<int32_t>{258, 259}, false), "<x>");
}

TEST(TokenizerFile, DamageIsNamed) {
  const auto expect_error = [](const std::function<void(Json&)>& change, const std::string& words) {
    auto tokenizer = Tokenizer::parse(small_file(change), "file.json");
    ASSERT_FALSE(tokenizer.ok()) << words;
    EXPECT_THAT(tokenizer.status().message(), HasSubstr("file.json"));
    EXPECT_THAT(tokenizer.status().message(), HasSubstr(words));
  };
  expect_error([](Json& f) { f["model"]["type"] = "WordPiece"; }, "WordPiece");
  expect_error([](Json& f) { f["model"].erase("vocab"); }, "vocab is missing");
  expect_error([](Json& f) { f["model"]["vocab"]["a"] = -1; }, "token 'a' is -1");
  expect_error([](Json& f) { f["model"]["vocab"]["a"] = 1e30; }, "token 'a'");
  expect_error([](Json& f) { f["model"]["vocab"]["a"] = 98; }, "id 98 belongs to two tokens");
  expect_error([](Json& f) { f["model"]["merges"][1] = "ab zz"; }, "merge 1: token 'zz'");
  expect_error([](Json& f) { f["model"]["merges"][0] = "a b c"; }, "not a pair");
  expect_error([](Json& f) { f["model"]["merges"][0] = Json::array({"a"}); }, "not a pair");
  expect_error([](Json& f) { f["model"]["merges"] = 3; }, "merges are missing");
  expect_error([](Json& f) { f["model"]["byte_fallback"] = true; }, "byte_fallback");
  expect_error([](Json& f) { f["model"]["dropout"] = 0.1; }, "dropout");
  expect_error([](Json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix");
  expect_error([](Json& f) { f["model"]["unk_token"] = "<unk>"; }, "unk_token '<unk>'");
  expect_error([](Json& f) { f["pre_tokenizer"] = nullptr; }, "no pre_tokenizer");
  expect_error([](Json& f) { f["pre_tokenizer"]["type"] = "Metaspace"; }, "Metaspace");
  expect_error(
      [](Json& f) {
        f["pre_tokenizer"] = {
            {"type", "Split"}, {"pattern", {{"Regex", "("}}}, {"behavior", "Isolated"}};
      },
      "regular expression '('");
  expect_error(
      [](Json& f) {
        f["pre_tokenizer"] = {
            {"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Often"}};
      },
      "behavior is 'Often'");
  expect_error(
      [](Json& f) {
        f["pre_tokenizer"] = {{"type", "Digits"}};
      },
      "does not end with ByteLevel");
  expect_error([](Json& f) { f["normalizer"] = {{"type", "Lowercase"}}; }, "Lowercase");
  expect_error([](Json& f) { f["decoder"] = {{"type", "WordPiece"}}; }, "WordPiece");
  expect_error(
      [](Json& f) {
        f["post_processor"] = {{"type", "TemplateProcessing"},
                               {"single", Json::array({{{"SpecialToken", {{"id", "<s>"}}}}})},
                               {"special_tokens", Json::object()}};
      },
      "special_tokens has no '<s>'");
  expect_error(
      [](Json& f) {
        f["added_tokens"] = Json::array({{{"id", 7}, {"content", "ab"}}});
      },
      "added token 'ab' has id 7, and 256");
  expect_error(
      [](Json& f) {
        f["added_tokens"] = Json::array({{{"id", 300}}});
      },
      "added_tokens[0]");
  expect_error(
      [](Json& f) {
        f["added_tokens"] = Json::array({{{"id", 300}, {"content", nullptr}}});
      },
      "added_tokens[0]: no content");
  EXPECT_FALSE(Tokenizer::parse("{", "file.json").ok());
  EXPECT_FALSE(Tokenizer::parse("[]", "file.json").ok());
  EXPECT_FALSE(Tokenizer::load("/no/such/directory").ok());
}

TEST(BytePairMerging, ALongWordMergesLikeAShortOne) {
  // The heap for long words and the scan for short ones must agree: a word of n pieces that do not
  // merge with each other is n times a short word.
  auto tokenizer = Tokenizer::parse(small_file(), "small");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    std::vector<int32_t> expected;
    const uint64_t pieces = 1 + rng.below(60);
    for (uint64_t i = 0; i < pieces; ++i) {
      constexpr std::string_view kPieces[] = {"abc", "ab", "c", "b"};
      const std::string_view piece = kPieces[rng.below(4)];
      text += piece;
      text += 'x';
      const std::vector<int32_t> ids = t.encode(piece).value();
      expected.insert(expected.end(), ids.begin(), ids.end());
      expected.push_back('x');
    }
    ASSERT_EQ(t.encode(text).value(), expected) << text;
  }
}

TEST(BytePairMerging, AMegabyteOfSpacesTakesNoTime) {
  auto tokenizer = Tokenizer::parse(small_file([](Json& file) {
                                      std::string token = "\u0120";
                                      for (int32_t id = 258; id < 266; ++id) {
                                        file["model"]["merges"].push_back(token + " " + token);
                                        token += token;
                                        file["model"]["vocab"][token] = id;
                                      }
                                    }),
                                    "small");
  ASSERT_OK(tokenizer.status());
  const std::string text(1 << 20, ' ');
  const auto ids = (*tokenizer)->encode(text).value();
  EXPECT_EQ(ids.size(), text.size() / 256);
  EXPECT_EQ((*tokenizer)->decode(ids), text);
}

TEST(Detokenizing, HoldsBackHalfACharacter) {
  auto tokenizer = Tokenizer::parse(small_file(), "small");
  ASSERT_OK(tokenizer.status());
  Detokenizer stream(**tokenizer);
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.push(0x9F), "");
  EXPECT_EQ(stream.push(0x98), "");
  EXPECT_EQ(stream.push(0x80), "\U0001F600");
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_EQ(stream.push('x'), "\uFFFDx");  // can no longer become a character
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Training, LearnsTheFrequentPairsAndRoundTrips) {
  auto trainer = TokenizerTrainer::create({.vocab_size = 300});
  ASSERT_OK(trainer.status());
  for (int i = 0; i < 50; ++i) trainer->add("the cat sat on the mat, the end. 2024 \u00FCber");
  auto file = trainer->train();
  ASSERT_OK(file.status());
  auto tokenizer = Tokenizer::parse(*file, "trained");
  ASSERT_OK(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  EXPECT_EQ(t.id_of("<|endoftext|>"), 0);
  EXPECT_TRUE(t.is_special(0));
  EXPECT_TRUE(t.id_of("\u0120the").has_value());
  EXPECT_LE(t.vocab_size(), 300);
  const std::string text = "the cat, 2024; \u6F22\u5B57 the mat";
  EXPECT_EQ(t.decode(t.encode(text).value()), text);
  EXPECT_EQ(t.encode("2024").value().size(), 4U) << "digits stay alone";
}

TEST(Training, DependsOnTheTextAlone) {
  const auto train = [](bool backwards) {
    auto trainer = TokenizerTrainer::create({.vocab_size = 400}).value();
    std::vector<std::string> texts;
    Rng rng(5);
    for (int i = 0; i < 300; ++i) {
      std::string text;
      for (int j = 0; j < 20; ++j) text += static_cast<char>('a' + rng.below(6));
      texts.push_back(text + " ");
    }
    if (backwards) std::reverse(texts.begin(), texts.end());
    for (const std::string& text : texts) trainer.add(text);
    return trainer.train().value();
  };
  EXPECT_EQ(train(false), train(true));
}

// Merging by the definition: count all pairs afresh each time.
std::vector<std::string> naive_merges(const std::map<std::string, int64_t>& words, size_t count) {
  std::vector<std::pair<std::vector<std::string>, int64_t>> lists;
  for (const auto& [word, n] : words) {
    std::vector<std::string> symbols;
    for (char c : word) symbols.emplace_back(1, c);
    lists.emplace_back(symbols, n);
  }
  std::map<std::string, int32_t> ids;
  for (int c = '!'; c <= '~'; ++c) ids.emplace(std::string(1, static_cast<char>(c)), c);
  std::vector<std::string> merges;
  while (merges.size() < count) {
    std::map<std::pair<int32_t, int32_t>, std::pair<int64_t, std::pair<std::string, std::string>>>
        pairs;
    for (const auto& [symbols, n] : lists) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        auto& entry = pairs[{ids.at(symbols[i]), ids.at(symbols[i + 1])}];
        entry.first += n;
        entry.second = {symbols[i], symbols[i + 1]};
      }
    }
    const auto best =
        std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
          return a.second.first < b.second.first;  // the first of equals has the lowest ids
        });
    if (best == pairs.end() || best->second.first < 2) break;
    const auto [left, right] = best->second.second;
    merges.push_back(left + " " + right);
    ids.emplace(left + right, 1000 + static_cast<int32_t>(ids.size()));
    for (auto& [symbols, n] : lists) {
      std::vector<std::string> next;
      for (size_t i = 0; i < symbols.size(); ++i) {
        if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right) {
          next.push_back(left + right);
          ++i;
        } else {
          next.push_back(symbols[i]);
        }
      }
      symbols = next;
    }
  }
  return merges;
}

TEST(Training, MergesAreThoseOfTheDefinition) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    std::map<std::string, int64_t> words;
    auto trainer =
        TokenizerTrainer::create({.vocab_size = 257 + 40, .special_tokens = {"<e>"}}).value();
    for (int i = 0; i < 40; ++i) {
      std::string word;
      for (uint64_t j = 0; j < 1 + rng.below(9); ++j) word += static_cast<char>('a' + rng.below(3));
      ++words[word];
      trainer.add(word);
    }
    const Json file = Json::parse(trainer.train().value());
    EXPECT_EQ(file["model"]["merges"].get<std::vector<std::string>>(), naive_merges(words, 40))
        << "seed " << seed;
  }
}

TEST(Training, WrongRequestsAreNamed) {
  EXPECT_THAT(TokenizerTrainer::create({.vocab_size = 100}).status().message(),
              HasSubstr("100; expected 257"));
  EXPECT_FALSE(TokenizerTrainer::create({.min_frequency = 0}).ok());
  EXPECT_FALSE(TokenizerTrainer::create({.special_tokens = {"<a>", "<a>"}}).ok());
  auto trainer = TokenizerTrainer::create({});
  ASSERT_OK(trainer.status());
  EXPECT_THAT(trainer->train().status().message(), HasSubstr("no text"));
}

}  // namespace
}  // namespace looplm
