// Models read from GGUF files, run.
#include "looplm/generate.h"

#include "infer/test_model.h"
#include "model/gguf_test_file.h"
#include "model/quantized_checkpoint.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

std::unique_ptr<Model> load(const std::string& path, const ModelOptions& options) {
  Result<std::unique_ptr<Model>> model = Model::load(path, options);
  EXPECT_OK(model);
  return std::move(model).value();
}

std::unique_ptr<Model> load(const std::string& path, const std::string& gate = "") {
  return load(path, ModelOptions{.threads = 1, .gate_file = gate});
}

std::unique_ptr<Model> load(const std::string& path, WeightType weights) {
  return load(path, ModelOptions{.threads = 1, .weights = weights});
}

PromptResult read(Model& model, const std::vector<int32_t>& ids, int64_t loops) {
  Model::Parts& parts = model.parts();
  return read_prompt(*parts.runner, parts.pages, ids, loops, 8);
}

TEST(InferGguf, F32FilesGiveTheBitsOfTheirDirectories) {
  for (const std::string name : {"ouro", "llama"}) {
    SCOPED_TRACE(name);
    const auto gguf = load(LOOPLM_GOLDEN_DIR "/gguf/" + name + ".gguf");
    const auto directory = load(golden(name));
    const std::vector<int32_t> ids = random_ids(12, gguf->config().vocab_size, 3);
    const int64_t loops = directory->config().loops;
    const PromptResult a = read(*gguf, ids, loops), b = read(*directory, ids, loops);
    EXPECT_TRUE(same_bits(a.normed, b.normed));
    EXPECT_TRUE(same_bits(a.logits, b.logits));
    EXPECT_TRUE(same_bits(a.gate, b.gate));
  }
}

// Sizes of whole blocks; the rest of a model that small_config describes.
ModelConfig block_config() {
  ModelConfig c = small_config();
  c.vocab_size = 96;
  c.hidden_size = 64;
  c.head_dim = 16;
  c.intermediate_size = 96;
  return c;
}

class InferGgufTypes : public ::testing::Test {
 protected:
  std::string write(GgmlType type) const {
    std::string path = directory_.file("m.gguf");
    const GgufTestFile file = gguf_of_model(config_, initial_fill(config_, 5), type);
    EXPECT_OK(write_text_file(path, file.bytes()));
    return path;
  }

  TempDir directory_;
  ModelConfig config_ = block_config();
  std::vector<int32_t> ids_ = random_ids(20, config_.vocab_size, 4);
};

TEST_F(InferGgufTypes, NarrowTypesComeClose) {
  config_.initializer_range = 0.1;  // so that attention does not turn small errors into large ones
  const auto exact = load(write(GgmlType::kF32));
  EXPECT_EQ(exact->parts().weights.format().dtype, DType::kF32);
  const PromptResult expected = read(*exact, ids_, config_.loops);
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kBf16, GgmlType::kQ8_0}) {
    SCOPED_TRACE(ggml_block(type).name);
    const auto model = load(write(type));
    EXPECT_EQ(model->parts().weights.format().dtype,
              type == GgmlType::kF16 ? DType::kF32 : DType::kBf16);
    const PromptResult actual = read(*model, ids_, config_.loops);
    // Weights off by 2e-4 (F16), 2e-3 (bf16) to 7e-3 (Q8_0) through 9 layers; 1.4 would be
    // unrelated logits.
    EXPECT_LE(relative_error(actual.logits, expected.logits), 0.05);
  }
}

// The same floats in an F32 file: blocks lose nothing in fp32, and half precision nothing at all.
TEST_F(InferGgufTypes, Fp32KeepsWhatTheFileSays) {
  for (const GgmlType type : {GgmlType::kQ8_0, GgmlType::kF16}) {
    SCOPED_TRACE(ggml_block(type).name);
    const std::string path = write(type);
    GgufTestFile spelled = gguf_of_model(config_, initial_fill(config_, 5), type);
    for (GgufTestTensor& tensor : spelled.tensors()) {
      if (static_cast<GgmlType>(tensor.type) != type) continue;
      std::vector<float> floats(static_cast<size_t>(tensor.sizes[0] * tensor.sizes[1]));
      read_ggml_blocks(type, reinterpret_cast<const std::byte*>(tensor.data.data()), floats);
      tensor.type = static_cast<uint32_t>(GgmlType::kF32);
      tensor.data = encode_ggml(GgmlType::kF32, floats);
    }
    const std::string floats = directory_.file("f32.gguf");
    ASSERT_OK(write_text_file(floats, spelled.bytes()));
    const PromptResult expected = read(*load(floats), ids_, config_.loops);
    const auto exact = load(path, WeightType::kF32);
    EXPECT_TRUE(same_bits(read(*exact, ids_, config_.loops).logits, expected.logits));
    const auto usual = load(path);
    EXPECT_EQ(
        static_cast<bool>(same_bits(read(*usual, ids_, config_.loops).logits, expected.logits)),
        type == GgmlType::kF16);
  }
}

