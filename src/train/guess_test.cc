// Guess maps in training: their gradient, what they change and what they leave alone, and runs.
#include <algorithm>
#include <cmath>

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

constexpr int64_t kGuessRows = 24;

struct GuessPass {
  explicit GuessPass(DType dtype = DType::kF32) : maps(config, dtype) {
    randomize(2, 0.2f, parameters);
    weights.emplace(ModelWeights::for_training(parameters, config, dtype, *device));
    head = BackwardWeights::of_head(config, float_format(dtype));
    head->repack(parameters.source(), *device);
    Rng rng(4);
    for (int64_t i = 0; i < kGuessRows; ++i) {
      batch.ids.push_back(static_cast<int32_t>(rng.below(64)));
      batch.targets.push_back(i % 5 == 0 ? kIgnoredTarget : static_cast<int32_t>(rng.below(64)));
    }
    batch.document_starts = {0, 9, kGuessRows};
  }
  BatchMetrics evaluate(const ParameterSet& values) {
    maps.repack(values, *device);
    return pass.evaluate(*weights, batch, objective, *device);
  }
  BatchMetrics train(const ParameterSet& values, ParameterSet& gradients) {
    maps.repack(values, *device);
    return pass.train(*weights, &*head, batch, objective, 1, gradients, *device);
  }

  ModelConfig config = tiny_config();
  std::unique_ptr<Device> device = std::move(Device::create(2).value());
  ParameterSet parameters{config};
  std::optional<ModelWeights> weights;
  std::optional<BackwardWeights> head;
  GuessMaps maps;
  GuessObjective objective;
  Batch batch;
  BatchPass pass{
      config,
      {.rows = kGuessRows, .loops = config.loops, .max_document = kGuessRows, .backward = false},
      nullptr,
      &maps};
};

TEST(GuessTraining, GradientsAgreeWithFiniteDifferences) {
  GuessPass run;
  ParameterSet values(guess_specs(run.config)), gradients(guess_specs(run.config));
  randomize(7, 0.1f, values);
  run.train(values, gradients);
  Rng rng(9);
  for (size_t i = 0; i < values.specs().size(); ++i) {
    const auto count = static_cast<size_t>(values.specs()[i].count());
    const auto at = static_cast<size_t>(values.offset(i));
    for (int trial = 0; trial < 3; ++trial) {
      std::vector<double> direction(count);
      double norm = 0, expected = 0;
      for (double& d : direction) {
        d = static_cast<double>(rng.normal());
        norm += d * d;
      }
      for (size_t k = 0; k < count; ++k) {
        direction[k] /= std::sqrt(norm);
        expected += direction[k] * static_cast<double>(gradients.values()[at + k]);
      }
      constexpr double kStep = 0.03;
      const auto loss = [&](double step) {
        ParameterSet moved(guess_specs(run.config));
        std::copy(values.values().begin(), values.values().end(), moved.values().begin());
        for (size_t k = 0; k < count; ++k) {
          moved.values()[at + k] += static_cast<float>(step * direction[k]);
        }
        return run.evaluate(moved).loss;
      };
      EXPECT_NEAR((loss(kStep) - loss(-kStep)) / (2 * kStep), expected,
                  2e-3 * std::max(1.0, std::abs(expected)))
          << values.specs()[i].name;
    }
  }
}

TEST(GuessTraining, FreshMapsChangeNothing) {
  GuessPass run;
  const ParameterSet zero(guess_specs(run.config));
  const BatchMetrics mapped = run.evaluate(zero);
  BatchPass plain(run.config, {.rows = kGuessRows,
                               .loops = run.config.loops,
                               .max_document = kGuessRows,
                               .backward = false});
  const DistilObjective distil(1, Teacher::kLastLoop);
  const BatchMetrics unmapped = plain.evaluate(*run.weights, run.batch, distil, *run.device);
  EXPECT_EQ(mapped.nll, unmapped.nll);
  EXPECT_NEAR(mapped.loss, unmapped.loss - unmapped.nll.back(), 1e-3);
  EXPECT_EQ(mapped.agrees, mapped.agrees_unmapped);
  EXPECT_TRUE(unmapped.agrees.empty());
}

// The last loop is what the others are held against.
TEST(GuessTraining, MapsLeaveTheLastLoopAlone) {
  GuessPass run;
  ParameterSet values(guess_specs(run.config));
  const BatchMetrics before = run.evaluate(values);
  randomize(7, 0.5f, values);
  const BatchMetrics after = run.evaluate(values);
  EXPECT_EQ(after.nll.back(), before.nll.back());
  EXPECT_NE(after.nll.front(), before.nll.front());
  EXPECT_EQ(after.agrees_unmapped, before.agrees_unmapped);
}

