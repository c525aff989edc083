#include "model/end_of_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "model/gguf_test_file.h"
#include "model/tokenizer_files.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Ids 0 to 3 are bytes, then come these.
const std::vector<std::string> kSpecial = {"<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>",
                                           "<|return|>"};
constexpr int32_t kFirstSpecial = 4;
constexpr int64_t kVocab = 9;

class EndOfTextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Json file = {{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
                 {"decoder", {{"type", "ByteLevel"}}},
                 {"model", {{"type", "BPE"}, {"merges", Json::array()}}}};
    for (int i = 0; i < kFirstSpecial; ++i) {
      file["model"]["vocab"][std::string(1, static_cast<char>('a' + i))] = i;
    }
    for (size_t i = 0; i < kSpecial.size(); ++i) {
      file["added_tokens"].push_back(
          {{"id", kFirstSpecial + i}, {"content", kSpecial[i]}, {"special", true}});
    }
    // Named by a template below, and no special token.
    file["added_tokens"].push_back({{"id", kVocab}, {"content", "<end_of_turn>"}});
    // In the vocabulary where a test makes it larger.
    file["added_tokens"].push_back({{"id", 10}, {"content", "[|fin|]"}, {"special", true}});
    file["added_tokens"].push_back({{"id", 11}, {"content", "<|eot|>"}});
    tokenizer_ = Tokenizer::parse(file.dump(), "test").value();
    checkpoint_.directory = dir_.file("model");
    std::filesystem::create_directory(checkpoint_.directory);
    checkpoint_.config.vocab_size = kVocab;
  }

  void write(const std::string& name, const std::string& text) {
    ASSERT_OK(write_text_file(dir_.file("model/" + name), text));
  }

  // "5: config.json: eos_token_id; ..." per id.
  std::vector<std::string> ends() {
    const auto found = find_ends_of_text(checkpoint_, tokenizer_.get());
    EXPECT_OK(found.status());
    if (!found.ok()) return {};
    notes_ = found.value().notes;
    std::vector<std::string> all;
    for (const EndOfText& end : found.value().ends) {
      std::string line = std::to_string(end.id);
      for (const std::string& place : end.named_by) line += "; " + place;
      all.push_back(line);
    }
    return all;
  }

  void open_gguf(const std::function<void(GgufTestFile&)>& add) {
    GgufTestFile file;
    add(file);
    write("m.gguf", file.bytes());
    checkpoint_.directory = dir_.file("model/m.gguf");
    checkpoint_.gguf = GgufFile::open(checkpoint_.directory).value();
  }

  TempDir dir_;
  Checkpoint checkpoint_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> notes_;
};

TEST_F(EndOfTextTest, EveryFileIsReadAndSaysWhy) {
  EXPECT_THAT(ends(), ElementsAre());
  checkpoint_.config.eos_token_ids = {4};
  EXPECT_THAT(ends(), ElementsAre("4; config.json: eos_token_id"));
  write("generation_config.json", R"({"eos_token_id": [5, 4]})");
  write("tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
  write("chat_template.jinja", "{{ '<|start|>' + m.content + '<|eot_id|><end_of_turn>' }}");
  EXPECT_THAT(ends(),
              ElementsAre("4; config.json: eos_token_id; generation_config.json: eos_token_id",
                          "5; generation_config.json: eos_token_id; tokenizer_config.json: "
                          "eos_token",
                          "6; chat_template.jinja uses <|eot_id|>"));
  EXPECT_THAT(notes_, ElementsAre());
}

TEST_F(EndOfTextTest, EachFormOfAPlace) {
  write("generation_config.json", R"({"eos_token_id": 6})");
  write("tokenizer_config.json", R"({"eos_token": {"content": "<|endoftext|>", "lstrip": false}})");
  EXPECT_THAT(ends(), ElementsAre("6; generation_config.json: eos_token_id",
                                  "4; tokenizer_config.json: eos_token"));
  write("generation_config.json", R"({"eos_token_id": null})");
  write("tokenizer_config.json",
        R"({"eos_token": null, "chat_template": [{"name": "default", "template": "x<|im_end|>"},
            {"name": "tools", "template": "<|eot_id|>"}]})");
  EXPECT_THAT(ends(), ElementsAre("5; tokenizer_config.json: chat_template uses <|im_end|>",
                                  "6; tokenizer_config.json: chat_template uses <|eot_id|>"));
  write("tokenizer_config.json", R"({"chat_template": "x<|im_end|>"})");
  write("chat_template.json", R"({"chat_template": "<|end|>"})");
  EXPECT_THAT(ends(), ElementsAre("5; tokenizer_config.json: chat_template uses <|im_end|>",
                                  "7; chat_template.json: chat_template uses <|end|>"));
}

