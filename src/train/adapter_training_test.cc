// Adapters: their gradients against those of the matrices that they change, and whole runs.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "support/full_disk.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/test_model.h"
#include "train/trainer.h"

namespace looplm {
namespace {

Batch some_batch() {
  Batch batch;
  Rng rng(3);
  for (int i = 0; i < 20; ++i) {
    batch.ids.push_back(static_cast<int32_t>(rng.below(64)));
    batch.targets.push_back(i == 7 ? kIgnoredTarget : static_cast<int32_t>(rng.below(64)));
  }
  batch.document_starts = {0, 8, 20};
  return batch;
}

// What of `set` is W, (out, in), as an element function.
struct Matrix {
  Matrix(const ParameterSet& set, const std::string& name)
      : data(set.find(name)), width(set.source()(name).value().shape[1]) {}
  double operator()(int64_t row, int64_t column) const {
    return static_cast<double>(data[row * width + column]);
  }
  const float* data;
  int64_t width;
};

// W + s B A has gradients s B^T dW and s dW A^T, so the adapter's follow from those of the merged
// model, which the golden files hold.
class AdapterGradientTest : public testing::TestWithParam<MemoryPolicy> {};

TEST_P(AdapterGradientTest, AreThoseOfTheMergedMatrices) {
  const ModelConfig config = tiny_config();
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  Adapter adapter{{.rank = 5, .alpha = 8, .dropout = 0, .targets = {}},
                  ParameterSet(std::vector<ParameterSpec>{})};
  adapter.values = ParameterSet(adapter_specs(config, adapter.settings));
  ASSERT_EQ(adapter.values.specs().size(), 2 * 7 * 2u);
  randomize(1, 0.2f, adapter.values);
  ParameterSet base(config);
  randomize(2, 0.2f, base);
  ParameterSet merged(config);
  for (size_t i = 0; i < merged.specs().size(); ++i) {
    const ParameterSpec& spec = merged.specs()[i];
    float* to = merged.data() + merged.offset(i);
    std::copy_n(base.find(spec.name), spec.count(), to);
    add_adapter(adapter, spec.name, 0, {to, static_cast<size_t>(spec.count())});
  }

  const Batch batch = some_batch();
  const TrunkShape shape = {batch.rows(), config.loops, 12, GetParam(), true};
  const std::unique_ptr<Objective> objective = make_objective({}, config.loops);
  const auto pass_over = [&](const ParameterSet& set, AdapterWeights* beside,
                             ParameterSet& gradients) {
    const ModelWeights weights = ModelWeights::for_training(set, config, DType::kF32, *device);
    BackwardWeights backward(config, float_format(DType::kF32));
    backward.repack(set.source(), *device);
    BatchPass pass(config, shape, beside);
    return pass.train(weights, &backward, batch, *objective, 0.1, gradients, *device).loss;
  };
  ParameterSet whole(config);
  const double expected_loss = pass_over(merged, nullptr, whole);
  AdapterWeights beside(config, adapter.settings, AdapterUse::kTraining);
  beside.repack(adapter.values, *device);
  ParameterSet gradients(adapter.values.specs());
  const double loss = pass_over(base, &beside, gradients);
  EXPECT_NEAR(loss, expected_loss, 1e-5 * expected_loss);

  const double scale = adapter.settings.scale();
  for (const ParameterSpec& spec : merged.specs()) {
    const std::string down = adapter_down_name(spec.name), up = adapter_up_name(spec.name);
    if (!adapter.values.contains(down)) continue;
    const Matrix dw(whole, spec.name), a(adapter.values, down), b(adapter.values, up);
    const Matrix da(gradients, down), db(gradients, up);
    const int64_t out = spec.shape[0], in = spec.shape[1], rank = adapter.settings.rank;
    double error = 0, size = 0;
    const auto compare = [&](double actual, double expected) {
      error += (actual - expected) * (actual - expected);
      size += expected * expected;
    };
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t i = 0; i < in; ++i) {
        double sum = 0;
        for (int64_t o = 0; o < out; ++o) sum += b(o, r) * dw(o, i);
        compare(da(r, i), scale * sum);
      }
      for (int64_t o = 0; o < out; ++o) {
        double sum = 0;
        for (int64_t i = 0; i < in; ++i) sum += dw(o, i) * a(r, i);
        compare(db(o, r), scale * sum);
      }
    }
    EXPECT_GT(size, 0) << spec.name;
    EXPECT_LT(std::sqrt(error / size), 1e-5) << spec.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, AdapterGradientTest,
                         testing::Values(MemoryPolicy::kKeepAll, MemoryPolicy::kBlockInputs,
                                         MemoryPolicy::kLoopInputs));

// Through matrices in small integers: loss and gradients are those of the floats that the integers
// stand for.
TEST(AdapterTraining, OnIntegersIsAsOnWhatTheyStandFor) {
  const ModelConfig config = tiny_config();
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  const AdapterSettings settings = {.rank = 5, .alpha = 8, .dropout = 0, .targets = {}};
  ParameterSet values(adapter_specs(config, settings)), base(config);
  randomize(1, 0.2f, values);
  randomize(2, 0.2f, base);
  const ParameterSet nothing(std::vector<ParameterSpec>{});
  const Batch batch = some_batch();
  const std::unique_ptr<Objective> objective = make_objective({}, config.loops);
  AdapterWeights beside(config, settings, AdapterUse::kTraining);
  beside.repack(values, *device);
  const auto pass_over = [&](const ParameterSet& set, const MatrixFormat& format,
                             ParameterSet& gradients) {
    const ModelWeights weights =
        std::move(ModelWeights::for_training(nothing, set.source(), config, format, *device))
            .value();
    BackwardWeights backward(config, format);
    backward.repack(set.source(), *device);
    BatchPass pass(config, {batch.rows(), config.loops, 12, MemoryPolicy::kLoopInputs, true},
                   &beside);
    return pass.train(weights, &backward, batch, *objective, 0.1, gradients, *device).loss;
  };
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    for (const Quant quant : {Quant::kInt8, Quant::kInt4}) {
      ParameterSet stand_for(config);
      for (size_t i = 0; i < base.specs().size(); ++i) {
        const ParameterSpec& spec = base.specs()[i];
        const auto width = static_cast<size_t>(spec.shape.back());
        const bool head = spec.role == ParameterRole::kHead;
        const float* from = base.data() + base.offset(i);
        float* to = stand_for.data() + stand_for.offset(i);
        std::copy_n(from, spec.count(), to);
        if (!head && spec.role != ParameterRole::kLinear) continue;
        QuantizedRow row;
        for (int64_t r = 0; r < spec.shape[0]; ++r) {
          const auto at = static_cast<size_t>(r) * width;
          quantize_row(head ? Quant::kInt8 : quant, {from + at, width}, row);
          dequantize_row(head ? Quant::kInt8 : quant, row, {to + at, width});
        }
      }
      ParameterSet expected(values.specs()), gradients(values.specs());
      const double loss = pass_over(stand_for, float_format(dtype), expected);
      MatrixFormat format = quantized_format(quant);
      format.dtype = dtype;
      format.widened = true;
      EXPECT_EQ(pass_over(base, format, gradients), loss);
      EXPECT_TRUE(std::equal(expected.values().begin(), expected.values().end(),
                             gradients.values().begin()));
      EXPECT_NE(expected.values()[0], 0);
    }
  }
}