class GuessRunTest : public testing::Test {
 protected:
  GuessRunTest() : start_(tiny_config()) {
    randomize(2, 0.2f, start_);
    TokenShardWriter writer(64);
    Rng rng(5);
    for (int d = 0; d < 40; ++d) {
      std::vector<int32_t> ids(3 + rng.below(18));
      for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(64));
      writer.add(ids, 1);
    }
    EXPECT_OK(writer.write(shard_));
  }

  RunConfig config() const {
    RunConfig run;
    run.objective.kind = ObjectiveKind::kGuess;
    run.data.train = {{shard_, 1}};
    run.data.validation = {shard_};
    run.data.sequence_length = 24;
    run.data.split_documents = false;
    run.batch = {.sequences = 4, .accumulate = 2};
    run.run.steps = 200;
    run.schedule.peak = 1e-2;
    run.optimizer.weight_decay = 0.01;
    run.compute.save_dtype = DType::kF32;
    return run;
  }
  Result<std::unique_ptr<Trainer>> trainer(const RunConfig& run,
                                           const ModelConfig& model = tiny_config()) const {
    return Trainer::create(run, {.threads = 2, .start = StartModel{model, start_.source()}});
  }

  TempDir dir_;
  std::string shard_ = dir_.file("random.tokens");
  ParameterSet start_;
};

TEST_F(GuessRunTest, LearnsWhatTheLastLoopSays) {
  auto run = trainer(config());
  ASSERT_OK(run);
  EXPECT_EQ((*run)->describe().trained_parameters, 2 * (32 * 32 + 32));
  auto before = (*run)->validate();
  ASSERT_OK(before);
  EXPECT_EQ(before->front().agreement, before->front().unmapped_agreement);
  for (int i = 0; i < 150; ++i) ASSERT_OK((*run)->step());
  auto after = (*run)->validate();
  ASSERT_OK(after);
  EXPECT_LT(after->front().loss, 0.7 * before->front().loss);
  ASSERT_EQ(after->front().agreement.size(), 2u);
  for (size_t t = 0; t < 2; ++t) {
    EXPECT_GT(after->front().agreement[t], before->front().agreement[t] + 0.05) << t;
  }
  EXPECT_EQ(after->front().unmapped_agreement, before->front().unmapped_agreement);

  ASSERT_OK((*run)->save_model(dir_.file("model")));
  auto saved = read_guesses(dir_.file("model"), tiny_config());
  ASSERT_OK(saved);
  ASSERT_TRUE(saved->has_value());
  EXPECT_NE((*saved)->values.values()[0], 0.0f);
}

TEST_F(GuessRunTest, GoesOnBitForBit) {
  auto whole = trainer(config()), first = trainer(config()), second = trainer(config());
  ASSERT_OK(whole);
  ASSERT_OK(first);
  ASSERT_OK(second);
  for (int i = 0; i < 6; ++i) ASSERT_OK((*whole)->step());
  for (int i = 0; i < 3; ++i) ASSERT_OK((*first)->step());
  ASSERT_OK((*first)->save(dir_.file("state")));
  ASSERT_OK((*second)->restore(dir_.file("state")));
  for (int i = 0; i < 3; ++i) ASSERT_OK((*second)->step());
  ASSERT_OK((*whole)->save_model(dir_.file("a")));
  ASSERT_OK((*second)->save_model(dir_.file("b")));
  EXPECT_EQ(read_text_file(guess_file(dir_.file("a"))).value(),
            read_text_file(guess_file(dir_.file("b"))).value());
}

// Also over weights that were rounded, and in bf16.
TEST_F(GuessRunTest, RunsOverEveryFormat) {
  for (const FrozenMatrices frozen : {FrozenMatrices::kStored, FrozenMatrices::kInt8}) {
    for (const DType dtype : {DType::kF32, DType::kBf16}) {
      RunConfig run = config();
      run.compute.frozen = frozen;
      run.compute.dtype = dtype;
      auto made = trainer(run);
      ASSERT_OK(made);
      auto first = (*made)->step();
      ASSERT_OK(first);
      for (int i = 0; i < 40; ++i) ASSERT_OK((*made)->step());
      auto last = (*made)->step();
      ASSERT_OK(last);
      EXPECT_LT(last->loss, 0.95 * first->loss);
    }
  }
}

TEST_F(GuessRunTest, SaysWhatDoesNotGoTogether) {
  RunConfig run = config();
  run.objective.loops = 2;
  EXPECT_ERROR_SAYS(trainer(run), "objective.kind is guess", "2 loops");
  run.objective.loops = 0;
  ModelConfig one = tiny_config();
  one.loops = 1;
  EXPECT_ERROR_SAYS(trainer(run, one), "objective.kind is guess", "at least 2");
  run.lora.rank = 2;
  EXPECT_ERROR_SAYS(trainer(run), "objective.kind is guess", "no [lora]");
  RunConfig fresh = config();
  fresh.model.config = tiny_config();
  EXPECT_ERROR_SAYS(Trainer::create(fresh), "objective.kind is guess", "model.from");
}

}  // namespace
}  // namespace looplm
