// Teachers beside shards: which rows reach which tokens of a batch, what is refused, and whole
// runs.
#include "train/teacher_file.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/test_model.h"
#include "train/trainer.h"

namespace looplm {
namespace {

class TeacherFileTest : public testing::Test {
 protected:
  TeacherFileTest() : start_(tiny_config()) {
    randomize(2, 0.2f, start_);
    TokenShardWriter writer(64);
    Rng rng(5);
    for (int d = 0; d < 40; ++d) {
      std::vector<int32_t> ids(2 + rng.below(40));
      for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(64));
      std::vector<bool> learnt(ids.size());
      for (size_t i = 0; i < ids.size(); ++i) learnt[i] = rng.below(3) > 0;
      writer.add(ids, learnt);
    }
    EXPECT_OK(writer.write(shard_path_));
    write_teacher();
  }

  // Says of each target that it, or the id behind it, comes, and what number it has.
  void write_teacher() const {
    const TokenShard shard = TokenShard::open(shard_path_).value();
    auto writer = TeacherFileWriter::create(shard, 3);
    ASSERT_OK(writer);
    for (int64_t d = 0; d < shard.documents(); ++d) {
      std::vector<int32_t> ids(static_cast<size_t>(shard.document_length(d)));
      ASSERT_OK(shard.read(d, 0, ids));
      for (size_t i = 1; i < ids.size(); ++i) {
        if (!shard.is_learnt(d, static_cast<int64_t>(i))) continue;
        const auto id = static_cast<uint32_t>(ids[i]);
        const std::vector<uint32_t> said = {id, 70, (id + 1) % 64};
        ASSERT_OK(writer->add({said, log_p_}));
      }
    }
    ASSERT_OK(writer->commit());
  }
  // The file with some bytes changed.
  template <typename Value>
  void change(size_t at, const Value& value) const {
    std::string text = read_text_file(path_).value();
    std::memcpy(text.data() + at, &value, sizeof(value));
    ASSERT_OK(write_text_file(path_, text));
  }
  Status opened() const {
    return TeacherFile::open(TokenShard::open(shard_path_).value()).status();
  }
  RunConfig config() const {
    RunConfig run;
    run.objective.kind = ObjectiveKind::kDistil;
    run.objective.teacher = Teacher::kFile;
    run.data.train = {{shard_path_, 1}};
    run.data.validation = {shard_path_};
    run.data.sequence_length = 24;
    run.batch = {.sequences = 2, .accumulate = 2};
    run.run.steps = 100;
    run.schedule.peak = 1e-2;
    return run;
  }
  Result<std::unique_ptr<Trainer>> trainer(const RunConfig& run) const {
    return Trainer::create(run,
                           {.threads = 2, .start = StartModel{tiny_config(), start_.source()}});
  }

