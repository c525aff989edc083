// Runs with each objective: what is trained, how long, and how the loss weighs tokens.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/test_model.h"
#include "train/token_shard.h"
#include "train/trainer.h"

namespace looplm {
namespace {

// Documents of 3 to 20 tokens, of which the first ones are prompts.
std::string uneven_shard(const TempDir& dir) {
  TokenShardWriter writer(64);
  Rng rng(5);
  for (int d = 0; d < 40; ++d) {
    std::vector<int32_t> ids(3 + rng.below(18));
    for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(64));
    writer.add(ids, 1 + rng.below(static_cast<uint32_t>(ids.size() - 1)));
  }
  const std::string path = dir.file("uneven.tokens");
  EXPECT_OK(writer.write(path));
  return path;
}

class ObjectiveRunTest : public testing::Test {
 protected:
  ObjectiveRunTest() : start_(tiny_config()) { randomize(2, 0.2f, start_); }

  RunConfig config(ObjectiveKind kind) const {
    RunConfig run;
    run.objective.kind = kind;
    run.data.train = {{shard_, 1}};
    run.data.sequence_length = 24;
    run.data.split_documents = false;
    run.batch = {.sequences = 2, .accumulate = 1};
    run.run.steps = 100;
    run.schedule.peak = 1e-2;
    run.optimizer.weight_decay = 0.5;
    return run;
  }
  std::unique_ptr<Trainer> trainer(const RunConfig& run) const {
    auto made =
        Trainer::create(run, {.threads = 2, .start = StartModel{tiny_config(), start_.source()}});
    EXPECT_OK(made);
    return std::move(made).value();
  }
  static std::vector<float> values(const Trainer& trainer, const char* name) {
    const TensorView view = trainer.weights()(name).value();
    const float* data = reinterpret_cast<const float*>(view.data);
    return {data, data + view.count()};
  }

