#include <array>
#include <filesystem>

#include <gmock/gmock.h>

#include "eval/decoding.h"
#include "experiments/core/test_study.h"
#include "experiments/speculation/speculation_study.h"
#include "infer/test_model.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Agreement, CountsPairsOfLoopsAndTheFirstThatLasts) {
  DepthScores s;
  s.loops = 3;
  s.tokens = 4;
  //         token 0  1  2  3
  s.best = {/* 1 */ 7, 7, 5, 1,
            /* 2 */ 7, 8, 6, 2,
            /* 3 */ 7, 8, 5, 3};
  s.right = {1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0};
  const AgreementCounts c = count_agreement({s}, 3);
  EXPECT_EQ(c.tokens, 4);
  EXPECT_THAT(c.same, ElementsAre(4, 1, 2, 1, 4, 2, 2, 2, 4));
  EXPECT_THAT(c.right, ElementsAre(2, 3, 1));
  EXPECT_THAT(c.settled, ElementsAre(1, 1, 2));  // token 2 left its answer and came back
  EXPECT_DOUBLE_EQ(c.mean_settled_loop(), (1 + 2 + 3 + 3) / 4.0);
  EXPECT_DOUBLE_EQ(c.share(0, 2), 0.5);
  // Against the second loop only the first two count.
  const AgreementCounts two = count_agreement({s, s}, 2);
  EXPECT_EQ(two.tokens, 8);
  EXPECT_THAT(two.settled, ElementsAre(2, 6));
}

TEST(DecodeModes, AreNamedAndNeedTheGateThatTheyAsk) {
  DecodeModeLists lists;
  lists.commit_loops = {1, 3};
  lists.commit_gates = {0.25};
  lists.commit_margins = {0.5};
  lists.exit_gates = {0.7};
  ModelConfig config;
  const auto names = [&] {
    std::vector<std::string> all;
    for (const DecodeMode& mode : decode_modes(config, lists)) all.push_back(mode.name);
    return all;
  };
  config.exit_gate = true;
  EXPECT_THAT(names(), ElementsAre("plain", "speculate loop:1", "speculate loop:3",
                                   "speculate q:0.25", "speculate margin:0.5", "exit q:0.7"));
  config.exit_gate = false;
  EXPECT_THAT(names(),
              ElementsAre("plain", "speculate loop:1", "speculate loop:3", "speculate margin:0.5"));
}

class Decoding : public testing::Test {
 protected:
  Decoding() : model_(Model::load(project_root() + "/models/small", {.threads = 1}).value()) {
    for (const char* text : {"entity: that", "7-2*3=", "a light"}) {
      prompts_.push_back(model_->tokenizer()->encode(text).value());
    }
  }
  DecodeMeasure measured(const DecodeMode& mode) {
    DecodeMeasure m;
    const DecodeOptions options = {12, 0, true};
    EXPECT_TRUE(measure_decoding(*model_, prompts_, {&mode, 1}, options, {&m, 1}).ok());
    EXPECT_TRUE(measure_decoding(*model_, prompts_, {&mode, 1}, options, {&m, 1}).ok());
    EXPECT_EQ(m.rates.size(), 2u);
    EXPECT_EQ(m.tokens, 36);
    return m;
  }
  std::unique_ptr<Model> model_;
  std::vector<std::vector<int32_t>> prompts_;
};

TEST_F(Decoding, PlainNeedsAPassAndALanePerLoop) {
  const DecodeMeasure plain = measured({"plain"});
  EXPECT_EQ(plain.per_token(plain.passes), 4);
  EXPECT_EQ(plain.per_token(plain.loops), 4);
  // The last token is not read again.
  EXPECT_EQ(plain.decode_lanes, 3 * 11 * 4);
  EXPECT_EQ(plain.provisional, 0);
}

TEST_F(Decoding, SpeculationGivesThePlainTokensInFewerPasses) {
  const DecodeMeasure plain = measured({"plain"});
  for (double loop : {1, 2, 3}) {
    const DecodeMeasure m = measured({"", {}, {CommitKind::kLoop, loop}});
    EXPECT_EQ(m.ids, plain.ids);
    EXPECT_LT(m.passes, plain.passes);
    EXPECT_GE(m.decode_lanes, plain.decode_lanes);
    EXPECT_LE(m.revised, m.provisional);
    for (size_t t = 0; t < m.reads.size(); ++t) {
      // Loops before the commit are not read; what the record says adds up to the counts.
      int64_t agreed = 0;
      for (const auto& prompt : m.agreement) {
        for (const auto& token : prompt) agreed += token.at(t) ? 1 : 0;
      }
      EXPECT_EQ(m.reads[t], t + 1 >= static_cast<size_t>(loop) ? 36 : 0);
      EXPECT_EQ(m.agreements[t], agreed);
    }
    EXPECT_EQ(m.agreements.back(), 36);
  }
}

TEST_F(Decoding, ExactExitsCostTheirLoopsInPasses) {
  const DecodeMeasure m = measured({"", {ExitKind::kGate, 0.5, 1, 0}, {}});
  EXPECT_LT(m.per_token(m.loops), 4);
  EXPECT_EQ(m.passes, m.loops);
}

