#include "model/gguf_model.h"

#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "model/gguf_test_file.h"
#include "model/initialize.h"
#include "model/tensor_read.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::string golden(const std::string& path) { return LOOPLM_GOLDEN_DIR "/" + path; }

std::vector<float> values_of(const Checkpoint& checkpoint, size_t i) {
  std::vector<float> values(static_cast<size_t>(checkpoint.tensors[i].count()));
  read_as_float(checkpoint.tensors[i], values);
  return values;
}

size_t index_of(const Checkpoint& checkpoint, const std::string& name) {
  size_t i = 0;
  while (checkpoint.specs.at(i).name != name) ++i;
  return i;
}

void expect_same_bits(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.specs.size(), b.specs.size());
  for (size_t i = 0; i < a.specs.size(); ++i) {
    ASSERT_EQ(a.specs[i].name, b.specs[i].name);
    ASSERT_EQ(a.tensors[i].dtype, b.tensors[i].dtype);
    ASSERT_EQ(a.tensors[i].shape, b.tensors[i].shape);
    EXPECT_EQ(std::memcmp(a.tensors[i].data, b.tensors[i].data, a.tensors[i].bytes()), 0)
        << a.specs[i].name;
  }
}

// Every block's rows are whole blocks of 32; fewer key heads than heads.
ModelConfig small_config() {
  ModelConfig c = model_preset("tiny").value();
  c.vocab_size = 96;
  c.hidden_size = 64;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 16;
  c.intermediate_size = 96;
  c.initializer_range = 0.3;
  c.tie_embeddings = false;
  c.bos_token_id = -1;
  c.pad_token_id = -1;
  c.eos_token_ids = {5};
  c.dtype = "float32";
  return c;
}

class GgufModel : public ::testing::Test {
 protected:
  std::string write(const GgufTestFile& file, const std::string& name = "m.gguf") {
    const std::string path = directory_.file(name);
    EXPECT_OK(write_text_file(path, file.bytes()));
    return path;
  }
  GgufTestFile model(GgmlType type) const {
    return gguf_of_model(config_, initial_fill(config_, 1), type);
  }
  Result<Checkpoint> open(const GgufTestFile& file) { return open_checkpoint(write(file)); }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ThreadPool pool_{2};
};

// Files that llama.cpp's Python package wrote from the golden checkpoints.
TEST_F(GgufModel, PublishedWritersGiveTheSameModelsAsSafetensors) {
  for (const std::string name : {"ouro", "llama"}) {
    SCOPED_TRACE(name);
    const Result<Checkpoint> gguf = open_checkpoint(golden("gguf/" + name + ".gguf"));
    const Result<Checkpoint> directory = open_checkpoint(golden("model/" + name));
    ASSERT_OK(gguf);
    ASSERT_OK(directory);
    ModelConfig config = gguf.value().config;
    EXPECT_EQ(config.exit_gate, name == "ouro");  // from ouro.gate.safetensors beside
    // These files name no special tokens.
    config.bos_token_id = directory.value().config.bos_token_id;
    config.pad_token_id = directory.value().config.pad_token_id;
    config.eos_token_ids = directory.value().config.eos_token_ids;
    EXPECT_EQ(config, directory.value().config);
    EXPECT_TRUE(gguf.value().notes.empty());
    expect_same_bits(gguf.value(), directory.value());
  }
}

TEST_F(GgufModel, WithoutAGateItSaysSo) {
  const Result<Checkpoint> opened = open(model(GgmlType::kF32));
  ASSERT_OK(opened);
  EXPECT_FALSE(opened.value().config.exit_gate);
  EXPECT_EQ(opened.value().specs.size(), parameter_specs(config_).size() - 2);
  EXPECT_EQ(opened.value().config.loops, config_.loops);
  EXPECT_EQ(opened.value().config.eos_token_ids, config_.eos_token_ids);
  ASSERT_EQ(opened.value().notes.size(), 1u);
  EXPECT_THAT(opened.value().notes[0], ::testing::HasSubstr("no exit gate"));
  EXPECT_THAT(opened.value().notes[0], ::testing::HasSubstr("/m.gate.safetensors'"));
  EXPECT_EQ(opened.value().files(), std::vector<std::string>{directory_.file("m.gguf")});
}

