// Which pages requests share, wait for, keep and give back.
#include <map>

#include <fmt/format.h>

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class Admission : public testing::Test {
 protected:
  Admission() {
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 6), config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
    page_ = model_->parts().pages.page_bytes();
    planes_ = static_cast<uint64_t>(config_.loops * config_.layers);
  }

  // Random tokens.
  std::vector<int32_t> text(int64_t tokens, uint64_t seed) const {
    return random_ids(tokens, config_.vocab_size, seed);
  }
  static Request request(std::vector<int32_t> prompt, int64_t tokens) {
    Request r;
    r.prompt = std::move(prompt);
    r.options.max_tokens = tokens;
    r.options.ignore_eos = true;
    return r;
  }
  int64_t submit(Engine& engine, Request r) {
    r.done = [this](Generation g) { ended_.push_back(std::move(g)); };
    return engine.submit(std::move(r)).value();
  }
  Generation run(Engine& engine, Request r) {
    const std::string expected = answer_text(generate(*model_, r).value());
    submit(engine, std::move(r));
    engine.run();
    EXPECT_EQ(answer_text(ended_.back()), expected);
    return ended_.back();
  }
  EngineOptions limit(uint64_t pages_per_plane) const {
    EngineOptions options;
    options.kv_bytes = pages_per_plane * planes_ * page_;
    return options;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_;
  uint64_t page_ = 0;
  uint64_t planes_ = 0;
  std::vector<Generation> ended_;
};

// ---- Waiting

TEST_F(Admission, OneThatWaitsLeavesKeptPrefixes) {
  Engine engine(*model_, limit(8));
  run(engine, request(text(64, 1), 1));  // two pages are kept
  submit(engine, request(text(100, 2), 60));
  for (int i = 0; i < 5; ++i) engine.step();
  submit(engine, request(text(160, 3), 60));
  for (int i = 0; i < 20; ++i) engine.step();
  ASSERT_EQ(engine.statistics().waiting, 1);
  EXPECT_EQ(engine.statistics().prefix_bytes, 2 * planes_ * page_);
}

TEST_F(Admission, OneThatIsCancelledWhileItWaitsFlushesNothing) {
  Engine engine(*model_, limit(8));
  run(engine, request(text(64, 1), 1));
  submit(engine, request(text(100, 2), 60));
  engine.step();
  const int64_t waits = submit(engine, request(text(160, 3), 60));
  engine.step();
  ASSERT_EQ(engine.statistics().waiting, 1);
  engine.cancel(waits);
  engine.step();
  EXPECT_EQ(engine.statistics().waiting, 0);
  ASSERT_EQ(ended_.size(), 2u);
  EXPECT_EQ(ended_[1].finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.statistics().prefix_bytes, 2 * planes_ * page_);
}

TEST_F(Admission, ThePrefixThatARequestNeedsMakesNoWayForIt) {
  // Room for four pages: two old ones, and two that the request begins with.
  Engine engine(*model_, limit(4));
  const std::vector<int32_t> prefix = text(65, 1);
  run(engine, request(prefix, 1));
  run(engine, request(text(64, 2), 1));
  // The one used longer ago is wanted; only the other may go.
  std::vector<int32_t> longer = prefix;
  for (int32_t id : text(30, 3)) longer.push_back(id);
  const Generation g = run(engine, request(longer, 20));
  EXPECT_EQ(g.statistics.cached_prompt_tokens, 64);
}

TEST_F(Admission, ManyMayWait) {
  Engine engine(*model_, limit(3));
  std::vector<int64_t> ids;
  for (int i = 0; i < 3000; ++i) {
    ids.push_back(submit(engine, request(text(20, static_cast<uint64_t>(i)), 60)));
  }
  engine.step();
  EXPECT_EQ(engine.statistics().waiting, 2999);
  for (const int64_t id : ids) engine.cancel(id);
  engine.run();
  EXPECT_EQ(ended_.size(), 3000u);
}

// ---- What is reserved

