#include "model/checkpoint.h"

#include <atomic>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "looplm/chat.h"

#include "base/bf16.h"
#include "base/file.h"
#include "base/json.h"
#include "model/initialize.h"
#include "model/tensor_read.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class CheckpointTest : public ::testing::Test {
 protected:
  // Writes weights of any declarations, all zeros except where `value` says otherwise.
  void write_weights(const std::vector<TensorDeclaration>& tensors, float embedding = 0) {
    Result<SafetensorsWriter> writer =
        SafetensorsWriter::create(directory_.file("model.safetensors"), tensors);
    ASSERT_OK(writer);
    for (const TensorDeclaration& tensor : tensors) {
      const float value = tensor.name == kEmbeddingName ? embedding : 0;
      const std::vector<float> data(tensor.bytes() / 4, value);
      ASSERT_OK(writer->write(std::as_bytes(std::span(data))));
    }
    ASSERT_OK(writer->commit());
  }

  std::vector<TensorDeclaration> declarations() const {
    std::vector<TensorDeclaration> tensors;
    for (const ParameterSpec& spec : parameter_specs(config_)) {
      tensors.push_back({spec.name, DType::kF32, spec.shape});
    }
    return tensors;
  }

  void write_config() {
    ASSERT_OK(write_text_file(directory_.file("config.json"), model_config_json(config_)));
  }

  TempDir directory_;
  ModelConfig config_ = model_preset("tiny").value();
  ThreadPool pool_{2};
};

TEST_F(CheckpointTest, OpensWhatFitsItsConfig) {
  write_config();
  write_weights(declarations());
  const Result<Checkpoint> checkpoint = open_checkpoint(directory_.path());
  ASSERT_OK(checkpoint);
  EXPECT_EQ(checkpoint.value().config, config_);
  ASSERT_EQ(checkpoint.value().tensors.size(), checkpoint.value().specs.size());
  for (size_t i = 0; i < checkpoint.value().specs.size(); ++i) {
    EXPECT_EQ(checkpoint.value().tensors[i].shape, checkpoint.value().specs[i].shape);
  }
}

TEST_F(CheckpointTest, SaysWhatElseADirectoryIs) {
  const auto holding = [&](const std::string& name) {
    const std::string folder = directory_.file("x");
    std::filesystem::remove_all(folder);
    EXPECT_OK(make_directories(std::filesystem::path(folder + "/" + name).parent_path().string()));
    EXPECT_OK(write_text_file(folder + "/" + name, ""));
    Result<Checkpoint> opened = open_checkpoint(folder);
    EXPECT_EQ(read_checkpoint_config(folder).status().message(), opened.status().message());
    return opened;
  };
  EXPECT_ERROR_SAYS(open_checkpoint(""), "the model's path is empty", "GGUF file");
  EXPECT_ERROR_SAYS(holding("adapter_config.json"), "x' holds an adapter and no model", "--lora");
  EXPECT_ERROR_SAYS(holding("guess.safetensors"), "holds guess maps and no model");
  EXPECT_ERROR_SAYS(holding("model/config.json"), "holds a run", "its model, '", "/x/model'");
  EXPECT_ERROR_SAYS(holding("model/adapter_config.json"), "holds a run", "/x/model'");
  EXPECT_ERROR_SAYS(holding("a.Q4_0.gguf"), "holds no config.json", "/x/a.Q4_0.gguf'");
  EXPECT_ERROR_SAYS(holding("m/config.json"), "holds no config.json", "such as '", "/x/m'");
  EXPECT_ERROR_SAYS(holding("m.gguf/config.json"), "such as '", "/x/m.gguf'");
  EXPECT_THAT(holding("m.gguf/notes.txt").status().message(), testing::EndsWith("or a GGUF file"));
  EXPECT_ERROR_SAYS(holding("run/model/config.json"), "holds no config.json", "/x/run/model'");
  EXPECT_ERROR_SAYS(holding("notes.txt"), "x' holds no config.json; expected a model's directory");
}

TEST_F(CheckpointTest, RefusesMissingMisshapenAndUnexpectedTensors) {
  write_config();
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "neither model.safetensors");

  std::vector<TensorDeclaration> tensors = declarations();
  tensors.erase(tensors.begin() + 3);
  write_weights(tensors);
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), directory_.path().c_str(),
                    "no tensor 'model.layers.0.self_attn.k_proj.weight'");

  tensors = declarations();
  std::swap(tensors[2].shape[0], tensors[2].shape[1]);
  write_weights(tensors);
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "model.layers.0.self_attn.q_proj.weight",
                    "[48, 64]", "expected [64, 48]");

  tensors = declarations();
  tensors.push_back({"model.layers.0.self_attn.q_proj.bias", DType::kF32, {64}});
  write_weights(tensors);
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "unexpected tensor",
                    "model.layers.0.self_attn.q_proj.bias");

  // A layer more than config.json says.
  tensors = declarations();
  config_.layers -= 1;
  write_config();
  write_weights(tensors);
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "unexpected", "model.layers.2.");

  std::filesystem::remove(directory_.file("config.json"));
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "holds no config.json");
}

