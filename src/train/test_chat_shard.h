// Chats built into a shard with a small tokenizer, for tests.
#pragma once

#include <fstream>

#include "looplm/tokenizer_trainer.h"

#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/chat_example.h"
#include "train/shard_builder.h"
#include "train/token_shard.h"

namespace looplm {

inline constexpr const char* kMarked =
    "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
inline constexpr const char* kUnmarked =
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

class ChatExampleTest : public testing::Test {
 protected:
  void SetUp() override {
    TokenizerTrainerOptions options;
    options.vocab_size = 270;
    options.special_tokens = {"<|end|>"};
    auto trainer = std::move(TokenizerTrainer::create(options).value());
    for (int i = 0; i < 20; ++i) trainer.add("the cat and the dog");
    json_ = trainer.train().value();
    tokenizer_ = Tokenizer::parse(json_, "test").value();
    end_token_ = tokenizer_->id_of("<|end|>");
  }
  // The same vocabulary without the token of one byte, by its name in the file.
  std::string vocabulary_without(const std::string& name) const {
    OrderedJson file = OrderedJson::parse(json_);
    EXPECT_EQ(file["model"]["vocab"].erase(name), 1u);
    return file.dump();
  }
  Result<ChatTemplate> chat(const std::string& text) const {
    ChatFiles files;
    if (!text.empty()) files.templates.push_back({"default", text});
    if (!eos_token_.empty()) files.tokens.emplace("eos_token", eos_token_);
    return ChatTemplate::create(files, *tokenizer_);
  }
  // Each document with what is learnt in braces.
  std::string built(const std::string& lines, const std::string& text, int threads = 2) {
    const std::string path = dir_.file("a.jsonl");
    std::ofstream(path, std::ios::binary) << lines;
    const Result<ChatTemplate> chat_template = chat(text);
    ShardBuildOptions options;
    options.chat = &chat_template;
    options.end_token = end_token_;
    options.skip_bad = skip_bad_;
    options.allow_loss = allow_loss_;
    ThreadPool pool(threads);
    auto summary = build_shards({path}, *tokenizer_, options, dir_.file("x"), "", pool);
    if (!summary.ok()) return summary.status().message();
    skipped_ = summary->skipped_documents;
    lost_bytes_ = summary->lost_bytes;
    without_reasoning_ = summary->without_reasoning;
    without_end_ = summary->without_end;
    plain_prompts_ = summary->plain_prompts;
    auto shard = TokenShard::open(dir_.file("x"));
    std::string out;
    for (int64_t d = 0; d < shard->documents(); ++d) {
      std::vector<int32_t> ids(static_cast<size_t>(shard->document_length(d)));
      EXPECT_OK(shard->read(d, 0, ids));
      bool learnt = false;
      for (size_t i = 0; i <= ids.size(); ++i) {
        const bool now = i < ids.size() && shard->is_learnt(d, static_cast<int64_t>(i));
        if (now != learnt) out += now ? "{" : "}";
        learnt = now;
        if (i < ids.size()) out += tokenizer_->bytes(ids[i]);
      }
    }
    return out;
  }

  TempDir dir_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string json_, eos_token_;
  std::optional<int32_t> end_token_;
  bool skip_bad_ = false;
  bool allow_loss_ = false;
  int64_t lost_bytes_ = 0;
  int64_t skipped_ = 0;
  int64_t without_reasoning_ = 0;
  int64_t without_end_ = 0;
  int64_t plain_prompts_ = 0;
};

inline constexpr const char* kChat =
    R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},)"
    R"( {"role": "user", "content": "so"}, {"role": "assistant", "content": "no"}]})";

}  // namespace looplm
