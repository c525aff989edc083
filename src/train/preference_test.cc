// Preference pairs from a shard to steps of a run.
#include <cmath>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/corpus.h"
#include "train/test_model.h"
#include "train/token_shard.h"
#include "train/trainer.h"

namespace looplm {
namespace {

class PreferenceRunTest : public testing::Test {
 protected:
  PreferenceRunTest() : start_(tiny_config()) {
    randomize(2, 0.2f, start_);
    Rng rng(3);
    TokenShardWriter writer(64), plain(64);
    for (int pair = 0; pair < 30; ++pair) {
      // A prompt of two ids; the better answer counts up from it, the worse one down.
      std::array<DocumentIds, 2> answers;
      const auto from = static_cast<int32_t>(10 + rng.below(40));
      for (size_t i = 0; i < 2; ++i) {
        answers[i].ids = {from, from};
        const size_t length = 3 + rng.below(5);
        for (size_t n = 1; n <= length; ++n) {
          answers[i].ids.push_back(from + (i == 0 ? 1 : -1) * static_cast<int32_t>(n));
        }
        answers[i].learnt.assign(answers[i].ids.size(), true);
        answers[i].learnt[0] = answers[i].learnt[1] = false;
      }
      writer.add_pair(answers[0], answers[1]);
      plain.add(answers[0].ids, 2);
    }
    EXPECT_OK(writer.write(pairs_));
    EXPECT_OK(plain.write(plain_));
  }

  RunConfig config() const {
    RunConfig run;
    run.objective.kind = ObjectiveKind::kDpo;
    run.data.train = {{pairs_, 1}};
    run.data.validation = {pairs_};
    run.data.sequence_length = 24;
    run.batch = {.sequences = 3, .accumulate = 2};
    run.run.steps = 100;
    run.schedule.peak = 3e-3;
    return run;
  }
  Result<std::unique_ptr<Trainer>> trainer(const RunConfig& run) const {
    return Trainer::create(run,
                           {.threads = 2, .start = StartModel{tiny_config(), start_.source()}});
  }

  TempDir dir_;
  ParameterSet start_;
  std::string pairs_ = dir_.file("pairs.tokens"), plain_ = dir_.file("plain.tokens");
};

TEST_F(PreferenceRunTest, LearnsThePreferenceWithAndWithoutAnAdapter) {
  for (const bool adapter : {false, true}) {
    SCOPED_TRACE(adapter);
    RunConfig run = config();
    if (adapter) run.lora = {.rank = 4, .alpha = 16, .dropout = 0.1, .targets = {}};
    run.schedule.peak = adapter ? 2e-2 : 1e-2;
    const std::string name = adapter ? "adapter-" : "model-";
    auto made = trainer(run);
    ASSERT_OK(made);
    const int steps = adapter ? 90 : 30;
    for (int i = 0; i < steps; ++i) {
      auto report = (*made)->step();
      ASSERT_OK(report);
      // At its start the model is its own reference.
      if (i == 0) {
        EXPECT_NEAR(report->loss, std::log(2.0), 1e-6);
      }
      if (i == 12) {
        ASSERT_OK((*made)->save(dir_.file(name + "state")));
      }
    }
    auto reports = (*made)->validate();
    ASSERT_OK(reports);
    EXPECT_LT(reports->front().loss, 0.6);
    EXPECT_GT(reports->front().margin, 0.2);
    EXPECT_GT(reports->front().preferred, 0.8);
    auto resumed = trainer(run);
    ASSERT_OK(resumed);
    ASSERT_OK((*resumed)->restore(dir_.file(name + "state")));
    for (int i = 13; i < steps; ++i) ASSERT_OK((*resumed)->step());
    ASSERT_OK((*made)->save_model(dir_.file(name + "a")));
    ASSERT_OK((*resumed)->save_model(dir_.file(name + "b")));
    const std::string file = adapter ? "a/adapter_model.safetensors" : "a/model.safetensors";
    const std::string other = "b" + file.substr(1);
    EXPECT_EQ(read_text_file(dir_.file(name + file)).value(),
              read_text_file(dir_.file(name + other)).value());
  }
}

TEST_F(PreferenceRunTest, PairsStayWholeAndTogether) {
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(TokenDataset::open(pairs_)).value(), {}, 1});
  LoaderOptions options;
  options.sequence_length = 24;
  options.sequences = 2;
  options.one_epoch = true;
  auto loader = DataLoader::create(std::move(sources), options);
  ASSERT_OK(loader);
  int64_t pairs = 0;
  while (loader->epochs() == 0) {
    auto batch = loader->next();
    ASSERT_OK(batch);
    for (const int64_t chosen : batch->pairs) {
      const auto at = static_cast<size_t>(chosen);
      const std::vector<int64_t>& starts = batch->document_starts;
      const auto id = [&](size_t document, int64_t row) {
        return batch->ids[static_cast<size_t>(starts[document] + row)];
      };
      EXPECT_EQ(id(at, 0), id(at + 1, 0));
      EXPECT_EQ(batch->targets[static_cast<size_t>(starts[at] + 1)], id(at, 0) + 1);
      EXPECT_EQ(batch->targets[static_cast<size_t>(starts[at + 1] + 1)], id(at, 0) - 1);
      EXPECT_EQ(starts[at] / 24, (starts[at + 2] - 1) / 24);
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 30);
}

TEST_F(PreferenceRunTest, DataOfTheWrongKindIsRefused) {
  RunConfig run = config();
  run.data.train = {{plain_, 1}};
  EXPECT_ERROR_SAYS(trainer(run), "data.train", "plain.tokens", "no preference pairs", "dpo");
  run = config();
  run.objective.kind = ObjectiveKind::kLastLoop;
  EXPECT_ERROR_SAYS(trainer(run), "pairs.tokens", "holds preference pairs", "last_loop");
  run = config();
  run.data.sequence_length = 8;
  EXPECT_ERROR_SAYS(trainer(run), "preference pairs stay whole", "data.sequence_length");
}

}  // namespace
}  // namespace looplm
