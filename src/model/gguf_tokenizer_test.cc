#include "model/gguf_tokenizer.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "looplm/tokenizer.h"

#include "base/file.h"
#include "base/json.h"
#include "model/gguf_test_file.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

using ::testing::HasSubstr;

std::string tokenizer_golden(const std::string& name) {
  return std::string(LOOPLM_GOLDEN_DIR) + "/" + name;
}

// What a converter keeps of a tokenizer.json: the keys, to be changed before they are written.
struct Keys {
  std::string model = "gpt2";
  std::string pre;
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::function<void(GgufTestFile&)> more = [](GgufTestFile&) {};

  GgufTestFile file() const {
    GgufTestFile out;
    out.add_text("tokenizer.ggml.model", model);
    if (!pre.empty()) out.add_text("tokenizer.ggml.pre", pre);
    out.add_list("tokenizer.ggml.tokens", tokens);
    out.add_list("tokenizer.ggml.token_type", types);
    out.add_list("tokenizer.ggml.merges", merges);
    more(out);
    return out;
  }
};

Keys keys_of(const Json& file, const std::string& pre) {
  Keys keys;
  keys.pre = pre;
  const auto put = [&](const std::string& text, int32_t id, int32_t type) {
    if (static_cast<size_t>(id) >= keys.tokens.size()) {
      keys.tokens.resize(static_cast<size_t>(id) + 1);
      keys.types.resize(keys.tokens.size(), 1);
    }
    keys.tokens[static_cast<size_t>(id)] = text;
    keys.types[static_cast<size_t>(id)] = type;
  };
  for (const auto& [text, id] : file["model"]["vocab"].items()) put(text, id.get<int32_t>(), 1);
  for (const Json& token : file["added_tokens"]) {
    put(token["content"].get<std::string>(), token["id"].get<int32_t>(),
        token["special"].get<bool>() ? 3 : 4);
  }
  for (size_t i = 0; i < keys.tokens.size(); ++i) {  // gaps, as a converter fills them
    if (!keys.tokens[i].empty()) continue;
    keys.tokens[i] = "[PAD" + std::to_string(i) + "]";
    keys.types[i] = 5;
  }
  for (const Json& merge : file["model"]["merges"]) {
    keys.merges.push_back(merge.is_string()
                              ? merge.get<std::string>()
                              : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return keys;
}

Result<std::string> json_of(const GgufTestFile& file, int64_t vocab_size = 1 << 20) {
  const std::string bytes = file.bytes();
  LOOPLM_ASSIGN_OR_RETURN(const GgufHeader header,
                          parse_gguf(std::as_bytes(std::span(bytes)), "test"));
  return gguf_tokenizer_json(header.metadata, vocab_size);
}

std::vector<std::string> tricky_texts() {
  std::vector<std::string> texts = {
      "",
      " ",
      "   three  spaces ",
      "\n\n\t tabs\r\n and lines\n",
      "I'll say we've can't DON'T it's 'tis",
      "1234567 3.14159 1,000 v2 x86_64",
      "na\u00efve caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m A\u030a",
      "\u65e5\u672c\u8a9e\u306e\u6587 \ud55c\uad6d\uc5b4 \u0663\u0664\u0665",
      "\U0001F468\u200d\U0001F469\u200d\U0001F467 \U0001F600\ufe0f",
      "a\u00a0b\u2003c\u3000d",
      "<|endoftext|>in<|im_start|>side<|im_end|><|begin_of_text|>",
      "broken \xff\xc3 bytes",
      "for (int i = 0; i < n; ++i) {\n    sum += a[i];\n}\n",
      "!!!???...---===>>>",
  };
  const Json atoms = read_json_file(tokenizer_golden("text/atoms.json")).value();
  std::string all;  // every awkward string of the tokenizers' golden lines, glued in turn
  for (const Json& group : atoms) {
    for (const Json& atom : group) all += atom.get<std::string>();
    texts.push_back(all);
    all = " ";
  }
  return texts;
}

struct Case {
  const char* golden;
  const char* pre;
};

class GgufTokenizer : public testing::TestWithParam<Case> {};

TEST_P(GgufTokenizer, GivesTheIdsOfTheFileItCameFrom) {
  Json original =
      read_json_file(tokenizer_golden(std::string("text/") + GetParam().golden + "/tokenizer.json"))
          .value();
  // Flags that the format has no place for.
  for (Json& token : original["added_tokens"]) {
    for (const char* flag : {"lstrip", "rstrip", "single_word", "normalized"}) token[flag] = false;
  }
  Keys keys = keys_of(original, GetParam().pre);
  const bool prefix = std::string(GetParam().golden) == "prefix";
  keys.more = [&](GgufTestFile& file) {
    file.add("tokenizer.ggml.bos_token_id", uint32_t{0});
    if (prefix) file.add_flag("tokenizer.ggml.add_space_prefix", true);
  };
  const Result<std::string> json = json_of(keys.file());
  ASSERT_OK(json);
  const auto expected = Tokenizer::parse(original.dump(), "original").value();
  const auto actual = Tokenizer::parse(json.value(), "gguf").value();
  EXPECT_EQ(actual->vocab_size(), expected->vocab_size());
  for (const std::string& text : tricky_texts()) {
    for (const bool special : {false, true}) {
      const EncodeOptions options = {.as = special ? EncodeAs::kDocument : EncodeAs::kContinuation,
                                     .parse_special = special};
      const std::vector<int32_t> ids = expected->encode(text, options).value();
      EXPECT_EQ(actual->encode(text, options).value(), ids) << text;
      EXPECT_EQ(actual->decode(ids, special), expected->decode(ids, special)) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GgufTokenizer,
                         testing::Values(Case{"smollm", "smollm"}, Case{"gpt2", "gpt-2"},
                                         Case{"prefix", "gpt-2"}, Case{"llama3", "llama-bpe"},
                                         Case{"qwen", "qwen2"}),
                         [](const auto& instance) { return std::string(instance.param.golden); });

class GgufTokenizerKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int byte = 0; byte < 4; ++byte)
      keys_.tokens.emplace_back(1, static_cast<char>('a' + byte));
    keys_.tokens.emplace_back("ab");
    keys_.tokens.emplace_back("<eos>");
    keys_.types = {1, 1, 1, 1, 1, 3};
    keys_.merges = {"a b"};
    keys_.pre = "smollm";
  }
  Result<std::string> json(int64_t vocab_size = 6) const {
    return json_of(keys_.file(), vocab_size);
  }

  Keys keys_;
};

TEST_F(GgufTokenizerKeys, IdsGoAroundATextAsTheKeysSay) {
  keys_.more = [](GgufTestFile& file) {
    file.add("tokenizer.ggml.bos_token_id", uint32_t{3});
    file.add("tokenizer.ggml.eos_token_id", uint32_t{5});
    file.add_flag("tokenizer.ggml.add_bos_token", true);
    file.add_flag("tokenizer.ggml.add_eos_token", true);
  };
  const auto tokenizer = Tokenizer::parse(json().value(), "gguf").value();
  EXPECT_THAT(tokenizer->encode("abc", {.as = EncodeAs::kDocument}).value(),
              testing::ElementsAre(3, 4, 2, 5));
  EXPECT_THAT(tokenizer->encode("abc", {.as = EncodeAs::kContinuation}).value(),
              testing::ElementsAre(4, 2));
  EXPECT_TRUE(tokenizer->is_special(5));
}

TEST_F(GgufTokenizerKeys, UnusedTokensStandForNothing) {
  keys_.types[4] = 5;
  keys_.merges.clear();
  const auto tokenizer = Tokenizer::parse(json().value(), "gguf").value();
  EXPECT_THAT(tokenizer->encode("ab").value(), testing::ElementsAre(0, 1));
  EXPECT_EQ(tokenizer->bytes(4), "");
}

TEST_F(GgufTokenizerKeys, WithoutAModelThereIsNone) {
  EXPECT_EQ(json_of(GgufTestFile()).value(), "");
  keys_.model = "no_vocab";
  EXPECT_EQ(json().value(), "");
}

TEST_F(GgufTokenizerKeys, WhatIsNotReadIsNamed) {
  keys_.pre = "tekken";
  EXPECT_EQ(json().status().code(), StatusCode::kUnsupported);
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.pre' is 'tekken'", "smollm");
  keys_.pre = "";
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.pre' is missing");
  keys_.model = "llama";
  EXPECT_EQ(json().status().code(), StatusCode::kUnsupported);
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.model' is 'llama'", "'gpt2'");
}

TEST_F(GgufTokenizerKeys, DamageIsNamed) {
  const Keys sound = keys_;
  EXPECT_ERROR_SAYS(json(5), "'tokenizer.ggml.tokens' is a list of 6; expected 1 to 5");
  keys_.types.pop_back();
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.token_type' is a list of 5; expected 6");
  keys_ = sound;
  keys_.types[2] = 9;
  EXPECT_ERROR_SAYS(json(), "type 2 of key 'tokenizer.ggml.token_type' is 9; expected 0 to 5");
  keys_ = sound;
  keys_.tokens[3] = "b";
  EXPECT_ERROR_SAYS(json(), "tokens 1 and 3 of key 'tokenizer.ggml.tokens' are both 'b'");
  keys_.tokens[3] = "\xff";
  EXPECT_ERROR_SAYS(json(), "token 3 of key 'tokenizer.ggml.tokens' is not UTF-8");
  keys_ = sound;
  keys_.merges[0] = "a \xff";
  EXPECT_ERROR_SAYS(json(), "merge 0 of key 'tokenizer.ggml.merges' is not UTF-8");
  keys_.merges[0] = "a x";
  EXPECT_ERROR_SAYS(Tokenizer::parse(json().value(), "gguf"), "merge 0", "'x'");
  keys_ = sound;
  keys_.more = [](GgufTestFile& file) { file.add_flag("tokenizer.ggml.add_bos_token", true); };
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.bos_token_id' is missing");
  keys_.more = [](GgufTestFile& file) {
    file.add("tokenizer.ggml.eos_token_id", uint32_t{6});
    file.add_flag("tokenizer.ggml.add_eos_token", true);
  };
  EXPECT_ERROR_SAYS(json(), "'tokenizer.ggml.eos_token_id' is 6; expected an integer from 0 to 5");
  GgufTestFile lists;
  lists.add_text("tokenizer.ggml.model", "gpt2");
  lists.add_text("tokenizer.ggml.pre", "smollm");
  EXPECT_ERROR_SAYS(json_of(lists), "'tokenizer.ggml.tokens' is missing");
  GgufTestFile numbers = lists;
  numbers.add_list("tokenizer.ggml.tokens", std::vector<int32_t>{1, 2});
  EXPECT_ERROR_SAYS(json_of(numbers), "'tokenizer.ggml.tokens' is a list of 2", "list of strings");
  lists.add_list("tokenizer.ggml.tokens", keys_.tokens);
  EXPECT_ERROR_SAYS(json_of(lists), "'tokenizer.ggml.merges' is missing");
}

// Written by llama.cpp's own Python package.
TEST(GgufTokenizerFile, PublishedWritersGiveTheTokenizerOfTheDirectory) {
  const Result<GgufFile> file = GgufFile::open(tokenizer_golden("gguf/tokenizer.gguf"));
  ASSERT_OK(file);
  const Result<std::string> json = gguf_tokenizer_json(file.value().metadata(), 1500);
  ASSERT_OK(json);
  const auto actual = Tokenizer::parse(json.value(), "gguf").value();
  const auto expected = Tokenizer::load(tokenizer_golden("text/smollm")).value();
  for (const std::string& text : tricky_texts()) {
    EXPECT_EQ(actual->encode(text).value(), expected->encode(text).value()) << text;
  }
}

}  // namespace
}  // namespace looplm
