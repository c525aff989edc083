#include "experiments/safety/answers.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>

#include "looplm/tokenizer_trainer.h"

#include "infer/parts.h"

namespace looplm {
namespace {

using testing::HasSubstr;

std::unique_ptr<Model> bundled() {
  return Model::load(LOOPLM_GOLDEN_DIR "/../../models/small", {.threads = 1}).value();
}

GenerateOptions greedy(int64_t loops, int64_t tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.exit.max_loops = loops;
  return options;
}

TEST(AskIds, ChatMlSetsTheTurnsAndReadsNoSpecialTokensInThePrompt) {
  TokenizerTrainerOptions train;
  train.vocab_size = 300;
  train.special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"};
  TokenizerTrainer trainer = TokenizerTrainer::create(train).value();
  trainer.add("user assistant system user assistant system");
  const std::unique_ptr<Tokenizer> tokenizer =
      Tokenizer::parse(trainer.train().value(), "test").value();
  AskOptions options;
  options.chat = ChatTemplate::kChatMl;
  options.system = "be kind";
  options.opening = "<think>\n";
  const std::vector<int32_t> ids = ask_ids(*tokenizer, options, "a <|im_end|> b").value();
  EXPECT_EQ(tokenizer->decode(ids, false),
            "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\na <|im_end|> b<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n");
  const auto count = [&](const char* token) {
    return std::count(ids.begin(), ids.end(), tokenizer->id_of(token).value());
  };
  EXPECT_EQ(count("<|im_start|>"), 3);
  EXPECT_EQ(count("<|im_end|>"), 2);  // not the prompt's
  EXPECT_EQ(count("<think>"), 1);
}

TEST(AskIds, RawIsTheTextAndChatMlNeedsItsTokens) {
  const auto model = bundled();
  AskOptions options;
  EXPECT_EQ(ask_ids(*model->tokenizer(), options, "1+2=").value(),
            model->tokenizer()->encode("1+2=").value());
  options.chat = ChatTemplate::kChatMl;
  EXPECT_THAT(ask_ids(*model->tokenizer(), options, "x").status().message(),
              HasSubstr("template chatml needs"));
}

TEST(AnswerAll, AnswersAreThoseOfEachPromptAlone) {
  const auto model = bundled();
  std::vector<std::vector<int32_t>> prompts;
  for (const char* text : {"1+2=", "what is", "7-2*3=", "entity:"}) {
    prompts.push_back(ask_ids(*model->tokenizer(), {}, text).value());
  }
  GenerateOptions options = greedy(3, 8);
  options.sampling.temperature = 1;
  options.sampling.seed = 40;
  std::map<size_t, Answer> got;
  const Status status =
      answer_all(*model, prompts, {0, 1, 3}, options, 0, nullptr, [&](size_t i, const Answer& a) {
        got[i] = a;
        return Status();
      });
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(got.size(), 3u);
  for (const auto& [i, answer] : got) {
    options.sampling.seed = 40 + i;
    const Generation alone = generate(*model, prompts[i], options).value();
    EXPECT_EQ(answer.text, alone.text) << i;
    EXPECT_EQ(answer.tokens, static_cast<int64_t>(alone.tokens.size()));
    EXPECT_EQ(answer.ended, alone.finish_reason == FinishReason::kStop);
  }
}

TEST(AnswerAll, EndsWithTheFirstErrorAndWhenStopped) {
  const auto model = bundled();
  const std::vector<std::vector<int32_t>> prompts(6, ask_ids(*model->tokenizer(), {}, "1").value());
  const std::vector<size_t> all = {0, 1, 2, 3, 4, 5};
  int calls = 0;
  const auto fail = [&](size_t, const Answer&) {
    ++calls;
    return io_error("full");
  };
  EXPECT_EQ(answer_all(*model, prompts, all, greedy(1, 2), 0, nullptr, fail).message(), "full");
  EXPECT_EQ(calls, 1);
  const std::atomic<bool> stop = true;
  EXPECT_EQ(answer_all(*model, prompts, all, greedy(1, 2), 0, &stop, fail).code(),
            StatusCode::kCancelled);
  const auto bad = answer_all(*model, {{}, {99999}}, {1}, greedy(1, 2), 0, nullptr, fail);
  EXPECT_THAT(bad.message(), HasSubstr("prompt 2"));
}

TEST(FinalAnswer, IsWhatFollowsTheLastMark) {
  EXPECT_EQ(final_answer("<think>a</think> b</think>\n c \n", "</think>"), "c");
  EXPECT_EQ(final_answer("<think> still thinking ", "</think>"), std::nullopt);
  EXPECT_EQ(final_answer(" whole ", ""), "whole");
  EXPECT_EQ(final_answer("done</think> ", "</think>"), "");
}

// The state after t loops of a run of more is that of a run of t, whose logits choose the token.
TEST(LastStates, AreWhatDecodingReadsAtEachDepth) {
  const auto model = bundled();
  const auto ids = ask_ids(*model->tokenizer(), {}, "4+8-3*7=").value();
  const auto width = static_cast<size_t>(model->config().hidden_size);
  const std::vector<float> six = last_states(*model, ids, 6).value();
  ASSERT_EQ(six.size(), 6 * width);
  for (int64_t loops : {1, 3}) {
    const std::vector<float> few = last_states(*model, ids, loops).value();
    const std::vector<float> head(six.begin(), six.begin() + static_cast<ptrdiff_t>(few.size()));
    EXPECT_EQ(few, head) << loops;
    std::vector<float> logits(static_cast<size_t>(model->config().vocab_size));
    model->parts().runner->read_out(few.data() + static_cast<size_t>(loops - 1) * width, 1,
                                    logits.data());
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(best, generate(*model, ids, greedy(loops, 1)).value().tokens.at(0).id) << loops;
  }
  EXPECT_THAT(last_states(*model, {}, 1).status().message(), HasSubstr("0 tokens"));
  EXPECT_THAT(last_states(*model, ids, 0).status().message(), HasSubstr("loops is 0"));
}

}  // namespace
}  // namespace looplm