  TempDir dir_;
  std::string shard_path_ = dir_.file("a.tokens"), path_ = dir_.file("a.teacher");
  const std::vector<float> log_p_ = {std::log(0.6f), std::log(0.1f), std::log(0.25f)};
  ParameterSet start_;
};

TEST_F(TeacherFileTest, EachTargetOfABatchHasItsRow) {
  for (const bool split : {true, false}) {
    TokenDataset dataset = TokenDataset::open(shard_path_).value();
    ASSERT_OK(dataset.open_teachers());
    std::vector<DataLoader::Source> sources;
    sources.push_back({std::move(dataset), {}, 1});
    auto loader = DataLoader::create(
        std::move(sources),
        {.sequence_length = 48, .sequences = 3, .seed = 4, .split_documents = split});
    ASSERT_OK(loader);
    for (int step = 0; step < 12; ++step) {
      const Batch batch = loader->next().value();
      ASSERT_EQ(batch.teachers.size(), batch.ids.size());
      for (size_t r = 0; r < batch.ids.size(); ++r) {
        const TopTokens& said = batch.teachers[r];
        if (batch.targets[r] == kIgnoredTarget) {
          EXPECT_TRUE(said.ids.empty());
          continue;
        }
        // An id that is none, 70, was left out.
        const auto id = static_cast<uint32_t>(batch.targets[r]);
        EXPECT_THAT(said.ids, testing::ElementsAre(id, (id + 1) % 64));
        EXPECT_THAT(said.log_probabilities, testing::ElementsAre(log_p_[0], log_p_[2]));
      }
    }
  }
}

TEST_F(TeacherFileTest, ErrorsSayWhatIsWrong) {
  const std::string good = read_text_file(path_).value();
  const auto restore = [&] { ASSERT_OK(write_text_file(path_, good)); };
  EXPECT_OK(opened());
  change(24, uint64_t{7});
  EXPECT_ERROR_SAYS(opened(), "a.teacher", "a shard with hash 0000000000000007", "a.tokens");
  restore();
  change(32, uint64_t{65});
  EXPECT_ERROR_SAYS(opened(), "a.teacher", "another vocabulary", "65 tokens", "a.tokens",
                    "64 tokens");
  restore();
  change(16, uint64_t{9});
  EXPECT_ERROR_SAYS(opened(), "a.teacher", "9 rows");
  ASSERT_OK(write_text_file(path_, good.substr(0, good.size() - 4)));
  EXPECT_ERROR_SAYS(opened(), "a.teacher", "rows of 3");
  ASSERT_OK(write_text_file(path_, good.substr(0, 10)));
  EXPECT_ERROR_SAYS(opened(), "a.teacher", "10 bytes");
  ASSERT_OK(write_text_file(path_, read_text_file(shard_path_).value()));
  EXPECT_ERROR_SAYS(opened(), "LPTEACHR");
  std::filesystem::remove(path_);
  EXPECT_ERROR_SAYS(opened(), "a.tokens", "a.teacher", "looplm data teach");

  // Rows are looked at when they are read.
  constexpr size_t kFirstRow = 64;
  const auto first_row = [&] {
    const TokenShard shard = TokenShard::open(shard_path_).value();
    const TeacherFile teacher = TeacherFile::open(shard).value();
    std::vector<TopTokens> rows(static_cast<size_t>(shard.document_length(0)));
    return teacher.read(shard, 0, 0, rows);
  };
  restore();
  EXPECT_OK(first_row());
  change(kFirstRow, uint32_t{64});
  EXPECT_ERROR_SAYS(first_row(), "row 0", "token 64", "below 64");
  restore();
  change(kFirstRow + 12, 0.5f);
  EXPECT_ERROR_SAYS(first_row(), "row 0", "probability of 1.89", "log-probabilities");
  change(kFirstRow + 12, std::numeric_limits<float>::quiet_NaN());
  EXPECT_ERROR_SAYS(first_row(), "row 0", "nan");
  change(kFirstRow + 12, -std::numeric_limits<float>::infinity());
  EXPECT_ERROR_SAYS(first_row(), "row 0", "0 tokens");
}

// The loss is a function of all parameters: its difference along the gradient is its square.
TEST_F(TeacherFileTest, GradientsAgreeWithFiniteDifferences) {
  const ModelConfig config = tiny_config();
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  TokenDataset dataset = TokenDataset::open(shard_path_).value();
  ASSERT_OK(dataset.open_teachers());
  std::vector<DataLoader::Source> sources;
  sources.push_back({std::move(dataset), {}, 1});
  auto loader =
      DataLoader::create(std::move(sources), {.sequence_length = 24, .sequences = 2}).value();
  const Batch batch = loader.next().value();
  const DistilObjective objective(3, Teacher::kFile);
  BatchPass pass(config, {.rows = batch.rows(), .loops = config.loops});
  ParameterSet gradients(config), at(config);
  const auto loss = [&](double by) {
    for (size_t i = 0; i < at.values().size(); ++i) {
      at.values()[i] =
          start_.values()[i] + static_cast<float>(by * static_cast<double>(gradients.values()[i]));
    }
    const ModelWeights weights = ModelWeights::for_training(at, config, DType::kF32, *device);
    BackwardWeights backward(config, float_format(DType::kF32));
    backward.repack(at.source(), *device);
    ParameterSet fresh(config);
    const double sum = pass.train(weights, &backward, batch, objective, 1, fresh, *device).loss;
    if (by == 0)
      std::copy(fresh.values().begin(), fresh.values().end(), gradients.values().begin());
    return sum;
  };
  loss(0);
  double slope = 0;
  for (const float g : gradients.values()) slope += static_cast<double>(g) * static_cast<double>(g);
  const double step = 2e-3 / std::sqrt(slope);  // of a loss whose third derivative is large
  EXPECT_NEAR((loss(step) - loss(-step)) / (2 * step), slope, 0.01 * slope);
}

TEST_F(TeacherFileTest, ARunComesNearItsTeacherAndResumesWithTheSameOneAlone) {
  auto plan =
      Trainer::plan(config(), {.threads = 1, .start = StartModel{tiny_config(), start_.source()}});
  ASSERT_OK(plan);
  const auto& memory = plan->start.memory;
  EXPECT_TRUE(std::any_of(memory.begin(), memory.end(), [](const PlannedMemory& item) {
    return item.name == "the teacher's words" && item.bytes == 96 * sizeof(TopTokens);
  }));
  auto run = trainer(config());
  ASSERT_OK(run);
  const double before = (*run)->validate().value()[0].loss;
  for (int i = 0; i < 20; ++i) ASSERT_OK((*run)->step());
  EXPECT_LT((*run)->validate().value()[0].loss, before);
  ASSERT_OK((*run)->save(dir_.file("state")));
  auto resumed = trainer(config());
  ASSERT_OK(resumed);
  ASSERT_OK((*resumed)->restore(dir_.file("state")));
  ASSERT_OK((*run)->step());
  ASSERT_OK((*resumed)->step());
  const auto head = [](const Trainer& of) {
    const TensorView view = of.weights()(kHeadName).value();
    return std::string(reinterpret_cast<const char*>(view.data), view.bytes());
  };
  EXPECT_EQ(head(**run), head(**resumed));

  change(64 + 12, -3.0f);  // one log-probability
  auto other = trainer(config());
  ASSERT_OK(other);
  EXPECT_ERROR_SAYS((*other)->restore(dir_.file("state")), "data.train", "other contents");
  std::filesystem::remove(path_);
  EXPECT_ERROR_SAYS(trainer(config()), "a.teacher", "looplm data teach");
  RunConfig last_loop = config();
  last_loop.objective.teacher = Teacher::kLastLoop;
  EXPECT_OK(trainer(last_loop));
}

}  // namespace
}  // namespace looplm
