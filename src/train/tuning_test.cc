// Loss curves of the objectives for fine-tuning against PyTorch's (tests/oracle/tuning_golden.py).
#include <gtest/gtest.h>

#include "base/json.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "support/status_matchers.h"
#include "train/batch.h"
#include "train/optimizer.h"

namespace looplm {
namespace {

class TuningTest : public testing::TestWithParam<const char*> {};

TEST_P(TuningTest, LossesAreThoseOfTheOracle) {
  const std::string directory = std::string(LOOPLM_GOLDEN_DIR) + "/model/train_tuning";
  const Json json = read_json_file(directory + "/case.json").value();
  const Checkpoint checkpoint = std::move(open_checkpoint(directory)).value();
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  ObjectiveSettings settings;
  const bool taught = std::string(GetParam()) == "taught";
  settings.kind = taught ? ObjectiveKind::kDistil
                         : value_named(kObjectiveNames, std::string(GetParam())).value();
  settings.teacher = taught ? Teacher::kFile : Teacher::kLastLoop;
  settings.beta = json["dpo_beta"];
  settings.distil_weight = json["distil_weight"];
  const ModelConfig& config = checkpoint.config;
  const std::unique_ptr<Objective> objective = make_objective(settings, config.loops);
  EXPECT_FALSE(objective->trains_gate());

  std::vector<ParameterSpec> specs = parameter_specs(config);
  std::erase_if(specs, is_gate);
  ParameterSet trained(specs), gradients(specs);
  const ParameterSet none(std::vector<ParameterSpec>{});
  const TensorSource stored = checkpoint_source(checkpoint);
  ASSERT_OK(trained.load(stored));
  const MatrixFormat f32 = float_format(DType::kF32);
  ModelWeights weights =
      std::move(ModelWeights::for_training(trained, stored, config, f32, *device)).value();
  const ModelWeights reference =
      std::move(ModelWeights::for_training(none, stored, config, f32, *device)).value();
  BackwardWeights backward(config, f32);
  const Json& o = json["optimizer"];
  Optimizer optimizer(specs, {.beta1 = o["beta1"],
                              .beta2 = o["beta2"],
                              .epsilon = o["epsilon"],
                              .weight_decay = o["weight_decay"],
                              .clip = o["clip"]});
  const Json& curve = json["curves"][GetParam()];
  for (size_t i = 0; i < json["steps"].size(); ++i) {
    const Json& step = json["steps"][i];
    Batch batch;
    batch.ids = step["ids"].get<std::vector<int32_t>>();
    batch.targets = step["targets"].get<std::vector<int32_t>>();
    batch.document_starts = step["document_starts"].get<std::vector<int64_t>>();
    if (objective->pairs() != nullptr) batch.pairs = step["pairs"].get<std::vector<int64_t>>();
    const auto ids = step["teacher"]["ids"].get<std::vector<std::vector<uint32_t>>>();
    const auto log_p = step["teacher"]["log_probabilities"].get<std::vector<std::vector<float>>>();
    for (size_t row = 0, target = 0; row < batch.ids.size(); ++row) {
      const bool learnt = batch.targets[row] != kIgnoredTarget;
      batch.teachers.push_back(learnt ? TopTokens{ids[target], log_p[target]} : TopTokens{});
      target += learnt ? 1 : 0;
    }
    BatchPass pass(config, {.rows = batch.rows(), .loops = config.loops});
    weights.repack(trained, *device);
    backward.repack(trained.source(), *device);
    std::fill(gradients.values().begin(), gradients.values().end(), 0.0f);
    const std::vector<PairScores> scores = pass.score(reference, batch, *device);
    const auto losses = static_cast<double>(objective->pairs() != nullptr ? batch.pairs.size()
                                                                          : batch.target_count());
    const BatchMetrics m =
        pass.train(weights, &backward, batch, *objective, 1 / losses, gradients, *device, scores);
    const double expected = curve["loss"][i];
    EXPECT_EQ(static_cast<double>(m.losses()), losses);
    EXPECT_NEAR(m.loss / losses, expected, 1e-5 * expected) << "step " << i;
    const double norm =
        optimizer.step(trained, gradients, json["learning_rate"][i].get<double>(), *device);
    EXPECT_NEAR(norm, curve["gradient_norm"][i].get<double>(), 1e-4 * norm) << "step " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Objectives, TuningTest,
                         testing::Values("expected", "distil", "taught", "dpo"),
                         [](const auto& parameter) { return std::string(parameter.param); });

}  // namespace
}  // namespace looplm