TEST_F(GgufModel, TakesTheGateFromBesideFromTheOptionOrFromItself) {
  const std::string full = directory_.file("full");
  ASSERT_OK(write_random_checkpoint(config_, 1, DType::kF32, full, pool_));
  const Result<Checkpoint> original = open_checkpoint(full);
  ASSERT_OK(original);
  const std::string path = write(model(GgmlType::kF32));

  // A whole checkpoint may be named; its other tensors are not used.
  CheckpointOptions options;
  options.gate_file = full;
  const Result<Checkpoint> named = open_checkpoint(path, options);
  ASSERT_OK(named);
  expect_same_bits(named.value(), original.value());
  EXPECT_EQ(named.value().files().size(), 2u);

  GgufTestFile own = model(GgmlType::kF32);
  for (const auto& [ours, gguf] : {std::pair(kGateWeightName, kGgufGateWeightName),
                                   std::pair(kGateBiasName, kGgufGateBiasName)}) {
    const size_t i = index_of(original.value(), ours);
    const Shape& shape = original.value().specs[i].shape;
    own.add_tensor({gguf,
                    {shape.rbegin(), shape.rend()},
                    0,
                    encode_ggml(GgmlType::kF32, values_of(original.value(), i))});
  }
  const Result<Checkpoint> itself = open_checkpoint(write(own, "own.gguf"));
  ASSERT_OK(itself);
  expect_same_bits(itself.value(), original.value());

  ASSERT_OK(write_text_file(directory_.file("m.gate.safetensors"),
                            read_text_file(full + "/model.safetensors").value()));
  const Result<Checkpoint> beside = open_checkpoint(path);
  ASSERT_OK(beside);
  expect_same_bits(beside.value(), original.value());

  options.gate_file = golden("gguf/ouro.gate.safetensors");
  EXPECT_ERROR_SAYS(open_checkpoint(path, options), "gate file", "[1, 32]; expected [1, 64]");
  options.gate_file = golden("model/llama");
  EXPECT_ERROR_SAYS(open_checkpoint(path, options), "no tensor 'model.early_exit_gate.weight'");
  options.gate_file = directory_.file("none.safetensors");
  EXPECT_ERROR_SAYS(open_checkpoint(path, options), "none.safetensors");
  EXPECT_ERROR_SAYS(open_checkpoint(full, options), "is not a GGUF file");
}

TEST_F(GgufModel, EveryTypeIsCloseAndHoldsWhatItShould) {
  const Result<Checkpoint> exact = open(model(GgmlType::kF32));
  ASSERT_OK(exact);
  struct Case {
    GgmlType type;
    DType dtype;
    const char* config_dtype;
    double error;  // of each matrix, relative, Euclidean
  };
  // Half has 11 significant bits and bf16 has 8, so that rounding errs by about 2^-12.5 and 2^-9.5;
  // a Q8_0 step is 1/127 of a block's largest, about 2.2 deviations, and errs by 1/sqrt(12) of it.
  for (const Case& c : {Case{GgmlType::kF16, DType::kF16, "float16", 3e-4},
                        Case{GgmlType::kBf16, DType::kBf16, "bfloat16", 2.5e-3},
                        Case{GgmlType::kQ8_0, DType::kBf16, "bfloat16", 8e-3}}) {
    SCOPED_TRACE(ggml_block(c.type).name);
    const Result<Checkpoint> opened = open(model(c.type));
    ASSERT_OK(opened);
    EXPECT_EQ(opened.value().config.dtype, c.config_dtype);
    for (size_t i = 0; i < opened.value().specs.size(); ++i) {
      const ParameterSpec& spec = opened.value().specs[i];
      const bool norm = spec.role == ParameterRole::kNorm;
      EXPECT_EQ(opened.value().tensors[i].dtype, norm ? DType::kF32 : c.dtype);
      EXPECT_EQ(opened.value().stored_types[i], norm ? "F32" : ggml_block(c.type).name);
      const std::vector<float> a = values_of(opened.value(), i), b = values_of(exact.value(), i);
      double error = 0, size = 0;
      for (size_t k = 0; k < a.size(); ++k) {
        const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
        error += difference * difference;
        size += static_cast<double>(b[k]) * static_cast<double>(b[k]);
      }
      EXPECT_LE(std::sqrt(error / size), c.error) << spec.name;
      EXPECT_TRUE(norm || error > 0) << spec.name;
    }
  }
}

TEST_F(GgufModel, ThreadsDoNotChangeWhatIsRead) {
  const std::string path = write(model(GgmlType::kQ8_0));
  const Result<Checkpoint> alone = open_checkpoint(path);
  CheckpointOptions options;
  options.pool = &pool_;
  const Result<Checkpoint> together = open_checkpoint(path, options);
  ASSERT_OK(alone);
  ASSERT_OK(together);
  expect_same_bits(alone.value(), together.value());
  options.shapes_only = true;
  const Result<Checkpoint> shapes = open_checkpoint(path, options);
  ASSERT_OK(shapes);
  EXPECT_TRUE(shapes.value().converted.empty());
  EXPECT_EQ(read_checkpoint_config(path).value(), alone.value().config);
}

TEST_F(GgufModel, ATiedHeadIsAbsent) {
  config_.tie_embeddings = true;
  const Result<Checkpoint> opened = open(model(GgmlType::kF32));
  ASSERT_OK(opened);
  EXPECT_TRUE(opened.value().config.tie_embeddings);
}