TEST_F(CheckpointTest, ToleratesConstantsAndACopiedHeadOnly) {
  config_.tie_embeddings = true;
  write_config();
  std::vector<TensorDeclaration> tensors = declarations();
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {8}});
  tensors.push_back({kHeadName, DType::kF32, {config_.vocab_size, config_.hidden_size}});
  write_weights(tensors);
  EXPECT_OK(open_checkpoint(directory_.path()));
  write_weights(tensors, /*embedding=*/0.5f);
  EXPECT_ERROR_SAYS(open_checkpoint(directory_.path()), "'lm_head.weight' differs",
                    "'tie_word_embeddings'");
}

TEST_F(CheckpointTest, FindsTheFirstNotFiniteValueWhateverTheThreads) {
  const ParameterFill fill = [](int64_t parameter, int64_t first, std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t element = first + static_cast<int64_t>(i);
      const bool bad = (parameter == 4 && element >= 17) || parameter == 9;
      out[i] = bad ? std::numeric_limits<float>::quiet_NaN() : 1.0f;
    }
  };
  const std::string path = directory_.file("bad");
  ASSERT_OK(save_checkpoint(path, config_, fill, {}, pool_));
  const Result<Checkpoint> checkpoint = open_checkpoint(path);
  ASSERT_OK(checkpoint);
  for (int repeat = 0; repeat < 20; ++repeat) {
    EXPECT_ERROR_SAYS(check_finite(checkpoint.value(), pool_), path.c_str(),
                      "'model.layers.0.self_attn.v_proj.weight' has nan at index 17");
  }
}

TEST_F(CheckpointTest, ConvertsAndCopiesCompanions) {
  const std::string from = directory_.file("from");
  const std::string to = directory_.file("to");
  ASSERT_OK(write_random_checkpoint(config_, 3, DType::kF32, from, pool_));
  for (const char* name :
       {"tokenizer.json", "merges.txt", "modeling_ouro.py", "README.md", "optimizer.safetensors"}) {
    ASSERT_OK(write_text_file(from + "/" + name, name));
  }
  const Result<Checkpoint> source = open_checkpoint(from);
  ASSERT_OK(source);
  EXPECT_OK(check_finite(source.value(), pool_));
  SaveOptions options;
  options.companions_from = from;
  ASSERT_OK(save_checkpoint(to, config_, checkpoint_fill(source.value()), options, pool_));

  const Result<Checkpoint> converted = open_checkpoint(to);
  ASSERT_OK(converted);
  EXPECT_EQ(converted.value().config.dtype, "bfloat16");
  for (size_t i = 0; i < source.value().specs.size(); ++i) {
    std::vector<float> a(static_cast<size_t>(source.value().tensors[i].count()));
    std::vector<float> b(a.size());
    read_as_float(source.value().tensors[i], a);
    read_as_float(converted.value().tensors[i], b);
    EXPECT_EQ(converted.value().tensors[i].dtype, DType::kBf16);
    for (float& x : a) x = round_to_bf16(x);
    EXPECT_EQ(a, b);
  }
  EXPECT_EQ(read_text_file(to + "/tokenizer.json").value(), "tokenizer.json");
  EXPECT_TRUE(file_exists(to + "/merges.txt"));
  EXPECT_TRUE(file_exists(to + "/modeling_ouro.py"));
  EXPECT_FALSE(file_exists(to + "/README.md"));
  EXPECT_FALSE(file_exists(to + "/optimizer.safetensors"));

  // In place: from the directory that is replaced. README.md there is not a checkpoint's file.
  EXPECT_ERROR_SAYS(save_checkpoint(from, config_, checkpoint_fill(source.value()), options, pool_),
                    "from", "holds '");
  std::filesystem::remove(from + "/README.md");
  std::filesystem::remove(from + "/optimizer.safetensors");
  ASSERT_OK(save_checkpoint(from, config_, checkpoint_fill(source.value()), options, pool_));
  EXPECT_EQ(open_checkpoint(from).value().config.dtype, "bfloat16");
}

