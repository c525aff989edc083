// Against the PyTorch oracle (tests/oracle): forward, every parameter's gradient under every
// objective, and ten optimiser steps.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/json.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "support/status_matchers.h"
#include "train/batch.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace looplm {
namespace {

std::string golden(const std::string& path) { return LOOPLM_GOLDEN_DIR "/model/" + path; }

std::vector<float> tensor(const Safetensors& file, const std::string& name) {
  const TensorView view = file.find(name).value();
  std::vector<float> values(static_cast<size_t>(view.count()));
  const std::byte* data = view.data;
  std::memcpy(values.data(), data, view.bytes());
  return values;
}

// |actual - expected| / |expected|, Euclidean norms.
double relative_error(std::span<const float> actual, std::span<const float> expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double e = static_cast<double>(expected[i]);
    const double d = static_cast<double>(actual[i]) - e;
    error += d * d;
    size += e * e;
  }
  return size == 0 ? std::sqrt(error) : std::sqrt(error / size);
}

Batch batch_of(const Json& json) {
  Batch batch;
  batch.ids = json["ids"].get<std::vector<int32_t>>();
  batch.document_starts = json["document_starts"].get<std::vector<int64_t>>();
  batch.targets = json.contains("targets") ? json["targets"].get<std::vector<int32_t>>()
                                           : std::vector<int32_t>(batch.ids.size(), kIgnoredTarget);
  return batch;
}

// A golden case: its model as a trainer holds it.
struct GoldenCase {
  explicit GoldenCase(const std::string& name, const cpu::KernelTable& kernels)
      : json(read_json_file(golden(name + "/case.json")).value()),
        checkpoint(std::move(open_checkpoint(golden(name)).value())),
        parameters(checkpoint.config),
        gradients(checkpoint.config),
        device(2, kernels) {
    const ParameterFill fill = checkpoint_fill(checkpoint);
    for (size_t i = 0; i < parameters.specs().size(); ++i) {
      fill(static_cast<int64_t>(i), 0,
           {parameters.data() + parameters.offset(i),
            static_cast<size_t>(parameters.specs()[i].count())});
    }
  }
  const ModelConfig& config() const { return checkpoint.config; }
  TrunkShape shape(const Batch& batch, MemoryPolicy policy = MemoryPolicy::kBlockInputs) const {
    TrunkShape s;
    s.rows = batch.rows();
    s.loops = json.contains("loops") ? json["loops"].get<int64_t>() : config().loops;
    s.max_document = batch.rows();
    s.policy = policy;
    return s;
  }

  Json json;
  Checkpoint checkpoint;
  ParameterSet parameters;
  ParameterSet gradients;
  Device device;
};

class Golden : public testing::TestWithParam<Isa> {
 protected:
  const cpu::KernelTable& kernels() const { return *cpu::kernel_table(GetParam()); }
};

TEST_P(Golden, StatesLogitsAndGatesOfEveryLoop) {
  for (const char* name : {"ouro", "gqa", "llama", "unnormed", "tied", "no_gate", "deeper",
                           "packed", "bf16", "f16", "odd"}) {
    SCOPED_TRACE(name);
    GoldenCase c(name, kernels());
    const Batch batch = batch_of(c.json);
    const Safetensors expected =
        std::move(Safetensors::open(golden(std::string(name) + "/expected.safetensors")).value());
    TrunkShape shape = c.shape(batch);
    for (bool backward : {true, false}) {
      shape.backward = backward;
      Trunk trunk(c.config(), shape);
      const ModelWeights weights =
          ModelWeights::for_training(c.parameters, c.config(), DType::kF32, c.device);
      trunk.forward(weights, batch.ids, batch.document_starts, c.device);
      const std::vector<float> normed = tensor(expected, "normed");
      const std::vector<float> logits = tensor(expected, "logits");
      const auto states = static_cast<size_t>(shape.rows * c.config().hidden_size);
      const auto outputs = static_cast<size_t>(shape.rows * c.config().vocab_size);
      for (int64_t t = 0; t < shape.loops; ++t) {
        const auto loop = static_cast<size_t>(t);
        EXPECT_LE(relative_error({trunk.state(t), states}, {&normed[loop * states], states}), 1e-5);
        std::vector<float> actual(outputs);
        MatmulParams head;
        head.a = trunk.state(t);
        head.a_row_stride = c.config().hidden_size;
        head.rows = shape.rows;
        head.b = &weights.head();
        head.c = actual.data();
        head.c_row_stride = c.config().vocab_size;
        matmul(head, c.device);
        EXPECT_LE(relative_error(actual, {&logits[loop * outputs], outputs}), 1e-5) << "loop " << t;
        if (!c.config().exit_gate) continue;
        const std::vector<float> gates = tensor(expected, "gate_logits");
        std::vector<float> z(static_cast<size_t>(shape.rows));
        gate_forward({trunk.state(t), weights.gate_weight(), weights.gate_bias(), shape.rows,
                      c.config().hidden_size, z.data()},
                     c.device);
        EXPECT_LE(relative_error(z, {&gates[loop * z.size()], z.size()}), 1e-5);
      }
    }
  }
}