// A matrix of floats among blocks is held as it is, and so are they.
TEST_F(InferGgufTypes, OneFinerMatrixMakesAllFp32) {
  GgufTestFile file = gguf_of_model(config_, initial_fill(config_, 5), GgmlType::kQ8_0);
  for (GgufTestTensor& tensor : file.tensors()) {
    if (tensor.name != "output.weight") continue;
    std::vector<float> floats(static_cast<size_t>(tensor.sizes[0] * tensor.sizes[1]), 0.1f);
    tensor.type = static_cast<uint32_t>(GgmlType::kF16);
    tensor.data = encode_ggml(GgmlType::kF16, floats);
  }
  const std::string path = directory_.file("mixed.gguf");
  ASSERT_OK(write_text_file(path, file.bytes()));
  const auto usual = load(path), exact = load(path, WeightType::kF32);
  EXPECT_EQ(usual->parts().weights.format().dtype, DType::kF32);
  EXPECT_TRUE(same_bits(read(*usual, ids_, config_.loops).logits,
                        read(*exact, ids_, config_.loops).logits));
}

// What the blocks say, saved as a directory, is the same model. The norms are ones, exact in bf16.
TEST_F(InferGgufTypes, BlocksGiveTheBitsOfTheModelTheySpellOut) {
  const std::string path = write(GgmlType::kQ8_0);
  const Result<Checkpoint> checkpoint = open_checkpoint(path);
  ASSERT_OK(checkpoint);
  const std::string directory = directory_.file("spelled");
  ThreadPool pool(1);
  ASSERT_OK(save_checkpoint(directory, checkpoint.value().config,
                            checkpoint_fill(checkpoint.value()), {}, pool));
  const PromptResult a = read(*load(path), ids_, config_.loops);
  const PromptResult b = read(*load(directory), ids_, config_.loops);
  EXPECT_TRUE(same_bits(a.logits, b.logits));
}

TEST_F(InferGgufTypes, AGateOfAnotherFileExitsAsTheDirectoryDoes) {
  const std::string directory = directory_.file("full");
  ParameterSet parameters = random_parameters(config_, 5);
  write_test_checkpoint(directory, parameters, config_);
  const std::string path = write(GgmlType::kF32);
  GenerateOptions request;
  request.max_tokens = 12;
  request.ignore_eos = true;
  request.exit = {.kind = ExitKind::kGate, .threshold = 0.6};
  EXPECT_ERROR_SAYS(generate(*load(path), ids_, request), "no exit gate");
  const Generation a = generate(*load(path, directory), ids_, request).value();
  const Generation b = generate(*load(directory), ids_, request).value();
  ASSERT_EQ(a.tokens.size(), b.tokens.size());
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    EXPECT_EQ(a.tokens[i].id, b.tokens[i].id);
    EXPECT_EQ(a.tokens[i].loops, b.tokens[i].loops);
    EXPECT_EQ(a.tokens[i].log_probability, b.tokens[i].log_probability);
  }
}

TEST_F(InferGgufTypes, TheTokenizerLiesBesideTheFile) {
  config_.vocab_size = 288;
  const std::string path = write(GgmlType::kF32);
  EXPECT_EQ(load(path)->tokenizer(), nullptr);
  write_byte_tokenizer(directory_.path(), 31);
  const auto beside = load(path);
  ASSERT_NE(beside->tokenizer(), nullptr);
  EXPECT_EQ(beside->name(), path);
}

TEST_F(InferGgufTypes, TheFilesOwnTokenizerIsReadUnlessOneLiesBeside) {
  GgufTestFile file = gguf_of_model(config_, initial_fill(config_, 5), GgmlType::kF32);
  file.add_text("tokenizer.ggml.model", "gpt2");
  file.add_text("tokenizer.ggml.pre", "gpt-2");
  file.add_list("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "ab"});
  file.add_list("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  const std::string path = directory_.file("m.gguf");
  ASSERT_OK(write_text_file(path, file.bytes()));
  const auto own = load(path);
  ASSERT_NE(own->tokenizer(), nullptr);
  EXPECT_EQ(own->tokenizer()->encode("aba").value(), (std::vector<int32_t>{2, 0}));
  // Written out with the model, it is the same.
  const std::string directory = directory_.file("written");
  ThreadPool pool(1);
  ASSERT_OK(save_quantized(directory, open_checkpoint(path).value(), BlockQuants::all(Quant::kInt8),
                           Quant::kInt8, pool));
  EXPECT_EQ(load(directory)->tokenizer()->encode("aba").value(), (std::vector<int32_t>{2, 0}));

  ASSERT_OK(write_text_file(directory_.file("tokenizer.json"), R"({
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "model": {"type": "BPE", "vocab": {"a": 7}, "merges": []}})"));
  EXPECT_EQ(load(path)->tokenizer()->encode("a").value(), (std::vector<int32_t>{7}));
}

TEST_F(InferGgufTypes, AForeignTokenizerIsANoteAndADamagedOneAnError) {
  const auto open = [&](const char* pre) {
    GgufTestFile file = gguf_of_model(config_, initial_fill(config_, 5), GgmlType::kF32);
    file.add_text("tokenizer.ggml.model", "gpt2");
    file.add_text("tokenizer.ggml.pre", pre);
    const std::string path = directory_.file("m.gguf");
    EXPECT_OK(write_text_file(path, file.bytes()));
    return open_checkpoint(path);
  };
  const Result<Checkpoint> foreign = open("tekken");
  ASSERT_OK(foreign);
  EXPECT_THAT(foreign.value().notes.back(), ::testing::HasSubstr("no tokenizer: "));
  EXPECT_EQ(foreign.value().tokenizer_status.code(), StatusCode::kUnsupported);
  EXPECT_EQ(load(directory_.file("m.gguf"))->tokenizer(), nullptr);
  EXPECT_ERROR_SAYS(open("gpt-2"), "m.gguf", "'tokenizer.ggml.tokens' is missing");
}

}  // namespace
}  // namespace looplm
