// What a plan reads: against a plain reading of the same text, bit for bit, in every mode.
#include "looplm/read_out.h"

#include <cmath>

#include <fmt/format.h>

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "model/exit_distribution.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class ReadOutPlans : public testing::Test {
 protected:
  ReadOutPlans() {
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 6), config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
  }

  Request request(int64_t tokens) const {
    Request r;
    r.prompt = prompt_;
    r.options.max_tokens = tokens;
    r.options.ignore_eos = true;
    return r;
  }

  // Every loop's logits, states and gates of a text.
  PromptResult plain(std::span<const int32_t> text, int64_t loops) {
    return read_prompt(*model_->parts().runner, model_->parts().pages, text, loops, 256);
  }

  void expect_reading(const LoopReading& r, const PromptResult& text, int64_t tokens,
                      int64_t position, std::optional<int32_t> next) const {
    const auto row = static_cast<size_t>((r.loop - 1) * tokens + position);
    const auto v = static_cast<size_t>(config_.vocab_size);
    const auto e = static_cast<size_t>(config_.hidden_size);
    const std::span<const float> logits = {&text.logits[row * v], v};
    const LogitSummary summary = summarize(logits);
    if (next) {
      const float expected = summary.log_probability(logits[static_cast<size_t>(*next)]);
      EXPECT_TRUE(same_bits({&r.log_probability, 1}, {&expected, 1}));
    } else {
      EXPECT_TRUE(std::isnan(r.log_probability));
    }
    EXPECT_EQ(r.best, summary.best);
    EXPECT_EQ(r.entropy, summary.entropy);
    EXPECT_EQ(r.margin, summary.margin());
    EXPECT_TRUE(same_bits({&r.gate_logit, 1}, {&text.gate[row], 1}));
    EXPECT_TRUE(same_bits(r.state, {&text.normed[row * e], e}));
    ASSERT_EQ(r.top.size(), 3u);
    EXPECT_EQ(r.top[0].id, r.best);
    for (size_t k = 0; k + 1 < 3; ++k) {
      EXPECT_GE(r.top[k].log_probability, r.top[k + 1].log_probability);
    }
    for (const TopToken& t : r.top) {
      EXPECT_EQ(t.log_probability, summary.log_probability(logits[static_cast<size_t>(t.id)]));
    }
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_;
  std::vector<int32_t> prompt_ = random_ids(41, config_.vocab_size, 4);
};

// Exits and speculation that keep all planes: every loop of every position is computed.
TEST_F(ReadOutPlans, EveryLoopOfPromptAndOutputIsThatOfReadingTheText) {
  std::vector<GenerateOptions> modes(5, request(12).options);
  modes[1].exit = {ExitKind::kGate, 0.55, 1, 4};
  modes[2].exit = {ExitKind::kMargin, 0.2, 1, 0};
  modes[2].speculate = {CommitKind::kLoop, 1};
  modes[3].speculate = {CommitKind::kMargin, 0.1};
  modes[3].sampling.temperature = 0.9;
  modes[4].read_out = ReadOut::kWeighted;
  for (size_t m = 0; m < modes.size(); ++m) {
    SCOPED_TRACE(m);
    Request r = request(12);
    r.options = modes[m];
    const Generation without = generate(*model_, r).value();
    r.options.plan = {.prompt = ReadLoops::kEvery,
                      .first = 7,
                      .output = ReadLoops::kEvery,
                      .top = 3,
                      .states = true};
    std::vector<int32_t> reported;
    r.callbacks.token = [&](const GeneratedToken& t) {
      reported.push_back(t.id);
      EXPECT_FALSE(t.readings.empty()) << "a token was reported before its readings";
      return true;
    };
    const Generation g = generate(*model_, r).value();
    const int64_t loops = r.options.exit.max_loops == 0 ? config_.loops : r.options.exit.max_loops;
    std::vector<int32_t> text = prompt_;
    for (const GeneratedToken& t : g.tokens) text.push_back(t.id);
    const auto tokens = static_cast<int64_t>(text.size());
    const PromptResult expected = plain(text, loops);

    ASSERT_EQ(g.prompt.size(), prompt_.size() - 7);
    ASSERT_EQ(g.tokens.size(), 12u);
    EXPECT_EQ(reported.size(), 12u);
    for (int64_t position = 7; position + 1 < tokens; ++position) {
      SCOPED_TRACE(position);
      const bool of_prompt = position < 41;
      const auto output = static_cast<size_t>(position - 40);
      const std::vector<LoopReading>& readings =
          of_prompt ? g.prompt[static_cast<size_t>(position - 7)].loops : g.tokens[output].readings;
      if (of_prompt) {
        EXPECT_EQ(g.prompt[static_cast<size_t>(position - 7)].position, position);
      }
      ASSERT_EQ(readings.size(), static_cast<size_t>(loops));
      double sum = 0;
      for (int64_t t = 0; t < loops; ++t) {
        const LoopReading& reading = readings[static_cast<size_t>(t)];
        EXPECT_EQ(reading.loop, t + 1);
        expect_reading(reading, expected, tokens, position,
                       text[static_cast<size_t>(position + 1)]);
        sum += reading.exit_probability;
      }
      EXPECT_NEAR(sum, 1, 1e-12);
    }
    // The plan changes no token, and no pass of it.
    for (size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(g.tokens[i].id, without.tokens[i].id);
      EXPECT_EQ(g.tokens[i].loops, without.tokens[i].loops);
    }
    EXPECT_EQ(g.text, without.text);
  }
}