TEST_F(EndOfTextTest, TheNextTurnsFirstTokenEndsATurn) {
  checkpoint_.config.vocab_size = 12;
  write("chat_template.jinja",
        "{% for m in messages %}[|fin|]{{ m.role + m.content }}{% endfor %}");
  EXPECT_THAT(ends(), ElementsAre("10; a turn of the chat template ends with it"));
  // The template of an adapter comes in place of the model's.
  const auto found = find_ends_of_text(checkpoint_, tokenizer_.get(), dir_.file("adapter"));
  EXPECT_THAT(found.value().ends, testing::SizeIs(1));
  std::filesystem::create_directory(dir_.file("adapter"));
  ASSERT_OK(write_text_file(dir_.file("adapter/chat_template.jinja"), "{{ messages[0].content }}"));
  const auto adapted = find_ends_of_text(checkpoint_, tokenizer_.get(), dir_.file("adapter"));
  EXPECT_THAT(adapted.value().ends, testing::IsEmpty());
}

TEST_F(EndOfTextTest, GenerationConfigsOtherWishes) {
  const auto texts = [&] { return find_ends_of_text(checkpoint_, tokenizer_.get()).value().texts; };
  write("generation_config.json", R"({"stop_strings": ["###", "\n\n"], "do_sample": true,)"
                                  R"( "top_p": 0.9, "top_k": null, "use_cache": true})");
  EXPECT_THAT(texts(), ElementsAre("###", "\n\n"));
  ends();
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("do_sample, top_p: not obeyed")));
  write("generation_config.json", R"({"stop_strings": "End"})");
  EXPECT_THAT(texts(), ElementsAre("End"));
  write("generation_config.json", R"({"stop_strings": [5]})");
  EXPECT_ERROR_SAYS(find_ends_of_text(checkpoint_, tokenizer_.get()), "generation_config.json",
                    "'stop_strings' is [5]");
  write("generation_config.json", R"({"stop_strings": {"a": "b"}})");
  EXPECT_ERROR_SAYS(find_ends_of_text(checkpoint_, tokenizer_.get()), "'stop_strings' is {");
  write("generation_config.json", R"({"stop_strings": ["", "End"]})");
  EXPECT_THAT(texts(), ElementsAre("End"));
}

TEST_F(EndOfTextTest, WhereAnotherTokenEndsTheTurnEndEndsAMessage) {
  write("chat_template.jinja", "<|start|>assistant<|end|> ... <|return|>");
  EXPECT_THAT(ends(), ElementsAre("8; chat_template.jinja uses <|return|>"));
}

TEST_F(EndOfTextTest, WhatTheTemplateWritesBehindAnAnswerEndsATurnWhateverItsName) {
  checkpoint_.config.vocab_size = 12;
  const std::string turns =
      "{% for m in messages %}{{ m.role + ': ' + m.content }}{% if m.role == 'assistant' %}"
      "[|fin|]<|eot_id|>{% endif %}{{ '\\n' }}{% endfor %}";
  write("chat_template.jinja", turns);
  EXPECT_THAT(ends(), ElementsAre("6; chat_template.jinja uses <|eot_id|>",
                                  "10; a turn of the chat template ends with it"));
  // A template that cannot be read takes nothing away.
  write("chat_template.jinja", turns + "{% nonsense %}");
  EXPECT_THAT(ends(), ElementsAre("6; chat_template.jinja uses <|eot_id|>"));
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("nonsense")));
  // Templates by name.
  std::filesystem::remove(dir_.file("model/chat_template.jinja"));
  write("tokenizer_config.json", R"({"chat_template": {"default": "<|eot_id|>", "x": "<|end|>"}})");
  EXPECT_THAT(ends(), ElementsAre("6; tokenizer_config.json: chat_template uses <|eot_id|>",
                                  "7; tokenizer_config.json: chat_template uses <|end|>"));
}