  TempDir dir_;
  ParameterSet start_;
  std::string shard_ = uneven_shard(dir_);
};

TEST_F(ObjectiveRunTest, AFrozenGateDoesNotMove) {
  const std::unique_ptr<Trainer> run = trainer(config(ObjectiveKind::kExpected));
  const auto gate = values(*run, kGateWeightName), norm = values(*run, kFinalNormName);
  double first = 0, last = 0;
  for (int i = 0; i < 20; ++i) {
    auto report = run->step();
    ASSERT_OK(report);
    (i == 0 ? first : last) = report->loss;
  }
  EXPECT_LT(last, first);
  EXPECT_EQ(values(*run, kGateWeightName), gate);
  EXPECT_NE(values(*run, kFinalNormName), norm);
  ASSERT_OK(run->save(dir_.file("state")));
  ASSERT_OK(run->save_model(dir_.file("model")));
  EXPECT_OK(open_checkpoint(dir_.file("model")));
  const std::unique_ptr<Trainer> resumed = trainer(config(ObjectiveKind::kExpected));
  ASSERT_OK(resumed->restore(dir_.file("state")));
  ASSERT_OK(run->step());
  ASSERT_OK(resumed->step());
  EXPECT_EQ(values(*run, kHeadName), values(*resumed, kHeadName));
}

// Micro-batches of unequal numbers of targets: a mean of their means would weigh tokens unequally.
TEST_F(ObjectiveRunTest, AStepWeighsTokensAlikeHoweverItIsCut) {
  RunConfig whole = config(ObjectiveKind::kExpected), cut = whole;
  whole.batch = {.sequences = 4, .accumulate = 1};
  cut.batch = {.sequences = 1, .accumulate = 4};
  const std::unique_ptr<Trainer> one = trainer(whole), four = trainer(cut);
  auto a = one->step(), b = four->step();
  ASSERT_OK(a);
  ASSERT_OK(b);
  EXPECT_EQ(a->targets, b->targets);
  EXPECT_NEAR(a->loss, b->loss, 1e-6 * a->loss);
  EXPECT_NEAR(a->gradient_norm, b->gradient_norm, 1e-5 * a->gradient_norm);
}

// Gradients through the last k loops are those of a k-loop model that starts from the states that
// the other loops made.
class TruncatedTest : public testing::TestWithParam<MemoryPolicy> {};

TEST_P(TruncatedTest, IsAModelOfTheLastLoops) {
  constexpr int64_t kRows = 20, kBack = 2;
  ModelConfig whole = tiny_config(), part = tiny_config();
  whole.loops = 4;
  part.loops = kBack;
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  ParameterSet parameters(whole), of_part(part);
  randomize(3, 0.2f, parameters);
  std::copy(parameters.values().begin(), parameters.values().end(), of_part.values().begin());
  Batch batch;
  Rng rng(4);
  for (int64_t i = 0; i < kRows; ++i) {
    batch.ids.push_back(static_cast<int32_t>(rng.below(64)));
    batch.targets.push_back(static_cast<int32_t>(rng.below(64)));
  }
  batch.document_starts = {0, 9, kRows};
  const LastLoopObjective objective;
  const auto gradients = [&](const ModelConfig& config, const ParameterSet& set, const Batch& of,
                             int64_t backward_loops) {
    const ModelWeights weights = ModelWeights::for_training(set, config, DType::kF32, *device);
    BackwardWeights backward(config, float_format(DType::kF32));
    backward.repack(set.source(), *device);
    BatchPass pass(config, {.rows = kRows,
                            .loops = config.loops,
                            .max_document = kRows,
                            .policy = GetParam(),
                            .backward_loops = backward_loops});
    ParameterSet to(config);
    pass.train(weights, &backward, of, objective, 1, to, *device);
    return to;
  };
  const ParameterSet actual = gradients(whole, parameters, batch, kBack);

  ModelConfig first = whole;
  first.loops = whole.loops - kBack;
  Trunk trunk(first, {.rows = kRows, .loops = first.loops, .backward = false});
  const ModelWeights weights = ModelWeights::for_training(parameters, first, DType::kF32, *device);
  trunk.forward(weights, batch.ids, batch.document_starts, *device);
  Batch from_states = batch;
  for (int64_t row = 0; row < kRows; ++row) {
    from_states.ids[static_cast<size_t>(row)] = static_cast<int32_t>(row);
    std::copy_n(trunk.state(first.loops - 1) + row * whole.hidden_size, whole.hidden_size,
                of_part.find(kEmbeddingName) + row * whole.hidden_size);
  }
  const ParameterSet expected = gradients(part, of_part, from_states, 0);
  for (const ParameterSpec& spec : expected.specs()) {
    const float *a = actual.find(spec.name), *b = expected.find(spec.name);
    if (spec.name == kEmbeddingName) {
      EXPECT_EQ(std::count(a, a + spec.count(), 0.0f), spec.count());
    } else {
      EXPECT_TRUE(std::equal(a, a + spec.count(), b)) << spec.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, TruncatedTest,
                         testing::Values(MemoryPolicy::kKeepAll, MemoryPolicy::kBlockInputs,
                                         MemoryPolicy::kLoopInputs));

TEST_F(ObjectiveRunTest, TruncationGivesTheSameBitsUnderEveryPolicy) {
  ModelConfig unnormed = tiny_config();
  unnormed.norm_between_loops = false;
  RunConfig run = config(ObjectiveKind::kStageOne);
  run.objective.backprop_loops = 2;
  std::vector<float> expected;
  for (const auto& [policy, name] : kMemoryPolicyNames) {
    run.compute.memory = policy;
    auto made =
        Trainer::create(run, {.threads = 2, .start = StartModel{unnormed, start_.source()}});
    ASSERT_OK(made);
    for (int i = 0; i < 3; ++i) ASSERT_OK((*made)->step());
    const std::vector<float> head = values(**made, kHeadName);
    if (expected.empty()) expected = head;
    EXPECT_EQ(head, expected) << name;
  }
  run.objective.backprop_loops = 4;
  EXPECT_ERROR_SAYS(
      Trainer::create(run, {.threads = 2, .start = StartModel{unnormed, start_.source()}}),
      "objective.backprop_loops is 4", "3 loops");
}

struct Notes : TrainObserver {
  void on_note(const std::string& note) override { notes.push_back(note); }
  void on_validation(const ValidationReport& r) override { losses.push_back(r.loss); }
  std::vector<std::string> notes;
  std::vector<double> losses;
};

TEST_F(ObjectiveRunTest, StopsWhenTheValidationLossNoLongerFallsAndKeepsTheBest) {
  RunConfig run = config(ObjectiveKind::kLastLoop);
  run.model.config = tiny_config();
  run.data.validation = {shard_};
  run.schedule.peak = 0.3;  // too large: the loss soon rises
  run.run = {.out = dir_.file("run"),
             .steps = 60,
             .validate_every = 2,
             .checkpoint_every = 2,
             .keep_best = true,
             .patience = 3};
  Notes heard;
  TrainOptions options;
  options.threads = 2;
  ASSERT_OK(train(run, options, heard));
  const auto best = std::min_element(heard.losses.begin(), heard.losses.end());
  EXPECT_EQ(heard.losses.end() - best, 4);
  ASSERT_FALSE(heard.notes.empty());
  EXPECT_THAT(heard.notes.back(),
              testing::AllOf(testing::HasSubstr("of 60"), testing::HasSubstr("run.patience is 3"),
                             testing::HasSubstr(fmt::format(
                                 "at step {} ", 2 * (best - heard.losses.begin() + 1)))));
  const std::string kept = read_text_file(dir_.file("run/best/model.safetensors")).value();
  EXPECT_NE(kept, read_text_file(dir_.file("run/model/model.safetensors")).value());
  // Nothing is left to do, and the best one stays.
  Notes again;
  options.resume = true;
  ASSERT_OK(train(run, options, again));
  EXPECT_TRUE(again.losses.empty());
  EXPECT_EQ(read_text_file(dir_.file("run/best/model.safetensors")).value(), kept);

  run.run.validate_every = 0;
  EXPECT_ERROR_SAYS(train(run, options, again), "run.patience is 3", "run.validate_every");
}

}  // namespace
}  // namespace looplm