// The loss is a function of A and B, with dropout too: its differences are the gradients.
class AdapterDifferencesTest : public testing::TestWithParam<AdapterSettings> {};

TEST_P(AdapterDifferencesTest, AreTheGradients) {
  const ModelConfig config = tiny_config();
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  const AdapterSettings& settings = GetParam();
  ParameterSet values(adapter_specs(config, settings)), base(config);
  randomize(1, 0.3f, values);
  randomize(2, 0.2f, base);
  const Batch batch = some_batch();
  const TrunkShape shape = {batch.rows(), config.loops, 12, MemoryPolicy::kLoopInputs, true};
  const std::unique_ptr<Objective> objective = make_objective({}, config.loops);
  const ModelWeights weights = ModelWeights::for_training(base, config, DType::kF32, *device);
  BackwardWeights backward(config, float_format(DType::kF32));
  backward.repack(base.source(), *device);
  AdapterWeights beside(config, settings, AdapterUse::kTraining);
  BatchPass pass(config, shape, &beside);
  ParameterSet gradients(values.specs());
  const auto loss_at = [&](const ParameterSet& at, uint64_t key) {
    beside.repack(at, *device);
    beside.set_dropout(key);
    std::fill(gradients.values().begin(), gradients.values().end(), 0.0f);
    return pass.train(weights, &backward, batch, *objective, 1, gradients, *device).loss;
  };
  const double loss = loss_at(values, 9);
  EXPECT_EQ(loss, loss_at(values, 9));
  if (settings.dropout > 0) {
    EXPECT_NE(loss, loss_at(values, 10));
  }
  loss_at(values, 9);
  const std::vector<float> all(gradients.values().begin(), gradients.values().end());
  // Along the gradient of one loop's tensors after the other's.
  const auto copies = static_cast<size_t>(settings.copies(config));
  for (size_t copy = 0; copy < copies; ++copy) {
    const size_t count = all.size() / copies, first = copy * count;
    double slope = 0;
    for (size_t at = first; at < first + count; ++at) {
      slope += static_cast<double>(all[at]) * static_cast<double>(all[at]);
    }
    ASSERT_GT(slope, 1e-4) << copy;
    const double step = 1e-2 / std::sqrt(slope);
    const auto moved = [&](double by) {
      ParameterSet to(values.specs());
      std::copy(values.values().begin(), values.values().end(), to.values().begin());
      for (size_t at = first; at < first + count; ++at) {
        to.values()[at] += static_cast<float>(by * static_cast<double>(all[at]));
      }
      return loss_at(to, 9);
    };
    EXPECT_NEAR((moved(step) - moved(-step)) / (2 * step), slope, 0.01 * slope) << copy;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Settings, AdapterDifferencesTest,
    testing::Values(AdapterSettings{.rank = 4, .alpha = 8, .targets = {}, .per_loop = true},
                    AdapterSettings{
                        .rank = 4, .alpha = 8, .dropout = 0.3, .targets = {"down_proj", "q_proj"}},
                    AdapterSettings{.rank = 2,
                                    .alpha = 8,
                                    .dropout = 0.2,
                                    .targets = {"o_proj", "up_proj"},
                                    .per_loop = true}));

class Ramps : public DocumentStream {
 public:
  int64_t vocab_size() const override { return 64; }
  uint64_t hash() const override { return 11; }
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override {
    ids.clear();
    for (uint64_t i = 0; i < 8; ++i) ids.push_back(static_cast<int32_t>((index % 50 + i) % 61));
    learnt.assign(ids.size(), true);
    learnt[0] = false;
  }
};

class AdapterRunTest : public testing::Test {
 protected:
  AdapterRunTest() : base_(tiny_config()) { randomize(2, 0.2f, base_); }

  RunConfig run(double dropout) const {
    RunConfig run;
    run.lora = {.rank = 4,
                .alpha = 8,
                .dropout = dropout,
                .targets = {"q_proj", "down_proj"},
                .per_loop = dropout > 0};
    run.data.sequence_length = 24;
    run.batch = {.sequences = 2, .accumulate = 2};
    run.run.steps = 8;
    run.schedule.peak = 1e-2;
    return run;
  }
  Result<std::unique_ptr<Trainer>> trainer(const RunConfig& run) const {
    return Trainer::create(run, {.threads = 2,
                                 .start = StartModel{tiny_config(), base_.source()},
                                 .streams = {std::make_shared<Ramps>()}});
  }
  std::string saved(const Trainer& trainer, const std::string& name) const {
    EXPECT_OK(trainer.save_model(dir_.file(name)));
    return read_text_file(dir_.file(name) + "/adapter_model.safetensors").value();
  }

  TempDir dir_;
  ParameterSet base_;
};

TEST_F(AdapterRunTest, LearnsSavesAndResumesBitForBit) {
  for (const double dropout : {0.0, 0.25}) {
    const bool per_loop = dropout > 0;
    auto straight = trainer(run(dropout));
    ASSERT_OK(straight);
    EXPECT_EQ((*straight)->describe().trained_parameters,
              (per_loop ? 3 : 1) * 2 * (4 * (32 + 32) + 4 * (48 + 32)));
    double first = 0, last = 0;
    for (int i = 0; i < 8; ++i) {
      auto report = (*straight)->step();
      ASSERT_OK(report);
      (i == 0 ? first : last) = report->loss;
      if (i == 3) ASSERT_OK((*straight)->save(dir_.file("state")));
    }
    EXPECT_LT(last, first);
    auto resumed = trainer(run(dropout));
    ASSERT_OK(resumed);
    ASSERT_OK((*resumed)->restore(dir_.file("state")));
    for (int i = 4; i < 8; ++i) ASSERT_OK((*resumed)->step());
    const std::string bytes = saved(**straight, "straight");
    EXPECT_EQ(saved(**resumed, "resumed"), bytes);
    RunConfig other = run(dropout);
    other.compute.memory = MemoryPolicy::kLoopInputs;
    auto again = trainer(other);
    ASSERT_OK(again);
    for (int i = 0; i < 8; ++i) ASSERT_OK((*again)->step());
    EXPECT_EQ(saved(**again, "again"), bytes);
    auto read = read_adapter(dir_.file("straight"), tiny_config());
    ASSERT_OK(read);
    EXPECT_EQ(read->settings.per_loop, per_loop);
    EXPECT_THAT(read->settings.targets, testing::ElementsAre("q_proj", "down_proj"));
    EXPECT_EQ(read->settings.dropout, dropout);
  }
}

// Else a base of integers would take its file's size besides, and most laptops have no place for
// both.
TEST_F(AdapterRunTest, ThePagesOfTheBasesFileAreLetGo) {
  const std::string base = dir_.file("base");
  const ModelConfig config = tiny_config();
  ThreadPool pool(1);
  ASSERT_OK(save_checkpoint(base, config, parameter_fill(base_), {}, pool));
  RunConfig on_file = run(0);
  on_file.model.from = base;
  on_file.compute.frozen = FrozenMatrices::kInt8;
  auto trainer = Trainer::create(on_file, {.threads = 2, .streams = {std::make_shared<Ramps>()}});
  ASSERT_OK(trainer);
  const auto resident = [&] {
    std::ifstream maps("/proc/self/smaps");
    int64_t kib = -1;
    for (std::string line; std::getline(maps, line);) {
      if (!line.ends_with(base + "/model.safetensors")) continue;
      while (!line.starts_with("Rss:") && std::getline(maps, line)) {
      }
      kib = std::max<int64_t>(kib, 0) + std::stoll(line.substr(4));
    }
    return kib;
  };
  EXPECT_EQ(resident(), 0);
  ASSERT_OK((*trainer)->step());
  EXPECT_EQ(resident(), 0);
  EXPECT_OK((*trainer)->weights()(kEmbeddingName));  // still there for those who ask
}

TEST_F(AdapterRunTest, AFullDiskLosesNothing) {
  auto straight = trainer(run(0.25));
  ASSERT_OK(straight);
  for (int i = 0; i < 4; ++i) ASSERT_OK((*straight)->step());
  ASSERT_OK((*straight)->save(dir_.file("state")));
  const std::string model = saved(**straight, "model");
  for (int i = 4; i < 6; ++i) ASSERT_OK((*straight)->step());
  {
    const FullDisk full(4000);
    EXPECT_ERROR_SAYS((*straight)->save(dir_.file("later")), "later");
    EXPECT_ERROR_SAYS((*straight)->save(dir_.file("state")), "state");
    EXPECT_ERROR_SAYS((*straight)->save_model(dir_.file("model")), "model");
  }
  EXPECT_FALSE(is_directory(dir_.file("later")));
  EXPECT_EQ(read_text_file(dir_.file("model") + "/adapter_model.safetensors").value(), model);
  ASSERT_OK(read_adapter(dir_.file("model"), tiny_config()));
  auto resumed = trainer(run(0.25));
  ASSERT_OK(resumed);
  ASSERT_OK((*resumed)->restore(dir_.file("state")));
  EXPECT_EQ((*resumed)->steps_done(), 4);
  for (int i = 4; i < 6; ++i) ASSERT_OK((*resumed)->step());
  EXPECT_EQ(saved(**resumed, "b"), saved(**straight, "a"));
  // Nothing half written stays behind.
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    EXPECT_THAT(entry.path().filename().string(), testing::AnyOf("state", "model", "a", "b"));
  }
}