TEST_F(EndOfTextTest, AnOlderFileNamesTheEndTokenToo) {
  write("special_tokens_map.json", R"({"eos_token": {"content": "<|im_end|>"}})");
  EXPECT_THAT(ends(), ElementsAre("5; special_tokens_map.json: eos_token"));
  EXPECT_EQ(end_token_of(checkpoint_.directory, *tokenizer_).value(), 5);
  write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  EXPECT_THAT(ends(), ElementsAre("4; tokenizer_config.json: eos_token"));
  EXPECT_EQ(end_token_of(checkpoint_.directory, *tokenizer_).value(), 4);
}

TEST_F(EndOfTextTest, ATurnsEndThatTheTokenizerCallsNoSpecialToken) {
  checkpoint_.config.vocab_size = 12;
  write("chat_template.jinja", "<|eot|>");
  EXPECT_THAT(ends(), ElementsAre("11; chat_template.jinja uses <|eot|>"));
}

TEST_F(EndOfTextTest, OnlySpecialTokensOfTheTokenizerCount) {
  write("chat_template.jinja", "<|eom_id|> <end_of_turn> </s> [/INST]");
  EXPECT_THAT(ends(), ElementsAre());
  write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_THAT(ends(), ElementsAre());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("eos_token '</s>' is not a token")));
  write("tokenizer_config.json", R"({"eos_token": "<end_of_turn>"})");
  EXPECT_THAT(ends(), ElementsAre());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("outside the model's vocabulary")));
  tokenizer_ = nullptr;
  write("chat_template.jinja", "<|im_end|>");
  EXPECT_THAT(ends(), ElementsAre());
}

TEST_F(EndOfTextTest, KeysOfAGgufFileAndTheFilesBesideIt) {
  checkpoint_.config.eos_token_ids = {4, 5, 6};  // as gguf_model_config collects them
  open_gguf([](GgufTestFile& file) {
    file.add("tokenizer.ggml.eos_token_id", uint32_t{4});
    file.add("tokenizer.ggml.eot_token_id", uint32_t{5});
    file.add("tokenizer.ggml.eom_token_id", uint32_t{6});
    file.add_text("tokenizer.chat_template", "<|im_end|>");
    file.add_text("tokenizer.chat_template.tool_use", "<|end|>");
  });
  EXPECT_THAT(ends(), ElementsAre("4; tokenizer.ggml.eos_token_id",
                                  "5; tokenizer.ggml.eot_token_id; tokenizer.chat_template uses "
                                  "<|im_end|>",
                                  "6; tokenizer.ggml.eom_token_id",
                                  "7; tokenizer.chat_template.tool_use uses <|end|>"));
  write("generation_config.json", R"({"eos_token_id": 8})");
  EXPECT_THAT(ends(), ::testing::Contains("8; generation_config.json: eos_token_id"));
}

TEST_F(EndOfTextTest, AnOpenGgufFileIsNotReadAgainForItsTemplate) {
  checkpoint_.config.vocab_size = 12;
  open_gguf([](GgufTestFile& file) {
    file.add_text("tokenizer.chat_template",
                  "{% for m in messages %}{{ m.role + ': ' + m.content }}{% if m.role == "
                  "'assistant' %}[|fin|]{% endif %}{{ '\n' }}{% endfor %}");
  });
  std::filesystem::remove(checkpoint_.directory);
  EXPECT_THAT(ends(), ElementsAre("10; a turn of the chat template ends with it"));
  EXPECT_THAT(notes_, ElementsAre());
}