// peft's adapter and what peft computes with it: added to the matrices, and beside them.
TEST_P(Golden, AnAdapterOfPeft) {
  GoldenCase c("llama", kernels());
  const Batch batch = batch_of(c.json);
  Result<Adapter> adapter = read_adapter(golden("adapter"), c.config());
  ASSERT_OK(adapter);
  const std::vector<float> expected = tensor(
      std::move(Safetensors::open(golden("adapter/expected.safetensors")).value()), "logits");
  const auto rows = batch.rows();
  TrunkShape shape = c.shape(batch);
  shape.backward = false;
  Result<AdaptedTensors> merged = AdaptedTensors::create(c.checkpoint, *adapter, c.device.pool());
  ASSERT_OK(merged);
  AdapterWeights apart(c.config(), adapter->settings, AdapterUse::kForwardOnly);
  apart.repack(adapter->values, c.device);
  const ParameterSet none(std::vector<ParameterSpec>{});
  for (const bool beside : {false, true}) {
    const TensorSource source = beside ? c.parameters.source() : merged->source();
    const ModelWeights weights =
        std::move(ModelWeights::for_training(none, source, c.config(), float_format(DType::kF32),
                                             c.device))
            .value();
    Trunk trunk(c.config(), shape, beside ? &apart : nullptr);
    trunk.forward(weights, batch.ids, std::vector<int64_t>{0, rows}, c.device);
    std::vector<float> logits(static_cast<size_t>(rows * c.config().vocab_size));
    MatmulParams head;
    head.a = trunk.state(0);
    head.a_row_stride = c.config().hidden_size;
    head.rows = rows;
    head.b = &weights.head();
    head.c = logits.data();
    head.c_row_stride = c.config().vocab_size;
    matmul(head, c.device);
    EXPECT_LE(relative_error(logits, expected), 1e-5) << (beside ? "beside" : "merged");
  }
}