TEST_F(Admission, AKvPolicyIsChargedWhatItKeeps) {
  // 10 + 99 positions: four pages per plane.
  const auto pages = [&](KvPolicy kv, PromptKv prompt_kv, int64_t prompt) {
    Request r = request(text(prompt, 1), 100);
    r.options.kv = kv;
    r.options.prompt_kv = prompt_kv;
    for (uint64_t pages_per_layer = 1;; ++pages_per_layer) {
      EngineOptions options;
      options.kv_bytes = pages_per_layer * static_cast<uint64_t>(config_.layers) * page_;
      Engine engine(*model_, options);
      if (!engine.submit(r).ok()) continue;
      // And that is enough.
      std::optional<Generation> got;
      Engine exact(*model_, options);
      r.done = [&](Generation g) { got = std::move(g); };
      EXPECT_OK(exact.submit(r));
      while (exact.step()) EXPECT_LE(exact.statistics().kv_bytes, options.kv_bytes);
      r.done = {};
      EXPECT_EQ(answer_text(*got), answer_text(generate(*model_, r).value()));
      return pages_per_layer;
    }
  };
  EXPECT_EQ(pages(KvPolicy::kFull, PromptKv::kEveryLoop, 10), 12u);
  EXPECT_EQ(pages(KvPolicy::kLastExited, PromptKv::kEveryLoop, 10), 12u);
  EXPECT_EQ(pages(KvPolicy::kLast, PromptKv::kEveryLoop, 10), 4u);
  EXPECT_EQ(pages(KvPolicy::kLast, PromptKv::kAsDecoded, 10), 4u);
  EXPECT_EQ(pages(KvPolicy::kFirst, PromptKv::kEveryLoop, 64), 7u);
  EXPECT_EQ(pages(KvPolicy::kMean, PromptKv::kEveryLoop, 64), 9u);
  EXPECT_EQ(pages(KvPolicy::kMean, PromptKv::kAsDecoded, 64), 6u);
}

TEST_F(Admission, WhoNeedsNoWorstCaseRunsBesideOthers) {
  // Each could come to four pages per plane, and stops long before.
  Engine engine(*model_, limit(6));
  for (uint64_t i = 0; i < 3; ++i) {
    Request r = request(text(20, i), 100);
    const Generation alone = generate(*model_, r).value();
    r.options.stop_ids = {alone.tokens[6].id};
    submit(engine, std::move(r));
  }
  engine.step();
  EXPECT_EQ(engine.statistics().running, 3);
  engine.run();
  EXPECT_EQ(engine.statistics().preemptions, 0);
}

TEST_F(Admission, WhatMakesWayIsComputedAgainWithTheSameTokens) {
  Engine engine(*model_, limit(6));
  std::vector<std::string> expected;
  std::map<int64_t, std::string> got;
  for (uint64_t i = 0; i < 3; ++i) {
    for (const KvPolicy kv : {KvPolicy::kFull, KvPolicy::kLastExited, KvPolicy::kMean}) {
      Request r = request(text(20, i), 100);
      r.options.kv = kv;
      r.options.exit = {ExitKind::kGate, 0.6, 1, 0};
      r.options.sampling.temperature = 0.8;
      r.options.sampling.frequency_penalty = 0.3;
      const auto index = static_cast<int64_t>(expected.size());
      expected.push_back(answer_text(generate(*model_, r).value()));
      r.done = [&got, index](const Generation& g) { got[index] = answer_text(g); };
      ASSERT_OK(engine.submit(std::move(r)));
    }
  }
  while (engine.step()) ASSERT_LE(engine.statistics().kv_bytes, limit(6).kv_bytes);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(got[static_cast<int64_t>(i)], expected[i]);
  EXPECT_GT(engine.statistics().preemptions, 2);
}

// ---- What is kept

TEST_F(Admission, TheNextTurnFindsTheWholePast) {
  Engine engine(*model_);
  std::vector<int32_t> chat = text(50, 1);
  int64_t computed = 0;
  for (uint64_t turn = 0; turn < 4; ++turn) {
    const Generation g = run(engine, request(chat, 40));
    EXPECT_EQ(g.statistics.cached_prompt_tokens, computed / kPagePositions * kPagePositions);
    for (const GeneratedToken& t : g.tokens) chat.push_back(t.id);
    computed = static_cast<int64_t>(chat.size()) - 1;  // the last token was not read
    for (int32_t id : text(5, 10 + turn)) chat.push_back(id);
  }
}