TEST_F(ReadOutPlans, ExitReadingsArePredictionsAtThatExit) {
  std::vector<GenerateOptions> modes(4, request(1).options);
  modes[1].exit = {ExitKind::kGate, 0.55, 1, 0};
  modes[2].exit = {ExitKind::kEntropy, 2.5, 1, 4};
  modes[3].read_out = ReadOut::kWeighted;
  for (size_t m = 0; m < modes.size(); ++m) {
    SCOPED_TRACE(m);
    Request r = request(6);
    r.options = modes[m];
    r.options.max_tokens = 6;
    r.options.plan = {.prompt = ReadLoops::kExit, .output = ReadLoops::kExit, .top = 61};
    const Generation g = generate(*model_, r).value();
    ASSERT_EQ(g.prompt.size(), 41u);
    std::vector<int32_t> text = prompt_;
    for (const GeneratedToken& t : g.tokens) text.push_back(t.id);
    for (size_t position = 0; position < 46; ++position) {
      const std::vector<LoopReading>& readings =
          position < 41 ? g.prompt[position].loops : g.tokens[position - 40].readings;
      ASSERT_EQ(readings.size(), 1u);
      Request next = r;
      next.options = modes[m];
      next.prompt.assign(text.begin(), text.begin() + static_cast<ptrdiff_t>(position + 1));
      const Generation alone = generate(*model_, next).value();
      EXPECT_EQ(readings[0].loop, alone.tokens[0].loops);
      EXPECT_EQ(readings[0].top[0].log_probability, alone.tokens[0].log_probability);
      EXPECT_EQ(readings[0].best, alone.tokens[0].id);
      const auto of_next = [&](const TopToken& t) { return t.id == text[position + 1]; };
      const auto listed = std::ranges::find_if(readings[0].top, of_next);
      EXPECT_EQ(readings[0].log_probability, listed->log_probability);
    }
  }
}

TEST_F(ReadOutPlans, CheapExitsReadTheLoopsThatRun) {
  for (KvPolicy kv : {KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kLastExited}) {
    Request r = request(15);
    r.options.kv = kv;
    r.options.exit = {ExitKind::kGate, 0.55, 1, 0};
    r.options.plan = {.prompt = ReadLoops::kEvery, .output = ReadLoops::kEvery};
    const Generation g = generate(*model_, r).value();
    for (const PositionReading& p : g.prompt) EXPECT_EQ(p.loops.size(), 3u);
    int64_t early = 0;
    for (size_t i = 1; i < g.tokens.size(); ++i) {
      const GeneratedToken& t = g.tokens[i];
      ASSERT_EQ(t.readings.size(), static_cast<size_t>(t.loops));
      EXPECT_EQ(t.readings.back().log_probability, t.log_probability);
      early += t.loops < config_.loops;
    }
    EXPECT_GT(early, 0);
  }
}

TEST_F(ReadOutPlans, APromptAloneIsReadWithoutTokens) {
  Request r = request(0);
  r.options.plan = {.prompt = ReadLoops::kEvery, .first = 40};
  const Generation g = generate(*model_, r).value();
  EXPECT_TRUE(g.tokens.empty());
  ASSERT_EQ(g.prompt.size(), 1u);
  EXPECT_EQ(g.prompt[0].loops.size(), 3u);
  EXPECT_TRUE(std::isnan(g.prompt[0].loops[0].log_probability));
  EXPECT_EQ(g.finish_reason, FinishReason::kLength);
}

TEST_F(ReadOutPlans, ReadPositionsAreComputedAndThoseBeforeThemNeedNotBe) {
  Engine engine(*model_);
  const auto run = [&](int64_t first) {
    Request r = request(2);
    r.prompt = random_ids(100, config_.vocab_size, 4);
    r.options.plan = {.prompt = ReadLoops::kExit, .first = first};
    const std::string expected = answer_text(generate(*model_, r).value());
    int64_t cached = 0;
    r.done = [&](const Generation& g) {
      EXPECT_EQ(answer_text(g), expected);
      cached = g.statistics.cached_prompt_tokens;
    };
    EXPECT_OK(engine.submit(std::move(r)));
    engine.run();
    return cached;
  };
  EXPECT_EQ(run(0), 0);
  EXPECT_EQ(run(0), 0);
  EXPECT_EQ(run(70), 64);
  EXPECT_EQ(run(63), 32);
  EXPECT_EQ(run(99), 96);
}

TEST_F(ReadOutPlans, AnEmbeddingIsOneLoopsState) {
  const PromptResult expected = plain(prompt_, config_.loops);
  const auto e = static_cast<size_t>(config_.hidden_size);
  for (int64_t loop = 0; loop <= config_.loops; ++loop) {
    const int64_t t = (loop == 0 ? config_.loops : loop) - 1;
    for (const int64_t chunk : {7, 256}) {
      Request r = request(0);
      r.options.prompt_chunk = chunk;
      r.options.plan = {.embedding = Pooling::kLast, .embedding_loop = loop};
      const std::vector<float> last = generate(*model_, r).value().embedding;
      EXPECT_TRUE(same_bits(last, {&expected.normed[static_cast<size_t>(t * 41 + 40) * e], e}));
      r.options.plan.embedding = Pooling::kMean;
      const std::vector<float> mean = generate(*model_, r).value().embedding;
      ASSERT_EQ(mean.size(), e);
      for (size_t i = 0; i < e; ++i) {
        double sum = 0;
        for (size_t p = 0; p < 41; ++p) {
          sum += static_cast<double>(expected.normed[(static_cast<size_t>(t * 41) + p) * e + i]);
        }
        EXPECT_EQ(mean[i], static_cast<float>(sum / 41));
      }
    }
  }
  // Vectors of a batch are those alone (the trials hold that for all requests).
}

}  // namespace
}  // namespace looplm