std::unique_ptr<Objective> objective_of(const Json& json, int64_t loops) {
  const std::string kind = json["kind"];
  if (kind == "last_loop") return std::make_unique<LastLoopObjective>();
  if (kind == "stage2") {
    return std::make_unique<StageTwoObjective>(
        StageTwoSettings{json["k"], json["gamma"], json.value("forward_looking", false)});
  }
  ExitPrior prior;
  prior.kind = value_named(kExitPriorNames, json["prior"]["kind"].get<std::string>()).value();
  prior.parameter = json["prior"]["parameter"];
  prior.mean = json["prior"]["mean"];
  prior.sigma = json["prior"]["sigma"];
  if (json.contains("log_prior")) {
    const auto expected = json["log_prior"].get<std::vector<double>>();
    const std::vector<double> actual = prior.log_probabilities(loops);
    for (size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(actual[t], expected[t], 1e-7);
  }
  return std::make_unique<StageOneObjective>(json["beta"].get<double>(), prior, loops);
}

TEST_P(Golden, GradientsOfEveryParameterUnderEveryObjective) {
  for (const char* name : {"train_gqa", "train_tied", "train_unnormed"}) {
    GoldenCase c(name, kernels());
    const Batch batch = batch_of(c.json);
    const ModelWeights weights =
        ModelWeights::for_training(c.parameters, c.config(), DType::kF32, c.device);
    BackwardWeights backward(c.config(), float_format(DType::kF32));
    backward.repack(c.parameters.source(), c.device);
    const double scale = 1.0 / static_cast<double>(batch.target_count());
    for (const Json& o : c.json["objectives"]) {
      // The uniform prior's gradients are those of the entropy, so they have no file of their own.
      const std::string file = o.value("gradients", "gradients_stage1_entropy.safetensors");
      SCOPED_TRACE(std::string(name) + " " + file);
      const Safetensors expected =
          std::move(Safetensors::open(golden(std::string(name) + "/" + file)).value());
      for (MemoryPolicy policy :
           {MemoryPolicy::kKeepAll, MemoryPolicy::kBlockInputs, MemoryPolicy::kLoopInputs}) {
        const TrunkShape shape = c.shape(batch, policy);
        const std::unique_ptr<Objective> objective = objective_of(o, shape.loops);
        BatchPass pass(c.config(), shape);
        std::fill(c.gradients.values().begin(), c.gradients.values().end(), 0.0f);
        const BatchMetrics m =
            pass.train(weights, &backward, batch, *objective, scale, c.gradients, c.device);
        EXPECT_NEAR(m.loss * scale, o["loss"].get<double>(), 1e-5 * o["loss"].get<double>());
        for (int64_t t = m.first_loop; t < shape.loops; ++t) {
          const auto at = static_cast<size_t>(t);
          EXPECT_NEAR(m.nll[at] * scale, c.json["nll"][at].get<double>(), 3e-5);
          EXPECT_NEAR(m.entropy[at] * scale, c.json["entropy"][at].get<double>(), 3e-5);
          EXPECT_NEAR(m.exit[at] * scale, c.json["exit"][at].get<double>(), 1e-5);
        }
        EXPECT_NEAR(m.exit_entropy * scale, c.json["exit_entropy"].get<double>(), 1e-5);
        for (size_t i = 0; i < c.gradients.specs().size(); ++i) {
          const ParameterSpec& spec = c.gradients.specs()[i];
          const std::span<const float> actual = {c.gradients.data() + c.gradients.offset(i),
                                                 static_cast<size_t>(spec.count())};
          if (!expected.contains(spec.name)) {  // Stage II: everything but the gate is frozen
            EXPECT_FALSE(objective->trains_trunk());
            EXPECT_EQ(std::count(actual.begin(), actual.end(), 0.0f), spec.count()) << spec.name;
            continue;
          }
          EXPECT_LE(relative_error(actual, tensor(expected, spec.name)), 1e-4) << spec.name;
        }
      }
    }
  }
}

TEST_P(Golden, TenStepsOfTraining) {
  GoldenCase c("train_curve", kernels());
  const Json& settings = c.json["optimizer"];
  OptimizerSettings adamw;
  adamw.beta1 = settings["beta1"];
  adamw.beta2 = settings["beta2"];
  adamw.epsilon = settings["epsilon"];
  adamw.weight_decay = settings["weight_decay"];
  adamw.clip = settings["clip"];
  Schedule schedule;
  schedule.peak = settings["learning_rate"];
  schedule.warmup_steps = settings["warmup_steps"];
  Optimizer optimizer(c.parameters.specs(), adamw);
  ModelWeights weights =
      ModelWeights::for_training(c.parameters, c.config(), DType::kF32, c.device);
  BackwardWeights backward(c.config(), float_format(DType::kF32));
  const std::unique_ptr<Objective> objective = objective_of(c.json["objective"], c.config().loops);
  const auto steps = static_cast<int64_t>(c.json["steps"].size());
  int64_t step = 0;
  for (const Json& s : c.json["steps"]) {
    ++step;
    const Batch batch = batch_of(s);
    BatchPass pass(c.config(), c.shape(batch));
    weights.repack(c.parameters, c.device);
    backward.repack(c.parameters.source(), c.device);
    std::fill(c.gradients.values().begin(), c.gradients.values().end(), 0.0f);
    const double scale = 1.0 / static_cast<double>(batch.target_count());
    const BatchMetrics m =
        pass.train(weights, &backward, batch, *objective, scale, c.gradients, c.device);
    const double loss = s["loss"], norm = s["gradient_norm"];
    EXPECT_NEAR(m.loss * scale, loss, 1e-5 * std::abs(loss)) << "step " << step;
    EXPECT_DOUBLE_EQ(schedule.at(step, steps), s["learning_rate"].get<double>());
    EXPECT_NEAR(optimizer.step(c.parameters, c.gradients, schedule.at(step, steps), c.device), norm,
                1e-4 * norm);
  }
  EXPECT_EQ(step, 10);
  const Safetensors expected =
      std::move(Safetensors::open(golden("train_curve/final.safetensors")).value());
  for (size_t i = 0; i < c.parameters.specs().size(); ++i) {
    const ParameterSpec& spec = c.parameters.specs()[i];
    EXPECT_LE(relative_error(
                  {c.parameters.data() + c.parameters.offset(i), static_cast<size_t>(spec.count())},
                  tensor(expected, spec.name)),
              1e-4)
        << spec.name;
  }
}

std::string isa_parameter_name(const testing::TestParamInfo<Isa>& parameter) {
  return isa_name(parameter.param);
}
INSTANTIATE_TEST_SUITE_P(Isa, Golden, testing::ValuesIn(available_isas()), isa_parameter_name);

}  // namespace
}  // namespace looplm
