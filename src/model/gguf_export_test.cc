#include "model/gguf_export.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "looplm/tokenizer.h"

#include "base/bf16.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "model/gguf_encode.h"
#include "model/gguf_model.h"
#include "model/gguf_test_file.h"
#include "model/gguf_tokenizer_write.h"
#include "model/guess_maps.h"
#include "model/tokenizer_files.h"
#include "support/full_disk.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

std::vector<float> normal_values(size_t count, float deviation, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = deviation * rng.normal();
  return values;
}

std::vector<float> written_and_read(GgmlType type, std::span<const float> values) {
  const GgmlBlock block = ggml_block(type);
  std::vector<std::byte> bytes(values.size() / static_cast<size_t>(block.elements) *
                               static_cast<size_t>(block.bytes));
  write_ggml_blocks(type, values, bytes.data());
  std::vector<float> read(values.size());
  read_ggml_blocks(type, bytes.data(), read);
  return read;
}

// The error of `type`, over the size of the values.
double relative_error(GgmlType type, std::span<const float> values) {
  const std::vector<float> read = written_and_read(type, values);
  double error = 0, size = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(read[i] - values[i], 2);
    size += std::pow(values[i], 2);
  }
  return std::sqrt(error / size);
}

// llama.cpp's own figures for normal values: 0.0054, 0.0860 and 0.0714 (tests/oracle/gguf_export.py
// measures them on the same values).
TEST(GgufEncode, BlocksLoseNoMoreThanLlamaCpps) {
  const std::vector<float> values = normal_values(256 * 512, 0.03f, 1);
  EXPECT_LT(relative_error(GgmlType::kQ8_0, values), 0.0054);
  EXPECT_LT(relative_error(GgmlType::kQ4_0, values), 0.0865);
  EXPECT_LT(relative_error(GgmlType::kQ4K, values), 0.0714);
}

TEST(GgufEncode, PlainTypesAreTheFloatsRounded) {
  const std::vector<float> values = normal_values(64, 1, 2);
  EXPECT_EQ(written_and_read(GgmlType::kF32, values), values);
  std::vector<float> expected(values.size());
  for (size_t i = 0; i < values.size(); ++i) expected[i] = round_to_bf16(values[i]);
  EXPECT_EQ(written_and_read(GgmlType::kBf16, values), expected);
  for (size_t i = 0; i < values.size(); ++i) {
    expected[i] = half_to_float(float_to_half(values[i]));
  }
  EXPECT_EQ(written_and_read(GgmlType::kF16, values), expected);
}

// Zeros, one sign alone, one value far out: cases in which a scale or a minimum is 0.
TEST(GgufEncode, OddBlocksComeBackNearTheirValues) {
  std::vector<std::vector<float>> cases(6, std::vector<float>(256, 0.0f));
  for (size_t i = 0; i < 256; ++i) {
    cases[1][i] = 1;
    cases[2][i] = -1;
    cases[3][i] = static_cast<float>(i) / 256;
    cases[4][i] = -static_cast<float>(i) / 256;
  }
  cases[5][77] = 1000;
  for (const GgmlType type : {GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4K}) {
    for (const std::vector<float>& values : cases) {
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      const float range = std::max(*high, 0.0f) - std::min(*low, 0.0f);
      const std::vector<float> read = written_and_read(type, values);
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_LE(std::fabs(read[i] - values[i]), 0.13f * range)
            << ggml_block(type).name << " case " << &values - cases.data() << " element " << i;
      }
    }
  }
}

class GgufExportTest : public testing::Test {
 protected:
  // A model of each kind whose rows are blocks of 256.
  std::string save(const std::string& type, int64_t loops, int64_t width = 256) {
    ModelConfig config;
    config.model_type = type;
    config.vocab_size = 64;
    config.hidden_size = width;
    config.intermediate_size = 256;
    config.layers = 2;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 16;
    config.max_positions = 64;
    config.loops = loops;
    config.exit_gate = type == "ouro";
    config.norm_placement = type == "ouro" ? NormPlacement::kSandwich : NormPlacement::kPre;
    config.eos_token_ids = {3};
    config.bos_token_id = 1;
    std::string directory = folder_ + "/" + type;
    SaveOptions options;
    options.dtype = DType::kF32;
    EXPECT_OK(save_checkpoint(
        directory, config,
        [](int64_t parameter, int64_t first, std::span<float> out) {
          Rng rng(static_cast<uint64_t>(parameter));
          for (int64_t i = 0; i < first; ++i) rng.normal();
          for (float& value : out) value = rng.normal();
        },
        options, pool_));
    return directory;
  }

