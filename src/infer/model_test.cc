// Models made of parts in memory, models whose weights change, and models whose files do.
#include "looplm/model.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>

#include <unistd.h>

#include "looplm/generate.h"

#include "infer/test_model.h"
#include "model/gguf_test_file.h"
#include "model/memory_report.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

constexpr WeightType kWeightTypes[] = {WeightType::kAsStored, WeightType::kF32, WeightType::kBf16,
                                       WeightType::kInt8, WeightType::kInt4};

class ModelTest : public ::testing::Test {
 protected:
  ModelSource source_of(const ParameterSet& parameters) const {
    ModelSource source;
    source.config = config_;
    source.tensors = parameters.source();
    source.name = "made here";
    return source;
  }
  static ModelOptions options(WeightType weights = WeightType::kAsStored) {
    ModelOptions o;
    o.threads = 1;
    o.weights = weights;
    return o;
  }
  std::unique_ptr<Model> make(const ParameterSet& parameters,
                              WeightType weights = WeightType::kAsStored) const {
    return std::move(Model::create(source_of(parameters), options(weights))).value();
  }
  PromptResult read(Model& model) const {
    return read_prompt(*model.parts().runner, model.parts().pages, ids_, config_.loops, 8);
  }
  ::testing::AssertionResult same_model(Model& a, Model& b) const {
    const PromptResult x = read(a), y = read(b);
    if (const auto gate = same_bits(x.gate, y.gate); !gate) return gate;
    return same_bits(x.logits, y.logits);
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet first_ = random_parameters(config_, 1);
  ParameterSet second_ = random_parameters(config_, 2);
  std::vector<int32_t> ids_ = random_ids(20, config_.vocab_size, 4);
};

TEST_F(ModelTest, MadeOfPartsItIsTheModelOfTheFiles) {
  write_test_checkpoint(directory_.file("model"), first_, config_);
  for (const WeightType weights : kWeightTypes) {
    SCOPED_TRACE(static_cast<int>(weights));
    const auto loaded = std::move(Model::load(directory_.file("model"), options(weights))).value();
    EXPECT_TRUE(same_model(*make(first_, weights), *loaded));
  }
}

TEST_F(ModelTest, KeepsNothingOfItsSource) {
  const auto expected = make(first_);
  std::unique_ptr<Model> model;
  {
    ParameterSet gone = random_parameters(config_, 1);
    model = make(gone);
    std::fill(gone.values().begin(), gone.values().end(), 7.0f);
  }
  EXPECT_TRUE(same_model(*model, *expected));
}

TEST_F(ModelTest, HoldsATokenizerTogetherWithOthers) {
  config_.vocab_size = 288;
  const ParameterSet parameters = random_parameters(config_, 1);
  ModelSource source = source_of(parameters);
  EXPECT_EQ(make(parameters)->tokenizer(), nullptr);
  GenerateOptions request;
  request.stop_strings = {"x"};
  EXPECT_ERROR_SAYS(generate(*make(parameters), ids_, request), "'made here' has none");
  write_byte_tokenizer(directory_.path(), 31);
  source.tokenizer = std::move(Tokenizer::load(directory_.path())).value();
  const auto a = std::move(Model::create(source, options())).value();
  const auto b = std::move(Model::create(source, options())).value();
  EXPECT_EQ(a->tokenizer(), source.tokenizer.get());
  EXPECT_EQ(b->tokenizer(), source.tokenizer.get());
  EXPECT_OK(generate(*a, ids_, request));
}

TEST_F(ModelTest, RunsOnTheDeviceOfAnother) {
  const auto first = make(first_);
  ModelOptions shared = options();
  shared.device = first->device();
  const auto second = std::move(Model::create(source_of(second_), shared)).value();
  EXPECT_EQ(second->device(), first->device());
  EXPECT_TRUE(same_model(*second, *make(second_)));
  EXPECT_TRUE(same_model(*first, *make(first_)));
}

TEST_F(ModelTest, NewWeightsMakeTheModelOfTheNewWeights) {
  for (const WeightType weights : kWeightTypes) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(static_cast<int>(weights) * 2 + tied);
      config_.tie_embeddings = tied;
      const ParameterSet first = random_parameters(config_, 1);
      const ParameterSet second = random_parameters(config_, 2);
      const auto model = make(first, weights);
      EXPECT_EQ(model->weights_version(), 1u);
      ASSERT_OK(model->update_weights(second.source()));
      EXPECT_EQ(model->weights_version(), 2u);
      EXPECT_TRUE(same_model(*model, *make(second, weights)));
      EXPECT_FALSE(same_model(*model, *make(first, weights)));
      ASSERT_OK(model->update_weights(first.source()));
      EXPECT_EQ(model->weights_version(), 3u);
      EXPECT_TRUE(same_model(*model, *make(first, weights)));
    }
  }
}

