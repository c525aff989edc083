#include "looplm/interchange.h"

#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

constexpr int64_t kLoops = 4;  // beyond the trained three
constexpr int64_t kTokens = 37;

class InterchangeTest : public testing::Test {
 protected:
  void SetUp() override {
    write_test_checkpoint(directory_.file("model"), parameters_, config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
    own_ = read_states(*model_, ids_, kLoops).value();
    other_ = read_states(*model_, other_ids_, kLoops).value();
  }

  std::vector<float> with(const StatePlace& place, const TextStates& source) {
    return Interchange::create(*model_, ids_, kLoops).value().run(place, source).value();
  }
  std::span<const float> after(const std::vector<float>& logits, int64_t loop) const {
    const auto width = static_cast<size_t>(config_.vocab_size);
    return std::span(logits).subspan(static_cast<size_t>(loop) * width, width);
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 31);
  std::vector<int32_t> ids_ = random_ids(kTokens, config_.vocab_size, 32);
  std::vector<int32_t> other_ids_ = random_ids(kTokens, config_.vocab_size, 33);
  std::unique_ptr<Model> model_;
  TextStates own_, other_;
};

TEST_F(InterchangeTest, StatesAfterTheLastBlockAreThoseThatAreNormedAndReadOut) {
  PassRunner& runner = *model_->parts().runner;
  const PromptResult r = read_prompt(runner, model_->parts().pages, ids_, kLoops, 256);
  const auto e = static_cast<size_t>(config_.hidden_size);
  ASSERT_EQ(own_.layers, 3);
  ASSERT_EQ(own_.positions, kTokens);
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    std::vector<float> normed(e);
    for (int64_t position : {int64_t{0}, kTokens - 1}) {
      rms_norm_forward({own_.state(loop, 2, position).data(), runner.weights().final_norm(),
                        static_cast<float>(config_.rms_norm_eps), 1, config_.hidden_size,
                        normed.data(), nullptr},
                       runner.device());
      const size_t row = static_cast<size_t>(loop * kTokens + position);
      EXPECT_TRUE(same_bits(normed, std::span(r.normed).subspan(row * e, e)));
    }
    const auto v = static_cast<size_t>(config_.vocab_size);
    const size_t last = static_cast<size_t>(loop * kTokens + kTokens - 1);
    EXPECT_TRUE(same_bits(own_.logits_after(loop), std::span(r.logits).subspan(last * v, v)));
  }
}

TEST_F(InterchangeTest, ATextsOwnStatesChangeNothing) {
  Interchange text = Interchange::create(*model_, ids_, kLoops).value();
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    for (int64_t layer = 0; layer < 3; ++layer) {
      for (int64_t first : {kTokens - 1, int64_t{0}, int64_t{20}}) {
        const StatePlace place = {loop, layer, first, kTokens};
        EXPECT_TRUE(same_bits(text.run(place, own_).value(), own_.logits));
      }
    }
  }
}

// Before the place, the text's own; from there on, the other text's.
TEST_F(InterchangeTest, AllStatesOfAPlaceGiveTheOtherTextsLogits) {
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    for (int64_t layer = 0; layer < 3; ++layer) {
      const std::vector<float> logits = with({loop, layer, 0, kTokens}, other_);
      for (int64_t t = 0; t < kLoops; ++t) {
        const TextStates& like = t < loop ? own_ : other_;
        EXPECT_TRUE(same_bits(after(logits, t), like.logits_after(t))) << loop << layer << t;
      }
    }
  }
}

TEST_F(InterchangeTest, TheLastPositionAloneIsAMixtureUntilTheLastBlock) {
  for (int64_t layer = 0; layer < 3; ++layer) {
    const std::vector<float> logits = with({2, layer, kTokens - 1, kTokens}, other_);
    EXPECT_TRUE(same_bits(after(logits, 1), own_.logits_after(1)));
    EXPECT_FALSE(same_bits(after(logits, 2), own_.logits_after(2)));
    // After the last block only norm and read-out follow.
    EXPECT_EQ(layer == 2, static_cast<bool>(same_bits(after(logits, 2), other_.logits_after(2))));
    EXPECT_FALSE(same_bits(after(logits, 3), other_.logits_after(3)));
    EXPECT_FALSE(same_bits(after(logits, 3), own_.logits_after(3)));
  }
  // Earlier positions alone reach the last one through their keys and values, in later blocks.
  const std::vector<float> before = with({2, 2, 0, kTokens - 1}, other_);
  EXPECT_TRUE(same_bits(after(before, 2), own_.logits_after(2)));
  EXPECT_FALSE(same_bits(after(before, 3), own_.logits_after(3)));
}

TEST_F(InterchangeTest, RunsDoNotDependOnThoseBefore) {
  Interchange text = Interchange::create(*model_, ids_, kLoops).value();
  const std::vector<StatePlace> places = {{1, 0, 36, 37}, {0, 1, 5, 9},   {1, 0, 36, 37},
                                          {3, 2, 0, 37},  {2, 1, 35, 37}, {0, 1, 5, 9}};
  for (const StatePlace& place : places) {
    EXPECT_TRUE(same_bits(text.run(place, other_).value(), with(place, other_)));
  }
}

TEST_F(InterchangeTest, ATextIsReadAgainByNewWeights) {
  Interchange text = Interchange::create(*model_, ids_, kLoops).value();
  const StatePlace place = {1, 0, kTokens - 1, kTokens};
  const std::vector<float> before = text.run(place, own_).value();
  const ParameterSet others = random_parameters(config_, 34);
  ASSERT_OK(model_->update_weights(others.source()));
  const std::vector<float> after = text.run(place, own_).value();
  EXPECT_TRUE(same_bits(after, with(place, own_)));
  EXPECT_FALSE(same_bits(after, before));
}

TEST_F(InterchangeTest, WrongRequestsAreNamed) {
  EXPECT_ERROR_SAYS(read_states(*model_, {}, 1), "no tokens");
  const std::vector<int32_t> high = {61}, many(257, 1);
  EXPECT_ERROR_SAYS(read_states(*model_, high, 1), "61", "0 to 60");
  EXPECT_ERROR_SAYS(read_states(*model_, many, 1), "257", "256 positions");
  EXPECT_ERROR_SAYS(read_states(*model_, ids_, 257), "loops is 257");
  EXPECT_ERROR_SAYS(Interchange::create(*model_, ids_, -1), "loops is -1");
  Interchange text = Interchange::create(*model_, ids_, kLoops).value();
  EXPECT_ERROR_SAYS(text.run({4, 0, 0, 1}, own_), "loop 4", "below 4 and 3");
  EXPECT_ERROR_SAYS(text.run({0, 3, 0, 1}, own_), "layer 3");
  EXPECT_ERROR_SAYS(text.run({0, 0, 3, 3}, own_), "positions 3..2", "0..36");
  EXPECT_ERROR_SAYS(text.run({0, 0, 0, 38}, own_), "positions 0..37");
  const TextStates fewer = read_states(*model_, ids_, 3).value();
  EXPECT_ERROR_SAYS(text.run({0, 0, 0, 1}, fewer), "states of 3 loops", "4, 3, 37, 40");
  EXPECT_EQ(read_states(*model_, ids_, 0).value().loops, 3);
}

}  // namespace
}  // namespace looplm