  Result<GgufExport> run(const std::string& directory, const std::string& file, GgmlType type) {
    LOOPLM_ASSIGN_OR_RETURN(const Checkpoint source, open_checkpoint(directory));
    GgufExportOptions options;
    options.type = type;
    options.chat_templates = {{"default", "{{ messages }}"}, {"tools", "{{ tools }}"}};
    return export_gguf(source, file, options, pool_);
  }

  static std::vector<float> values_of(const Checkpoint& checkpoint, size_t parameter) {
    std::vector<float> values(static_cast<size_t>(checkpoint.specs[parameter].count()));
    checkpoint_fill(checkpoint)(static_cast<int64_t>(parameter), 0, values);
    return values;
  }

  TempDir temporary_;
  const std::string folder_ = temporary_.path();
  ThreadPool pool_{2};
};

TEST_F(GgufExportTest, AModelComesBackAsItWas) {
  for (const auto& [type, loops] : {std::pair{"ouro", 3}, {"nanbeige", 2}, {"llama", 1}}) {
    const std::string directory = save(type, loops);
    const std::string file = fmt::format("{}/{}.gguf", folder_, type);
    const auto result = run(directory, file, GgmlType::kF32);
    ASSERT_OK(result);
    EXPECT_EQ(result.value().gate_file.empty(), type != std::string("ouro"));
    const Checkpoint before = open_checkpoint(directory).value();
    const Checkpoint after = open_checkpoint(file).value();
    EXPECT_EQ(after.config.model_type, type);
    EXPECT_EQ(after.config.loops, loops);
    EXPECT_EQ(after.config.exit_gate, before.config.exit_gate);
    EXPECT_EQ(after.config.norm_placement, before.config.norm_placement);
    EXPECT_EQ(after.config.head_dim, 16);
    EXPECT_EQ(after.config.kv_heads, 2);
    EXPECT_EQ(after.config.rope_theta, before.config.rope_theta);
    EXPECT_EQ(after.config.rms_norm_eps, before.config.rms_norm_eps);
    ASSERT_EQ(after.specs.size(), before.specs.size());
    for (size_t i = 0; i < before.specs.size(); ++i) {
      EXPECT_EQ(values_of(after, i), values_of(before, i)) << type << " " << before.specs[i].name;
    }
  }
}

TEST_F(GgufExportTest, GuessMapsGoBesideTheFile) {
  const std::string directory = save("ouro", 3), file = folder_ + "/m.gguf";
  const ModelConfig config = open_checkpoint(directory)->config;
  ParameterSet maps(guess_specs(config));
  std::ranges::fill(maps.values(), 0.25f);
  ASSERT_OK(save_guesses(folder_ + "/maps", maps, DType::kBf16));
  ASSERT_OK(copy_guesses(folder_ + "/maps", config, directory));
  const auto result = run(directory, file, GgmlType::kF32);
  ASSERT_OK(result);
  EXPECT_EQ(result.value().guess_file, folder_ + "/m.guess.safetensors");
  const auto plain = run(directory, folder_ + "/plain", GgmlType::kF32);
  ASSERT_OK(plain);  // a name without .gguf
  EXPECT_EQ(plain.value().guess_file, folder_ + "/plain.guess.safetensors");
  EXPECT_TRUE(read_guesses(folder_ + "/plain", config).value().has_value());
  const auto read = read_guesses(file, config);
  ASSERT_OK(read);
  ASSERT_TRUE(read.value().has_value());
  EXPECT_EQ(read.value()->values.values()[7], 0.25f);
  std::filesystem::remove(folder_ + "/m.gate.safetensors");
  EXPECT_ERROR_SAYS(run(save("llama", 1), file, GgmlType::kF32), "m.guess.safetensors",
                    "this model has no guess maps");
}