// The types are those of the first weights, whatever the new ones come in.
TEST_F(ModelTest, NewWeightsAreRoundedToTheTypesHeld) {
  ThreadPool pool(1);
  const auto save = [&](uint64_t seed, const std::string& name) {
    EXPECT_OK(
        save_checkpoint(directory_.file(name), config_, initial_fill(config_, seed), {}, pool));
    return std::move(Model::load(directory_.file(name), options())).value();
  };
  const auto model = save(1, "bf16");
  ASSERT_EQ(model->parts().weights.embedding().dtype, DType::kBf16);
  ASSERT_OK(model->update_weights(second_.source()));
  EXPECT_EQ(model->parts().weights.embedding().dtype, DType::kBf16);
  // Fresh norms and gates are exact in bf16, or so close that only the gate shows it.
  EXPECT_TRUE(same_bits(read(*model).logits, read(*save(2, "other")).logits));
}

TEST_F(ModelTest, AnEndOfTextOutsideTheVocabularyIsAnError) {
  ModelSource source = source_of(first_);
  for (const int32_t id : {-1, static_cast<int32_t>(config_.vocab_size)}) {
    source.ends_of_text = {{0, {"first"}}, {id, {"second"}}};
    EXPECT_ERROR_SAYS(Model::create(source, options()), "made here", "ends a text",
                      "expected 0 to");
  }
}

TEST_F(ModelTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
  const auto model = make(first_);
  const auto refused = [&](const TensorSource& tensors, const char* what) {
    EXPECT_ERROR_SAYS(model->update_weights(tensors), "made here", what);
    ModelSource source = source_of(first_);
    source.tensors = tensors;
    EXPECT_ERROR_SAYS(Model::create(source, options()), "made here", what);
    EXPECT_EQ(model->weights_version(), 1u);
    EXPECT_TRUE(same_model(*model, *make(first_)));
  };
  const TensorSource good = second_.source();
  // In the tensor that is asked for last.
  const auto with = [&](auto change) -> TensorSource {
    return [&good, change](const std::string& name) -> Result<TensorView> {
      Result<TensorView> view = good(name);
      if (name == kHeadName) change(view.value());
      return view;
    };
  };
  refused(
      [&](const std::string& name) -> Result<TensorView> {
        if (name == kHeadName) return not_found("no lm_head here");
        return good(name);
      },
      "no lm_head here");
  refused(with([](TensorView&) { throw std::runtime_error("lost"); }),
          "the source of tensor 'lm_head.weight' threw: lost");
  refused(nullptr, "the source of tensors is an empty function");
  refused(with([](TensorView& v) { std::swap(v.shape[0], v.shape[1]); }),
          "'lm_head.weight' has shape [40, 61]; the config expects [61, 40]");
  refused(with([](TensorView& v) { v.dtype = DType::kU8; }), "'lm_head.weight' is U8");
  refused(with([](TensorView& v) { v.data = nullptr; }), "'lm_head.weight' is without data");
  second_.find(kHeadName)[61] = std::numeric_limits<float>::infinity();
  refused(good, "'lm_head.weight' has inf at index 61");
  ModelSource wrong = source_of(first_);
  wrong.config.kv_heads = 3;
  EXPECT_ERROR_SAYS(Model::create(wrong, options()), "made here", "'num_attention_heads' is 4");
}

// What `looplm info` says before anything is loaded.
TEST_F(ModelTest, HoldsAsManyBytesAsPlanned) {
  for (const WeightType weights : kWeightTypes) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(static_cast<int>(weights) * 2 + tied);
      config_.tie_embeddings = tied;
      const auto model = make(random_parameters(config_, 1), weights);
      const ModelWeights& held = model->parts().weights;
      EXPECT_EQ(ModelWeights::bytes(config_, held.format(), DType::kF32), held.packed_bytes());
    }
  }
  for (const KvType type : kKvTypes) {
    ModelOptions o = options();
    o.kv = type;
    const auto model = std::move(Model::create(source_of(first_), o)).value();
    Sequence sequence(*model->parts().runner, model->parts().pages, config_.loops, KvPolicy::kFull);
    const std::vector<int32_t> ids = random_ids(3 * kPagePositions, config_.vocab_size, 1);
    ASSERT_OK(sequence.read_prompt(ids, 32, {}));
    const KvRequest request{.context_tokens = static_cast<int64_t>(ids.size()), .type = type};
    EXPECT_EQ(kv_need(config_, request).decode_bytes, sequence.cache().bytes());
    const uint64_t exactly = sequence.cache().bytes();
    const auto context = static_cast<int64_t>(ids.size());
    EXPECT_EQ(kv_room(config_, type, exactly, context).streams, 1);
    EXPECT_EQ(kv_room(config_, type, exactly, context).context, context);
    EXPECT_EQ(kv_room(config_, type, exactly - 1, context).streams, 0);
  }
}

