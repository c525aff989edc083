// The log-probability of a generated token is, bit for bit, what training and evaluation compute
// for it: with keys and values in fp32 the engine, the trainer's batches and the scorer run the
// same kernels in the same order.
#include <gtest/gtest.h>

#include "looplm/generate.h"

#include "eval/depth_scores.h"
#include "infer/test_model.h"
#include "support/temp_dir.h"
#include "train/batch.h"

namespace looplm {
namespace {

struct Types {
  Isa isa;
  WeightType weights;
};

class LogProbability : public testing::TestWithParam<Types> {
 protected:
  LogProbability() {
    config_.vocab_size = 4099;  // more than one part of a row of logits
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 5), config_);
    ModelOptions options;
    options.threads = 2;
    options.weights = GetParam().weights;
    options.kv = KvType::kF32;
    model_ = Model::load(directory_.file("model"), options).value();
  }

  // Loss of ids[index] after each loop, as a training batch computes it.
  std::vector<double> trained_nll(const std::vector<int32_t>& ids, size_t index, int64_t loops) {
    Batch batch;
    batch.ids = ids;
    batch.targets.assign(ids.size(), kIgnoredTarget);
    batch.targets[index - 1] = ids[index];
    batch.document_starts = {0, batch.rows()};
    TrunkShape shape;
    shape.rows = batch.rows();
    shape.loops = loops;
    shape.max_document = batch.rows();
    shape.backward = false;
    const StageOneObjective objective(0.1, {}, loops);
    BatchPass pass(config_, shape);
    return pass.evaluate(model_->parts().weights, batch, objective, *model_->parts().device).nll;
  }

  ScopedIsa isa_{GetParam().isa};
  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_;
};

TEST_P(LogProbability, GenerationTrainingAndEvaluationAgreeBitForBit) {
  const std::vector<int32_t> prompt = random_ids(11, config_.vocab_size, 2);
  std::vector<GenerateOptions> requests(4);
  requests[1].exit = {ExitKind::kGate, 0.6, 1, 5};
  requests[2].sampling.temperature = 1;
  requests[2].sampling.top_p = 0.9;
  requests[3] = requests[2];
  requests[3].speculate = {CommitKind::kLoop, 1};
  for (GenerateOptions& request : requests) {
    request.max_tokens = 40;
    request.ignore_eos = true;
    const int64_t loops = request.exit.max_loops == 0 ? config_.loops : request.exit.max_loops;
    const Generation generation = generate(*model_, prompt, request).value();
    ASSERT_EQ(generation.tokens.size(), 40u);
    EvalExample example;
    example.ids = prompt;
    for (const GeneratedToken& token : generation.tokens) example.ids.push_back(token.id);
    example.scored.assign(example.ids.size(), false);
    std::fill(example.scored.begin() + static_cast<ptrdiff_t>(prompt.size()), example.scored.end(),
              true);
    const DepthScores scores = score_depths(*model_, example, loops).value();
    for (size_t i = 0; i < generation.tokens.size(); ++i) {
      const GeneratedToken& token = generation.tokens[i];
      const float scored = -scores.nll[scores.at(token.loops - 1, static_cast<int64_t>(i))];
      const std::vector<double> nll = trained_nll(example.ids, prompt.size() + i, loops);
      const auto trained = static_cast<float>(-nll[static_cast<size_t>(token.loops - 1)]);
      EXPECT_LT(token.log_probability, 0);
      EXPECT_TRUE(same_bits({&token.log_probability, 1}, {&trained, 1})) << "token " << i;
      EXPECT_TRUE(same_bits({&token.log_probability, 1}, {&scored, 1})) << "token " << i;
    }
  }
}

std::vector<Types> all_types() {
  std::vector<Types> types;
  for (Isa isa : available_isas()) {
    for (WeightType weights : {WeightType::kF32, WeightType::kBf16}) {
      types.push_back({isa, weights});
    }
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, LogProbability, testing::ValuesIn(all_types()),
                         [](const auto& test) {
                           return fmt::format(
                               "{}_{}", isa_name(test.param.isa),
                               test.param.weights == WeightType::kF32 ? "f32" : "bf16");
                         });

}  // namespace
}  // namespace looplm
