#include "model/initialize.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/bf16.h"
#include "base/file.h"
#include "model/tensor_read.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::vector<float> values(const ModelConfig& config, int64_t index, uint64_t seed) {
  const ParameterSpec spec = parameter_specs(config)[static_cast<size_t>(index)];
  std::vector<float> out(static_cast<size_t>(spec.count()));
  fill_initial(config, spec, index, seed, 0, out);
  return out;
}

TEST(Initialize, EachRoleHasItsDistribution) {
  const ModelConfig config = model_preset("tiny").value();
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::vector<float> v = values(config, static_cast<int64_t>(i), 1);
    double squares = 0;
    for (const float x : v) squares += double{x} * x;
    const double n = static_cast<double>(v.size());
    if (specs[i].role == ParameterRole::kNorm) {
      EXPECT_EQ(v, std::vector<float>(v.size(), 1.0f));
    } else if (specs[i].role == ParameterRole::kGateBias) {
      EXPECT_EQ(v, std::vector<float>{0});
    } else {
      EXPECT_NEAR(std::sqrt(squares / n), 0.02, 5 * 0.02 / std::sqrt(2 * n)) << specs[i].name;
    }
  }
  EXPECT_NE(values(config, 0, 1), values(config, 0, 2));
  EXPECT_NE(values(config, 2, 1)[0], values(config, 3, 1)[0]);
}

TEST(Initialize, WrittenFilesDependOnNeitherThreadsNorShards) {
  const TempDir directory;
  ModelConfig config = model_preset("tiny").value();
  config.vocab_size = 90000;  // more elements than are written at a time
  ThreadPool one(1);
  ThreadPool three(3);
  ASSERT_OK(write_random_checkpoint(config, 7, DType::kF32, directory.file("one"), one));
  ASSERT_OK(write_random_checkpoint(config, 7, DType::kF32, directory.file("three"), three));
  EXPECT_EQ(read_text_file(directory.file("one/model.safetensors")).value(),
            read_text_file(directory.file("three/model.safetensors")).value());

  SaveOptions shards;
  shards.dtype = DType::kBf16;
  shards.max_shard_bytes = 20000;
  ASSERT_OK(
      save_checkpoint(directory.file("bf16"), config, initial_fill(config, 7), shards, three));
  const Result<Checkpoint> exact = open_checkpoint(directory.file("one"));
  const Result<Checkpoint> rounded = open_checkpoint(directory.file("bf16"));
  ASSERT_OK(exact);
  ASSERT_OK(rounded);
  EXPECT_GT(rounded.value().weights.files().size(), 3);
  for (size_t i = 0; i < exact.value().specs.size(); ++i) {
    std::vector<float> a = values(config, static_cast<int64_t>(i), 7);
    std::vector<float> b(a.size());
    read_as_float(exact.value().tensors[i], b);
    EXPECT_EQ(a, b) << exact.value().specs[i].name;
    for (float& x : a) x = round_to_bf16(x);
    read_as_float(rounded.value().tensors[i], b);
    EXPECT_EQ(a, b) << exact.value().specs[i].name;
  }
}

}  // namespace
}  // namespace looplm