TEST_F(EndOfTextTest, WrongIdsNameFileKeyAndValue) {
  const auto error = [&] { return find_ends_of_text(checkpoint_, tokenizer_.get()); };
  write("generation_config.json", R"({"eos_token_id": [4, 9]})");
  EXPECT_ERROR_SAYS(error(), "model/generation_config.json", "'eos_token_id' is 9", "8");
  write("generation_config.json", R"({"eos_token_id": "5"})");
  EXPECT_ERROR_SAYS(error(), "generation_config.json", "'eos_token_id' is \"5\"");
  write("generation_config.json", R"({"eos_token_id": [null]})");
  EXPECT_ERROR_SAYS(error(), "generation_config.json", "'eos_token_id' holds null");
  write("generation_config.json", "[]");
  EXPECT_ERROR_SAYS(error(), "generation_config.json", "expected a JSON object");
  write("generation_config.json", "{}");
  write("tokenizer_config.json", R"({"eos_token": 5})");
  EXPECT_ERROR_SAYS(error(), "tokenizer_config.json", "'eos_token' is 5");
  write("tokenizer_config.json", "{}");
  open_gguf([](GgufTestFile& file) { file.add("tokenizer.ggml.eot_token_id", uint32_t{9}); });
  EXPECT_ERROR_SAYS(error(), "m.gguf", "'tokenizer.ggml.eot_token_id' is 9");
}

// Where `looplm tokenizer` and `looplm data build` take a tokenizer from.
class TokenizerFiles : public EndOfTextTest {
 protected:
  void open_vocabulary(const char* model) {
    open_gguf([&](GgufTestFile& file) {
      file.add_text("tokenizer.ggml.model", model);
      file.add_text("tokenizer.ggml.pre", "gpt-2");
      file.add_list("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "<|im_end|>"});
      file.add_list("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 3});
      file.add_list("tokenizer.ggml.merges", std::vector<std::string>{});
      file.add("tokenizer.ggml.eos_token_id", uint32_t{2});
    });
  }
};

TEST_F(TokenizerFiles, AGgufFileStandsWhereADirectoryDoes) {
  open_vocabulary("gpt2");
  const std::string path = checkpoint_.directory;
  const auto own = load_tokenizer(path);
  ASSERT_OK(own.status());
  EXPECT_THAT(own.value()->encode("ba<|im_end|>").value(), ElementsAre(1, 0, 2));
  EXPECT_EQ(end_token_of(path, *own.value()).value(), 2);
  // The files beside it count first.
  write("tokenizer.json", R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"a": 5, "b": 6}, "merges": []}})");
  const auto beside = load_tokenizer(path);
  ASSERT_OK(beside.status());
  EXPECT_THAT(beside.value()->encode("ab").value(), ElementsAre(5, 6));
  write("tokenizer_config.json", R"({"eos_token": "b"})");
  EXPECT_EQ(end_token_of(path, *beside.value()).value(), 6);
  EXPECT_THAT(load_tokenizer(dir_.file("model")).value()->encode("b").value(), ElementsAre(6));
}

TEST_F(EndOfTextTest, ALinkToAFileThatIsGoneIsAnError) {
  for (const char* name : {"generation_config.json", "chat_template.jinja"}) {
    const std::string path = dir_.file(std::string("model/") + name);
    std::filesystem::create_symlink("gone", path);
    EXPECT_ERROR_SAYS(find_ends_of_text(checkpoint_, tokenizer_.get()), name, "No such file");
    std::filesystem::remove(path);
  }
}

TEST_F(TokenizerFiles, WhatCannotBeReadIsNamed) {
  open_vocabulary("llama");
  EXPECT_ERROR_SAYS(load_tokenizer(checkpoint_.directory), "m.gguf", "'tokenizer.ggml.model'",
                    "'llama'");
  open_gguf([](GgufTestFile& file) { file.add("other", uint32_t{4}); });
  EXPECT_ERROR_SAYS(load_tokenizer(checkpoint_.directory), "m.gguf", "has no tokenizer");
  EXPECT_ERROR_SAYS(load_tokenizer(dir_.file("none.gguf")), "none.gguf");
  EXPECT_ERROR_SAYS(load_tokenizer(dir_.file("none")), "none/tokenizer.json");
}

}  // namespace
}  // namespace looplm