TEST_F(Admission, AShortAnswerThatEndedEarlyIsKeptToo) {
  // It ends before its prompt's last positions have run all their loops.
  Engine engine(*model_);
  Request r = request(text(64, 1), 20);
  r.options.exit = {ExitKind::kGate, 0.01, 1, 0};
  const Generation whole = generate(*model_, r).value();
  ASSERT_EQ(whole.tokens[0].loops, 1);
  r.options.stop_ids = {whole.tokens[0].id};
  EXPECT_EQ(run(engine, r).tokens.size(), 1u);
  EXPECT_EQ(engine.statistics().prefix_bytes, 2 * planes_ * page_);
  EXPECT_EQ(engine.statistics().kv_bytes, 2 * planes_ * page_);
  r.prompt.push_back(5);
  EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 64);
}

TEST_F(Admission, WhatMoreLoopsHaveComputedServesFewer) {
  Engine engine(*model_);
  Request r = request(text(70, 1), 5);
  r.options.exit.max_loops = 4;
  EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 0);
  for (const int64_t loops : {4, 3, 1}) {
    r.options.exit.max_loops = loops;
    EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 64);
  }
  r.options.exit.max_loops = 5;
  EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 0);
  EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 64);
}

TEST_F(Admission, TenantsShareNothing) {
  Engine engine(*model_);
  Request r = request(text(70, 1), 5);
  for (const char* tenant : {"", "a", "b"}) {
    r.tenant = tenant;
    EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 0);
    EXPECT_EQ(run(engine, r).statistics.cached_prompt_tokens, 64);
  }
  // Nor do those that come together.
  Engine together(*model_);
  for (const char* tenant : {"a", "b"}) {
    r.tenant = tenant;
    submit(together, r);
  }
  together.run();
  EXPECT_EQ(together.statistics().shared_prompt_tokens, 0);
}

TEST_F(Admission, SamplesOfOnePromptComputeItOnce) {
  Engine engine(*model_);
  const int64_t samples = 5, tokens = 12;
  Request r = request(text(77, 1), tokens);
  r.options.sampling.temperature = 1;
  std::vector<std::string> expected;
  std::map<uint64_t, std::string> got;
  for (uint64_t seed = 0; seed < samples; ++seed) {
    r.options.sampling.seed = seed;
    expected.push_back(answer_text(generate(*model_, r).value()));
    Request sample = r;
    sample.done = [&got, seed](const Generation& g) { got[seed] = answer_text(g); };
    ASSERT_OK(engine.submit(std::move(sample)));
  }
  engine.run();
  for (uint64_t seed = 0; seed < samples; ++seed) EXPECT_EQ(got[seed], expected[seed]) << seed;
  const EngineStatistics s = engine.statistics();
  EXPECT_EQ(s.prompt_tokens, samples * 77);
  EXPECT_EQ(s.shared_prompt_tokens, (samples - 1) * 76);
  // The prompt once, its last position for each, and the output.
  EXPECT_EQ(s.lanes, config_.loops * (76 + samples * tokens));
}

TEST_F(Admission, WhoFollowsGoesOnWhenTheLeaderLeaves) {
  Engine engine(*model_);
  Request r = request(text(200, 1), 6);
  r.options.prompt_chunk = 20;
  const std::string expected = answer_text(generate(*model_, r).value());
  const int64_t leader = submit(engine, r);
  for (int i = 0; i < 3; ++i) submit(engine, r);
  for (int i = 0; i < 4; ++i) engine.step();
  engine.cancel(leader);
  engine.run();
  ASSERT_EQ(ended_.size(), 4u);
  EXPECT_EQ(ended_[0].finish_reason, FinishReason::kCancelled);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(answer_text(ended_[i]), expected);
  // The pages that the leader had computed, and the rest by the first of those that followed it.
  EXPECT_EQ(engine.statistics().shared_prompt_tokens + engine.statistics().cached_prompt_tokens,
            2 * 199 + ended_[1].statistics.cached_prompt_tokens);
}

}  // namespace
}  // namespace looplm