TEST_F(GgufModel, RefusesKeysThatItCannotRun) {
  const auto with = [&](auto change) {
    GgufTestFile file = model(GgmlType::kF32);
    change(file);
    return open(file);
  };
  const auto number = [](const char* key, uint32_t value) {
    return [=](GgufTestFile& file) { file.add(key, value); };
  };
  EXPECT_OK(with(number("ouro.expert_count", 0)));
  EXPECT_ERROR_SAYS(with(number("ouro.expert_count", 8)), "m.gguf", "'ouro.expert_count' is 8");
  EXPECT_OK(with(number("ouro.rope.scaling.original_context_length", 8192)));
  EXPECT_ERROR_SAYS(with(number("ouro.rope.freq_base_swa", 10000)),
                    "'ouro.rope.freq_base_swa' is given", "plain RoPE");
  EXPECT_ERROR_SAYS(with(number("tokenizer.ggml.bos_token_id", 96)), "bos_token_id' is 96",
                    "0 to 95");
  EXPECT_ERROR_SAYS(
      with([](GgufTestFile& file) { file.add_text("ouro.rope.scaling.type", "yarn"); }), "'yarn'");
  EXPECT_ERROR_SAYS(with([](GgufTestFile& file) { file.add("ouro.rope.scaling.factor", 4.0f); }),
                    "factor' is 4");
  EXPECT_ERROR_SAYS(with([](GgufTestFile& file) { file.add_flag("ouro.attention.causal", false); }),
                    "causal");
  EXPECT_ERROR_SAYS(with([](GgufTestFile& file) { file.add_text("general.type", "adapter"); }),
                    "'general.type' is 'adapter'");

  GgufTestFile empty;
  EXPECT_ERROR_SAYS(open(empty), "'general.architecture' is missing");
  empty.add_text("general.architecture", "qwen2\n");
  EXPECT_ERROR_SAYS(open(empty), "'general.architecture' is 'qwen2?'", "ouro, llama");
  GgufTestFile bare;
  bare.add_text("general.architecture", "ouro");
  EXPECT_ERROR_SAYS(open(bare), "'ouro.block_count' is missing");
  GgufTestFile said = model(GgmlType::kF32);
  said.add("ouro.vocab_size", uint32_t{97});
  EXPECT_ERROR_SAYS(open(said), "'ouro.vocab_size' is 97", "96, the rows of 'token_embd.weight'");
  // A number per layer, as files of other models have it.
  GgufTestFile lists = bare;
  lists.add_list("ouro.block_count", std::vector<int32_t>{2, 2});
  EXPECT_ERROR_SAYS(open(lists), "'ouro.embedding_length' is missing");
  lists.add_list("ouro.embedding_length", std::vector<int32_t>{16, 32});
  EXPECT_ERROR_SAYS(open(lists), "embedding_length' is a list of different numbers");
}

TEST_F(GgufModel, AnOuroFileMustSayItsLoops) {
  GgufTestFile file = model(GgmlType::kF32);
  std::string bytes = file.bytes();
  bytes.replace(bytes.find("ouro.num_loops"), 14, "ouro.num_l00ps");
  const std::string path = directory_.file("m.gguf");
  ASSERT_OK(write_text_file(path, bytes));
  EXPECT_ERROR_SAYS(open_checkpoint(path), "'ouro.num_loops' is missing");
}

TEST_F(GgufModel, RefusesMissingMisshapenAndUnexpectedTensors) {
  GgufTestFile file = model(GgmlType::kF32);
  const GgufTestTensor last = file.tensors().back();
  ASSERT_EQ(last.name, "output.weight");

  file.tensors()[5].name = "blk.0.attn_output.bias";
  EXPECT_ERROR_SAYS(open(file), "no tensor 'blk.0.attn_output.weight'");
  file = model(GgmlType::kF32);
  file.tensors()[1].sizes = {32, 2};
  EXPECT_ERROR_SAYS(open(file), "'blk.0.attn_norm.weight' is [2, 32]; expected [64]");
  file = model(GgmlType::kF32);
  file.add_tensor({"rope_freqs.weight", {8}, 0, std::string(32, '\0')});
  EXPECT_ERROR_SAYS(open(file), "'rope_freqs.weight'", "only plain RoPE");
  file.tensors().back().name = "rope_factors_long.weight";
  EXPECT_ERROR_SAYS(open(file), "unexpected tensor 'rope_factors_long.weight'");
  file = model(GgmlType::kF32);
  file.add_tensor({"blk.0.attn_rot_embd.weight", {8}, 0, std::string(32, '\0')});
  EXPECT_OK(open(file));

  // An Ouro model that calls itself a Llama would run one loop without half of its norms.
  config_.model_type = "llama";
  EXPECT_ERROR_SAYS(open(model(GgmlType::kF32)), "unexpected tensor", "post_attention_norm");
}

TEST_F(GgufModel, OtherFilesAreNoModels) {
  ASSERT_OK(write_text_file(directory_.file("model.safetensors"), "0123456789"));
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.file("model.safetensors")), "model.safetensors",
                    "expected a GGUF file");
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.file("absent.gguf")), "absent.gguf");
}

}  // namespace
}  // namespace looplm