TEST_F(AdapterRunTest, BadSettingsSayWhatIsWrong) {
  const std::string rest = "[run]\nsteps = 1\nout = \"x\"\n[data]\ntrain = \"a\"\n";
  const auto parsed = [&](const std::string& lora) {
    return parse_run_config("[model]\nfrom = \"m\"\n[lora]\n" + lora + rest, "run.toml");
  };
  EXPECT_ERROR_SAYS(parsed("rank = 0\n"), "lora.rank is 0", "from 1 to");
  EXPECT_ERROR_SAYS(parsed("alpha = 8\n"), "lora.rank");
  EXPECT_ERROR_SAYS(parsed("rank = 4\nalpha = inf\n"), "lora.alpha is inf");
  EXPECT_ERROR_SAYS(parsed("rank = 4\nalpha = nan\n"), "lora.alpha is nan");
  EXPECT_ERROR_SAYS(parsed("rank = 4\nalpha = 0\n"), "lora.alpha is 0");
  EXPECT_ERROR_SAYS(parsed("rank = 4\nalpha = -8\n"), "lora.alpha is -8");
  EXPECT_ERROR_SAYS(parsed("rank = 4\ndropout = 1.0\n"), "lora.dropout is 1");
  EXPECT_ERROR_SAYS(parsed("rank = 4\ntargets = [\"w_pack\"]\n"), "lora.targets", "w_pack",
                    "q_proj");
  auto good = parsed("rank = 4\ntargets = [\"q_proj\"]\nper_loop = true\n");
  ASSERT_OK(good);
  auto again = parse_run_config(write_run_config(*good), "again");
  ASSERT_OK(again);
  EXPECT_EQ(again->lora, good->lora);

  RunConfig gate = run(0);
  gate.objective.kind = ObjectiveKind::kStageTwo;
  EXPECT_ERROR_SAYS(trainer(gate), "stage2", "[lora]");
  RunConfig whole = run(0);
  whole.lora = {};
  whole.compute.frozen = FrozenMatrices::kInt8;
  EXPECT_ERROR_SAYS(trainer(whole), "compute.frozen is int8", "[lora]");
  RunConfig fresh = run(0);
  fresh.model.config = tiny_config();
  EXPECT_ERROR_SAYS(Trainer::create(fresh, {.streams = {std::make_shared<Ramps>()}}), "lora.rank",
                    "model.from");
}

}  // namespace
}  // namespace looplm