// The maps alone are larger than the disk; the model, which is written before, fits.
TEST_F(GgufExportTest, OfFilesThatBelongTogetherAllAppearOrNone) {
  const std::string directory = save("ouro", 3), file = folder_ + "/full/m.gguf";
  const ModelConfig config = open_checkpoint(directory)->config;
  ParameterSet maps(guess_specs(config));
  ASSERT_OK(save_guesses(folder_ + "/maps", maps, DType::kF32));
  ASSERT_OK(copy_guesses(folder_ + "/maps", config, directory));
  ASSERT_OK(make_directories(folder_ + "/full"));
  {
    const FullDisk disk(400'000);
    EXPECT_ERROR_SAYS(run(directory, file, GgmlType::kQ4K), "m.guess.safetensors");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/full"));
  ASSERT_OK(run(directory, file, GgmlType::kQ4K));
}

// Against tests' own writer, which was written from the format's description.
TEST_F(GgufExportTest, QueriesAndKeysStandInLlamaCppsOrder) {
  const std::string file = folder_ + "/m.gguf";
  ASSERT_OK(run(save("llama", 1), file, GgmlType::kF32));
  const Checkpoint before = open_checkpoint(folder_ + "/llama").value();
  const GgufFile gguf = GgufFile::open(file).value();
  for (size_t i = 0; i < before.specs.size(); ++i) {
    const ParameterSpec& spec = before.specs[i];
    if (!spec.name.ends_with(kQueryName) && !spec.name.ends_with(kKeyName)) continue;
    const std::vector<float> expected = interleave_heads(values_of(before, i), spec.shape[1], 16);
    const GgufTensor* tensor = gguf.find(gguf_tensor_name(spec.name));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(std::memcmp(gguf.data(*tensor), expected.data(), expected.size() * 4), 0)
        << spec.name;
  }
}

TEST_F(GgufExportTest, MatricesGetTheTypeAndVectorsStayFloats) {
  const std::string directory = save("llama", 1);
  const std::string file = folder_ + "/m.gguf";
  for (const GgmlType type :
       {GgmlType::kF16, GgmlType::kBf16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4K}) {
    ASSERT_OK(run(directory, file, type));
    const GgufFile gguf = GgufFile::open(file).value();
    EXPECT_EQ(gguf.find("blk.1.ffn_down.weight")->type, type);
    EXPECT_EQ(gguf.find("blk.1.ffn_norm.weight")->type, GgmlType::kF32);
    const bool four_bits = type == GgmlType::kQ4_0 || type == GgmlType::kQ4K;
    EXPECT_EQ(gguf.find("token_embd.weight")->type, four_bits ? GgmlType::kQ8_0 : type);
  }
}

TEST_F(GgufExportTest, RowsThatAreNoWholeBlocksGetAWiderType) {
  const std::string file = folder_ + "/m.gguf";
  ASSERT_OK(run(save("llama", 1, 96), file, GgmlType::kQ4K));
  EXPECT_EQ(GgufFile::open(file).value().find("blk.0.ffn_up.weight")->type, GgmlType::kQ8_0);
  EXPECT_EQ(GgufFile::open(file).value().find("blk.0.ffn_down.weight")->type, GgmlType::kQ4K);
  ASSERT_OK(run(save("llama", 1, 72), file, GgmlType::kQ4_0));
  EXPECT_EQ(GgufFile::open(file).value().find("blk.0.ffn_up.weight")->type, GgmlType::kF16);
}

// The keys of a golden tokenizer.json, beside those that llama.cpp's own package wrote for it.
TEST_F(GgufExportTest, TheTokenizerHasTheKeysOfLlamaCppsPackage) {
  const GgufFile golden = GgufFile::open(LOOPLM_GOLDEN_DIR "/gguf/tokenizer.gguf").value();
  const auto tokens = gguf_strings(golden.metadata(), "tokenizer.ggml.tokens").value();
  const std::string text = read_text_file(LOOPLM_GOLDEN_DIR "/text/smollm/tokenizer.json").value();
  ModelConfig config;
  config.vocab_size = static_cast<int64_t>(tokens.size()) + 2;
  GgufKeys keys;
  const auto tokenizer = Tokenizer::parse(text, "tokenizer.json").value();
  ASSERT_OK(add_gguf_tokenizer(text, *tokenizer, config, keys));
  const std::string file = folder_ + "/keys.gguf";
  ASSERT_OK(GgufWriter::create(file, keys, {})->commit());
  const GgufFile written = GgufFile::open(file).value();
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.pre"}) {
    EXPECT_EQ(gguf_string(written.metadata(), key, std::nullopt).value(),
              gguf_string(golden.metadata(), key, std::nullopt).value());
  }
  EXPECT_EQ(gguf_strings(written.metadata(), "tokenizer.ggml.merges").value(),
            gguf_strings(golden.metadata(), "tokenizer.ggml.merges").value());
  auto ours = gguf_strings(written.metadata(), "tokenizer.ggml.tokens").value();
  auto types = gguf_ints(written.metadata(), "tokenizer.ggml.token_type").value();
  EXPECT_EQ(ours.back(), fmt::format("[PAD{}]", tokens.size() + 1));
  EXPECT_EQ(types.back(), 5);  // never used
  ours.resize(tokens.size());
  types.resize(tokens.size());
  EXPECT_EQ(ours, tokens);
  EXPECT_EQ(types, gguf_ints(golden.metadata(), "tokenizer.ggml.token_type").value());
}

TEST_F(GgufExportTest, TextIsCutAsBeforeAndChatsHaveTheirTemplate) {
  const std::string directory = save("ouro", 2);
  const std::string golden = LOOPLM_GOLDEN_DIR "/../../models/small/";
  fs::copy_file(golden + "tokenizer.json", directory + "/tokenizer.json");
  fs::copy_file(golden + "tokenizer_config.json", directory + "/tokenizer_config.json");
  const std::string file = folder_ + "/m.gguf";
  EXPECT_ERROR_SAYS(run(directory, file, GgmlType::kF32), "the rows of the embedding");
  EXPECT_FALSE(fs::exists(file));

  ASSERT_OK(run(golden, file, GgmlType::kBf16));
  const auto before = Tokenizer::load(golden).value();
  const auto after = load_tokenizer(file).value();
  for (const char* text : {"oak tree: a tree", "7-2*3=", "Grüße, 12 + 30?\n<|endoftext|>x"}) {
    EXPECT_EQ(before->encode(text).value(), after->encode(text).value()) << text;
  }
  const GgufFile gguf = GgufFile::open(file).value();
  EXPECT_EQ(gguf_string(gguf.metadata(), "tokenizer.chat_template", "").value(), "{{ messages }}");
  EXPECT_EQ(gguf_string(gguf.metadata(), "tokenizer.chat_template.tools", "").value(),
            "{{ tools }}");
  EXPECT_EQ(open_checkpoint(file)->config.eos_token_ids, std::vector<int64_t>{0});
}

TEST_F(GgufExportTest, WhatAFileCannotSayIsAnError) {
  const std::string directory = save("llama", 1);
  const std::string file = folder_ + "/m.gguf";
  ASSERT_OK(write_text_file(folder_ + "/m.gate.safetensors", "of another model"));
  EXPECT_ERROR_SAYS(run(directory, file, GgmlType::kF32), "m.gate.safetensors' is there");

  ModelConfig config;
  config.vocab_size = 1024;
  GgufKeys keys;
  std::string text = read_text_file(LOOPLM_GOLDEN_DIR "/../../models/small/tokenizer.json").value();
  const size_t place = text.find("\"individual_digits\": true");
  ASSERT_NE(place, std::string::npos);
  text.replace(place, 25, "\"individual_digits\": false");
  const auto tokenizer = Tokenizer::parse(text, "tokenizer.json").value();
  EXPECT_THAT(add_gguf_tokenizer(text, *tokenizer, config, keys).message(),
              testing::HasSubstr("llama.cpp has no name for"));
  EXPECT_FALSE(fs::exists(file));
}

// As for whoever reads the tokenizer; and keys that nobody reads may be anything.
TEST(GgufTokenizerWrite, KeysThatAreNullCountAsMissing) {
  Json file = read_json_file(LOOPLM_GOLDEN_DIR "/../../models/small/tokenizer.json").value();
  Json& steps = file["pre_tokenizer"]["pretokenizers"];
  steps[0]["add_prefix_space"] = 5;
  for (const char* key : {"add_prefix_space", "use_regex", "trim_offsets"}) steps[1][key] = nullptr;
  steps[1]["add_prefix_space"] = false;
  file["model"]["ignore_merges"] = nullptr;
  file["added_tokens"][0]["special"] = nullptr;
  ModelConfig config;
  config.vocab_size = 1024;
  const auto written = [&] {
    GgufKeys keys;
    const auto tokenizer = Tokenizer::parse(file.dump(), "tokenizer.json").value();
    return add_gguf_tokenizer(file.dump(), *tokenizer, config, keys);
  };
  EXPECT_THAT(written().message(),
              testing::HasSubstr("llama.cpp has no name for"));  // of 'add_prefix_space': 5
  steps[0].erase("add_prefix_space");
  EXPECT_OK(written());
  steps[1]["add_prefix_space"] = nullptr;  // then true, which a file can say
  EXPECT_OK(written());
}

}  // namespace
}  // namespace looplm