TEST_F(Decoding, ARecordRanksEarlyLoopsThroughGuessMaps) {
  const auto record = [&](Model& model) { return record_ranking(model, prompts_, {12}).value(); };
  TempDir directory;
  std::filesystem::copy(project_root() + "/models/small", directory.file("small"));
  std::filesystem::remove(directory.file("small/guess.safetensors"));
  const auto plain = Model::load(directory.file("small"), {.threads = 1}).value();
  write_random_guesses(directory.file("small"), plain->config(), 1, 0);  // all zero
  const auto zero = Model::load(directory.file("small"), {.threads = 1}).value();
  const LoopRanking ranks = record(*plain), mapped = record(*model_);
  EXPECT_EQ(record(*zero), ranks);
  EXPECT_NE(mapped, ranks);
  // First stands what the engine proposes through the same maps.
  GenerateOptions speculating;
  speculating.max_tokens = 12;
  speculating.speculate = {CommitKind::kLoop, 1};
  for (size_t p = 0; p < ranks.size(); ++p) {
    const Generation got = generate(*model_, prompts_[p], speculating).value();
    ASSERT_EQ(got.tokens.size(), ranks[p].size());
    for (size_t i = 0; i < ranks[p].size(); ++i) {
      EXPECT_EQ(mapped.at(p).at(i).at(3), ranks[p][i].at(3));
      for (size_t loop = 0; loop < 3; ++loop) {
        EXPECT_EQ(mapped[p][i][loop].at(0), got.tokens[i].proposals.at(loop)) << i << " " << loop;
      }
    }
  }
}

TEST_F(Decoding, ReplayTakesThePassesThatTheRecordAllows) {
  const ReplayOptions options = {10, 4, 1};
  const std::array<SpeculateOptions, 2> modes = {{{}, {CommitKind::kLoop, 1}}};
  LoopRanking agreeing(1), hard(1);
  for (int32_t i = 0; i < 10; ++i) {
    agreeing[0].push_back({{i}, {i}, {i}, {i}});
    hard[0].push_back({{i + 10}, {i + 20}, {i + 30}, {i}});
  }
  // All loops agree: a token per pass, and the last one waits for its other loops.
  const auto easy = replay_ranking(*model_, agreeing, options, modes).value();
  EXPECT_DOUBLE_EQ(easy.at(0).passes_per_token, 4);
  EXPECT_DOUBLE_EQ(easy.at(1).passes_per_token, (10 + 3) / 10.0);
  EXPECT_EQ(easy.at(1).rates.size(), 1u);
  // Only the last one says it: as plain decoding.
  EXPECT_DOUBLE_EQ(replay_ranking(*model_, hard, options, modes).value().at(1).passes_per_token, 4);
}

TEST(SpeculationSettings, MistakesAreNamed) {
  const auto with = [](const std::string& change) {
    return shipped_with(*make_speculation_study(), change);
  };
  EXPECT_OK(with("rounds=1"));
  EXPECT_ERROR_SAYS(with("rounds=0"), "rounds is 0");
  EXPECT_ERROR_SAYS(with("modes.commit_loops=[1.5]"), "commit_loops holds 1.5");
  EXPECT_ERROR_SAYS(with("modes.exit_gates=[2]"), "modes.exit_gates");
  EXPECT_ERROR_SAYS(with("sets=[{name='a b'}]"), "\"a b\"");
  EXPECT_ERROR_SAYS(with("sets=[{name='a'},{name='a'}]"), "second time");
  EXPECT_ERROR_SAYS(with("sets=[{count=1}]"), "name is missing");
  EXPECT_ERROR_SAYS(with("replay.dtype='f64'"), "replay.dtype");
}

TEST(SpeculationStudy, RunsAndReports) {
  const TempDir directory;
  const char* const sets =
      "sets=[{name='sums',count=3,tokens=4,ignore_eos=true},"
      "{name='glosses',path='{study}/glosses.txt',words=2,count=2,tokens=5,ignore_eos=true}]";
  const char* const agreement =
      "agreement={loops=5,texts=[{name='glosses',path='{study}/glosses.txt',count=3},"
      "{name='sums',count=5}]}";
  const std::vector<std::string> overrides = {
      "rounds=1", "modes={commit_loops=[1],exit_gates=[0.5]}", sets, agreement,
      "replay={model='{root}/models/small',dtype='f32'}"};
  const Json cells =
      run_shipped(*make_speculation_study(), directory, overrides).value().at("cells");
  const Json& text = cells.at("agreement-sums");
  EXPECT_EQ(text.at("tokens"), 5);  // the answers alone
  EXPECT_EQ(text.at("same").size(), 5u);
  EXPECT_EQ(text.at("settled").size(), 4u);
  const Json& decoded = cells.at("decoding-glosses");
  EXPECT_EQ(decoded.at("modes").size(), 3u);
  EXPECT_EQ(decoded.at("modes").at(0).at("tokens"), 10);
  EXPECT_TRUE(decoded.at("modes").at(1).at("same_as_plain").get<bool>());
  EXPECT_GT(decoded.at("replay").at("passes").get<double>(), 1);
  EXPECT_THAT(report_text(directory), HasSubstr("reproduced"));
  EXPECT_TRUE(file_exists(directory.file("out/passes.png")));
}

}  // namespace
}  // namespace looplm