// A model that was taught another chat template stops in other programs too.
TEST_F(CheckpointTest, TheEndOfANewTemplatesTurnIsAnEndOfText) {
  const std::string from = directory_.file("from"), to = directory_.file("to");
  config_.eos_token_ids = {1};
  ASSERT_OK(write_random_checkpoint(config_, 3, DType::kF32, from, pool_));
  const Result<Checkpoint> source = open_checkpoint(from);
  ASSERT_OK(source);
  SaveOptions options;
  options.companions_from = from;
  options.ends_of_turn = {5};
  const auto saved = [&](const std::string& generation) {
    if (!generation.empty()) {
      EXPECT_OK(write_text_file(from + "/generation_config.json", generation));
    }
    EXPECT_OK(save_checkpoint(to, config_, checkpoint_fill(source.value()), options, pool_));
    EXPECT_EQ(read_model_config(to).value().eos_token_ids, (std::vector<int64_t>{1, 5}));
    return generation.empty()
               ? OrderedJson()
               : OrderedJson::parse(read_text_file(to + "/generation_config.json").value());
  };
  saved("");
  EXPECT_EQ(saved(R"({"top_k": 4, "eos_token_id": 1})"),
            OrderedJson::parse(R"({"top_k": 4, "eos_token_id": [1, 5]})"));
  const char* same = R"({"eos_token_id": [2, 5]})";
  EXPECT_EQ(saved(same), OrderedJson::parse(same));
  // transformers takes the ends from this file alone.
  EXPECT_EQ(saved(R"({"top_k": 4})"),
            OrderedJson::parse(R"({"top_k": 4, "eos_token_id": [1, 5]})"));
  EXPECT_OK(check_generation_config(from, config_.vocab_size));
  // What cannot be read is no reason to lose a model.
  for (const char* bad : {"[]", R"({"eos_token_id": 99999})", "{"}) {
    ASSERT_OK(write_text_file(from + "/generation_config.json", bad));
    EXPECT_ERROR_SAYS(check_generation_config(from, config_.vocab_size),
                      "/from/generation_config.json: ");
    EXPECT_OK(save_checkpoint(to, config_, checkpoint_fill(source.value()), options, pool_));
    EXPECT_EQ(read_text_file(to + "/generation_config.json").value(), bad);
  }
}

// A directory of a checkpoint has no folders, so they go where transformers reads them too.
TEST_F(CheckpointTest, ChatTemplatesOfAFolderAreKept) {
  const std::string from = directory_.file("from"), to = directory_.file("to");
  std::filesystem::create_directories(from + "/additional_chat_templates");
  std::filesystem::create_directories(to);
  ASSERT_OK(write_text_file(from + "/chat_template.jinja", "D"));
  ASSERT_OK(write_text_file(from + "/tokenizer_config.json", R"({"eos_token": "</s>"})"));
  ASSERT_OK(write_text_file(from + "/additional_chat_templates/tool_use.jinja", "T"));
  ASSERT_OK(copy_companions(from, to));
  const ChatFiles files = read_chat_files(to).value();
  ASSERT_EQ(files.templates.size(), 2u);
  EXPECT_EQ(files.templates[0].name + files.templates[0].text, "defaultD");
  EXPECT_EQ(files.templates[1].name + files.templates[1].text, "tool_useT");
  EXPECT_EQ(files.tokens.at("eos_token"), "</s>");
}

TEST_F(CheckpointTest, AFailedSaveLeavesTheOldCheckpoint) {
  const std::string path = directory_.file("out");
  ASSERT_OK(write_random_checkpoint(config_, 3, DType::kF32, path, pool_));
  const std::string before = read_text_file(path + "/model.safetensors").value();
  const ParameterFill fails = [](int64_t parameter, int64_t, std::span<float>) {
    if (parameter == 5) throw std::runtime_error("source died");
  };
  EXPECT_THROW((void)save_checkpoint(path, config_, fails, {}, pool_), std::runtime_error);
  ModelConfig broken = config_;
  broken.head_dim = 7;
  EXPECT_ERROR_SAYS(save_checkpoint(path, broken, initial_fill(broken, 1), {}, pool_), "head_dim");
  EXPECT_EQ(read_text_file(path + "/model.safetensors").value(), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

// While a training run replaces its checkpoint, a reader gets one of them, whole.
TEST_F(CheckpointTest, ReadersNeverMixTwoCheckpoints) {
  const std::string path = directory_.file("out");
  ModelConfig other = config_;
  other.layers = 1;
  ASSERT_OK(write_random_checkpoint(config_, 1, DType::kF32, path, pool_));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    ThreadPool pool(1);
    for (int i = 0; i < 20; ++i) {
      EXPECT_OK(write_random_checkpoint(i % 2 == 0 ? other : config_, 1, DType::kF32, path, pool));
    }
    stop = true;
  });
  int64_t opened = 0;
  while (!stop) {
    EXPECT_OK(open_checkpoint(path));
    ++opened;
  }
  writer.join();
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace looplm
