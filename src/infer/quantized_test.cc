// Models in small integers: saved and loaded they are what rounding at load gives, and the engine's
// contracts hold.
#include "looplm/generate.h"

#include "base/file.h"
#include "infer/test_model.h"
#include "model/quantized_checkpoint.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class QuantizedModel : public testing::TestWithParam<WeightType> {
 protected:
  QuantizedModel() {
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 3), config_);
  }
  Quant blocks() const { return GetParam() == WeightType::kInt4 ? Quant::kInt4 : Quant::kInt8; }

  Status save(const std::string& from, const std::string& to) {
    ThreadPool pool(2);
    Result<Checkpoint> checkpoint = open_checkpoint(directory_.file(from));
    LOOPLM_RETURN_IF_ERROR(checkpoint.status());
    return save_quantized(directory_.file(to), *checkpoint, BlockQuants::all(blocks()),
                          Quant::kInt8, pool);
  }
  std::unique_ptr<Model> load(const std::string& name, WeightType weights, int threads = 1) {
    ModelOptions options;
    options.threads = threads;
    options.weights = weights;
    return std::move(Model::load(directory_.file(name), options)).value();
  }
  std::vector<float> logits(Model& model, int64_t chunk = 256) {
    return read_prompt(*model.parts().runner, model.parts().pages, ids_, config_.loops, chunk)
        .logits;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::vector<int32_t> ids_ = random_ids(40, config_.vocab_size, 4);
};

TEST_P(QuantizedModel, TheFileHoldsWhatRoundingAtLoadGives) {
  ASSERT_OK(save("model", "small"));
  const auto rounded = load("model", GetParam());
  const auto stored = load("small", WeightType::kAsStored);
  EXPECT_EQ(stored->parts().weights.format().blocks, BlockQuants::all(blocks()));
  EXPECT_TRUE(same_bits(logits(*stored), logits(*rounded)));
  // Widened again it is near, and not the same model as before.
  const auto wide = load("small", WeightType::kF32);
  const auto exact = load("model", WeightType::kF32);
  EXPECT_LT(relative_error(logits(*wide), logits(*stored)), 0.1);
  EXPECT_LT(relative_error(logits(*wide), logits(*exact)), 0.8);
  EXPECT_GT(relative_error(logits(*wide), logits(*exact)), 1e-4);
  EXPECT_LT(stored->parts().weights.block_bytes(), exact->parts().weights.block_bytes());
}

// Some matrices wider than the others: the file says which, and they are used as stored.
TEST_P(QuantizedModel, StacksMayBeWiderThanTheRest) {
  ThreadPool pool(2);
  Result<Checkpoint> source = open_checkpoint(directory_.file("model"));
  ASSERT_OK(source);
  BlockQuants mixed = BlockQuants::all(blocks());
  mixed.output = Quant::kNone;
  mixed.down = Quant::kInt8;
  ASSERT_OK(save_quantized(directory_.file("mixed"), *source, mixed, Quant::kInt8, pool));
  ASSERT_OK(save("model", "small"));
  const auto kept = load("mixed", WeightType::kAsStored);
  EXPECT_EQ(kept->parts().weights.format().blocks, mixed);
  Result<Checkpoint> stored = open_checkpoint(directory_.file("mixed"));
  ASSERT_OK(stored);
  for (size_t i = 0; i < stored->specs.size(); ++i) {
    if (stored->specs[i].role != ParameterRole::kLinear) continue;
    EXPECT_EQ(quant_of(stored->tensors[i]), mixed.*stack_of(stored->specs[i].name))
        << stored->specs[i].name;
  }
  const auto exact = load("model", WeightType::kF32);
  const auto small = load("small", WeightType::kAsStored);
  if (blocks() == Quant::kInt4) {  // int8 throughout is as near as int8 and bf16
    EXPECT_LT(relative_error(logits(*kept), logits(*exact)),
              relative_error(logits(*small), logits(*exact)));
  }
  const std::vector<float> whole = logits(*kept);
  for (int64_t chunk : {1, 7}) EXPECT_TRUE(same_bits(logits(*kept, chunk), whole));
  EXPECT_THAT(read_text_file(directory_.file("mixed/model.safetensors")).value(),
              testing::HasSubstr("o=float gate_up="));
}

TEST_P(QuantizedModel, RowsDoNotDependOnTheirCompany) {
  const auto model = load("model", GetParam());
  const std::vector<float> whole = logits(*model);
  for (int64_t chunk : {1, 7, 32}) EXPECT_TRUE(same_bits(logits(*model, chunk), whole));
  const auto three = load("model", GetParam(), 3);
  EXPECT_TRUE(same_bits(logits(*three), whole));
  GenerateOptions o;
  o.max_tokens = 20;
  o.ignore_eos = true;
  const Generation plain = generate(*model, ids_, o).value();
  o.speculate = {CommitKind::kLoop, 1};
  const Generation fast = generate(*model, ids_, o).value();
  ASSERT_EQ(fast.tokens.size(), plain.tokens.size());
  for (size_t i = 0; i < plain.tokens.size(); ++i) {
    EXPECT_EQ(fast.tokens[i].id, plain.tokens[i].id);
  }
}

TEST_P(QuantizedModel, WrongFilesAreNamed) {
  ASSERT_OK(save("model", "small"));
  EXPECT_ERROR_SAYS(save("small", "again"), "quantised already");
  EXPECT_FALSE(file_exists(directory_.file("again/config.json")));
  const std::string path = directory_.file("small/model.safetensors");
  const std::string bytes = read_text_file(path).value();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = bytes;
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    EXPECT_OK(write_text_file(path, changed));
    return open_checkpoint(directory_.file("small"));
  };
  EXPECT_ERROR_SAYS(with("o_proj.weight.scales", "o_proj.weight.scalez"), "o_proj.weight.scales");
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizedModel,
                         testing::Values(WeightType::kInt8, WeightType::kInt4),
                         [](const testing::TestParamInfo<WeightType>& type) {
                           return type.param == WeightType::kInt8 ? "int8" : "int4";
                         });

}  // namespace
}  // namespace looplm
