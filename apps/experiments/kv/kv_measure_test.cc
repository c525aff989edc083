#include "experiments/kv/kv_measure.h"

#include <set>

#include "eval/depth_scores.h"
#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class KvMeasure : public testing::Test {
 protected:
  KvMeasure() {
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 4), config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
    for (uint64_t i = 0; i < 5; ++i) {
      texts_.push_back({random_ids(12 + static_cast<int64_t>(i), config_.vocab_size, 10 + i),
                        random_ids(9, config_.vocab_size, 20 + i)});
    }
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_;
  std::vector<KvText> texts_;
};

TEST_F(KvMeasure, FullLossesAreThoseOfReadingTheText) {
  const std::vector<double> losses = kv_losses(*model_, texts_, {}, {}).value();
  ASSERT_EQ(losses.size(), texts_.size());
  for (size_t i = 0; i < texts_.size(); ++i) {
    EvalExample example;
    example.ids = texts_[i].prompt;
    example.ids.insert(example.ids.end(), texts_[i].rest.begin(), texts_[i].rest.end());
    example.scored.assign(example.ids.size(), true);
    std::fill_n(example.scored.begin(), texts_[i].prompt.size(), false);
    const DepthScores s = score_depths(*model_, example, config_.loops).value();
    double expected = 0;
    for (int64_t t = 0; t < s.tokens; ++t) {
      expected += static_cast<double>(s.nll[s.at(config_.loops - 1, t)]);
    }
    EXPECT_NEAR(losses[i], expected, 1e-4);
  }
}

TEST_F(KvMeasure, EveryConditionIsAnother) {
  std::set<double> sums;
  std::set<std::string> ids;
  for (const KvCondition& c : kv_conditions()) {
    double sum = 0;
    const std::vector<double> losses = kv_losses(*model_, texts_, c, {}).value();
    for (double loss : losses) sum += loss;
    sums.insert(sum);
    ids.insert(c.id());
  }
  EXPECT_EQ(sums.size(), 7u);
  EXPECT_EQ(ids.size(), 7u);
}

TEST_F(KvMeasure, AnswersAreWhatGenerateGives) {
  for (const KvCondition& c : kv_conditions()) {
    SCOPED_TRACE(c.name());
    const KvAnswers answers = kv_answers(*model_, texts_, c, {}).value();
    for (size_t i = 0; i < texts_.size(); ++i) {
      GenerateOptions o;
      o.max_tokens = 9;
      o.ignore_eos = true;
      o.kv = c.kv;
      o.prompt_kv = c.prompt_kv;
      const Generation g = generate(*model_, texts_[i].prompt, o).value();
      ASSERT_EQ(answers.ids[i].size(), 9u);
      for (size_t t = 0; t < 9; ++t) EXPECT_EQ(answers.ids[i][t], g.tokens[t].id);
    }
    // A page of 32 positions for each loop, or one for all: texts of 20 to 24.
    const auto planes = static_cast<double>(kv_planes(c.kv, config_.loops));
    const double page = static_cast<double>(model_->parts().pages.page_bytes());
    EXPECT_NEAR(answers.bytes_per_position,
                planes * static_cast<double>(config_.layers) * page / 22, 1e-6);
  }
}

TEST_F(KvMeasure, BytesOfThePapersModel) {
  ModelConfig ouro;
  ouro.loops = 4;
  ouro.layers = 24;
  ouro.kv_heads = 16;
  ouro.head_dim = 128;
  EXPECT_EQ(kv_bytes_per_position(ouro, KvPolicy::kFull, KvType::kBf16), 768u << 10);
  EXPECT_EQ(kv_bytes_per_position(ouro, KvPolicy::kMean, KvType::kBf16), 192u << 10);
}

TEST_F(KvMeasure, StopsWhenAskedAndNamesTheTextThatDoesNotFit) {
  EXPECT_EQ(kv_answers(*model_, texts_, {}, [](double) { return false; }).status().code(),
            StatusCode::kCancelled);
  texts_[2].rest.resize(300);
  EXPECT_ERROR_SAYS(kv_answers(*model_, texts_, kv_conditions()[1], {}), "text 3 under last",
                    "256 positions");
}

}  // namespace
}  // namespace looplm