// Half precision has more bits than bf16: values that only it tells apart stay apart.
TEST_F(ModelTest, StoredTypesAreHeldWithoutLoss) {
  const auto format_of = [&](DType dtype) {
    ModelSource source = source_of(first_);
    std::vector<uint16_t> halves(static_cast<size_t>(first_.size()), 0x3c01);  // 1 + 2^-10
    source.tensors = [&](const std::string& name) -> Result<TensorView> {
      Result<TensorView> view = first_.source()(name);
      if (dtype == DType::kF32) return view;
      return TensorView{dtype, view->shape, reinterpret_cast<const std::byte*>(halves.data())};
    };
    const auto model = std::move(Model::create(source, options())).value();
    if (dtype == DType::kF16) {
      std::vector<float> row(static_cast<size_t>(config_.hidden_size));
      const int32_t id = 3;
      model->parts().runner->embed({&id, 1}, row.data());
      EXPECT_EQ(row[0], 1.0f + 0x1p-10f);
    }
    return model->parts().weights.format().dtype;
  };
  EXPECT_EQ(format_of(DType::kF32), DType::kF32);
  EXPECT_EQ(format_of(DType::kF16), DType::kF32);
  EXPECT_EQ(format_of(DType::kBf16), DType::kBf16);
}

// Other values in the second half of a file, which stays the same file.
void overwrite(const std::string& path) {
  const auto size = static_cast<size_t>(std::filesystem::file_size(path));
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fseek(file, static_cast<long>(size / 2), SEEK_SET), 0);
  const std::string other(size - size / 2, '\x3c');
  ASSERT_EQ(std::fwrite(other.data(), 1, other.size(), file), other.size());
  ASSERT_EQ(std::fclose(file), 0);
}

// Whether this process has a file of that directory mapped.
bool is_mapped(const std::string& directory) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(directory + "/") != std::string::npos) return true;
  }
  return false;
}

class ModelFiles : public ModelTest, public ::testing::WithParamInterface<WeightType> {
 protected:
  void answers_stay(const std::string& path, const std::string& weights_file) {
    const auto model = std::move(Model::load(path, options(GetParam()))).value();
    const auto same = std::move(Model::load(path, options(GetParam()))).value();
    const PromptResult before = read(*model);
    overwrite(weights_file);
    EXPECT_TRUE(same_bits(read(*model).logits, before.logits));
    EXPECT_FALSE(is_mapped(directory_.path()));
    ASSERT_EQ(::truncate(weights_file.c_str(), 0), 0);
    EXPECT_TRUE(same_bits(read(*model).logits, before.logits));
    // One that has not run before the file changed.
    EXPECT_TRUE(same_bits(read(*same).logits, before.logits));
  }
};

TEST_P(ModelFiles, AnswersDoNotChangeWithTheSafetensorsFile) {
  write_test_checkpoint(directory_.file("model"), first_, config_);
  answers_stay(directory_.file("model"), directory_.file("model/model.safetensors"));
}

TEST_P(ModelFiles, AnswersDoNotChangeWithTheGgufFile) {
  const std::string path = directory_.file("m.gguf");
  const GgufTestFile file = gguf_of_model(config_, initial_fill(config_, 5), GgmlType::kF32);
  ASSERT_OK(write_text_file(path, file.bytes()));
  answers_stay(path, path);
}

std::string weight_type_name(const ::testing::TestParamInfo<WeightType>& parameter) {
  const std::array<const char*, 5> names = {"stored", "f32", "bf16", "int8", "int4"};
  return names[static_cast<size_t>(parameter.param)];
}
INSTANTIATE_TEST_SUITE_P(Types, ModelFiles, ::testing::ValuesIn(kWeightTypes), weight_type_name);

}  // namespace
}  // namespace looplm
