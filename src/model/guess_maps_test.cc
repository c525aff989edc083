#include "model/guess_maps.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "model/checkpoint.h"
#include "model/quantized_checkpoint.h"
#include "model/safetensors_writer.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

ModelConfig config_of(int64_t width, int64_t loops) {
  ModelConfig c;
  c.vocab_size = 40;
  c.hidden_size = width;
  c.layers = 1;
  c.heads = c.kv_heads = 2;
  c.head_dim = 8;
  c.intermediate_size = 24;
  c.max_positions = 64;
  c.loops = loops;
  return c;
}

ParameterSet random_maps(const ModelConfig& config, uint64_t seed) {
  ParameterSet maps(guess_specs(config));
  Rng rng(seed);
  for (float& value : maps.values()) value = 0.5f * (2 * rng.uniform() - 1);
  return maps;
}

std::vector<float> random_rows(int64_t rows, int64_t width, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<size_t>(rows * width));
  for (float& value : values) value = rng.normal();
  return values;
}

TEST(GuessMaps, AreTheFormulaWhateverTheOtherRows) {
  const std::unique_ptr<Device> device = std::move(Device::create(2).value());
  for (const int64_t width : {20, 64, 90}) {
    const ModelConfig config = config_of(width, 3);
    const ParameterSet values = random_maps(config, 3);
    GuessMaps maps(config, DType::kF32);
    EXPECT_EQ(maps.loops(), 2);
    maps.repack(values, *device);
    constexpr int64_t kRows = 70;
    const std::vector<float> states = random_rows(kRows, width, 4);
    std::vector<float> all(states.size()), one(static_cast<size_t>(width));
    for (int64_t loop = 0; loop < 2; ++loop) {
      const float* weight = values.data() + values.offset(static_cast<size_t>(2 * loop));
      const float* bias = values.data() + values.offset(static_cast<size_t>(2 * loop + 1));
      maps.forward(loop, states.data(), kRows, all.data(), *device);
      for (int64_t r = 0; r < kRows; ++r) {
        const float* h = states.data() + r * width;
        maps.forward(loop, h, 1, one.data(), *device);
        for (int64_t i = 0; i < width; ++i) {
          double expected = static_cast<double>(h[i]) + static_cast<double>(bias[i]);
          for (int64_t k = 0; k < width; ++k) {
            expected += static_cast<double>(weight[i * width + k]) * static_cast<double>(h[k]);
          }
          const float actual = all[static_cast<size_t>(r * width + i)];
          EXPECT_NEAR(static_cast<double>(actual), expected, 3e-5);
          EXPECT_EQ(actual, one[static_cast<size_t>(i)]);
        }
      }
    }
  }
}

TEST(GuessMaps, ApplyToRowsOfMixedLoops) {
  const std::unique_ptr<Device> device = std::move(Device::create(1).value());
  const ModelConfig config = config_of(20, 3);
  GuessMaps maps(config, DType::kF32);
  maps.repack(random_maps(config, 3), *device);
  const std::vector<int64_t> loops = {1, -1, 0, 1, 0};
  const std::vector<float> states = random_rows(5, 20, 4);
  std::vector<float> mapped = states, expected(20);
  maps.apply(loops, mapped.data(), *device);
  for (size_t r = 0; r < 5; ++r) {
    const auto at = static_cast<ptrdiff_t>(20 * r);
    expected.assign(states.begin() + at, states.begin() + at + 20);
    if (loops[r] >= 0) maps.forward(loops[r], &states[20 * r], 1, expected.data(), *device);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), mapped.begin() + at)) << r;
  }
}

TEST(GuessMaps, OfZerosChangeNothing) {
  const std::unique_ptr<Device> device = std::move(Device::create(1).value());
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    const GuessMaps maps(config_of(40, 2), dtype);
    const std::vector<float> states = random_rows(5, 40, 6);
    std::vector<float> mapped(states.size());
    maps.forward(0, states.data(), 5, mapped.data(), *device);
    EXPECT_EQ(mapped, states);
  }
}

TEST(GuessFiles, StandBesideTheWeights) {
  EXPECT_EQ(guess_file("a/model"), "a/model/guess.safetensors");
  EXPECT_EQ(guess_file("a/m.gguf"), "a/m.guess.safetensors");
  EXPECT_EQ(guess_file("a/m-00001-of-00003.gguf"), "a/m.guess.safetensors");
  EXPECT_TRUE(is_checkpoint_file("guess.safetensors"));
  EXPECT_TRUE(guess_specs(config_of(20, 1)).empty());
}

class GuessFileTest : public testing::Test {
 protected:
  Status check(const ModelConfig& config) const {
    return read_guesses(directory_.file("maps"), config).status();
  }
  // One tensor of that shape in place of each.
  void write(const std::vector<TensorDeclaration>& tensors, float value = 0) const {
    ASSERT_OK(make_directories(directory_.file("maps")));
    auto writer = SafetensorsWriter::create(directory_.file("maps/guess.safetensors"), tensors);
    ASSERT_OK(writer);
    size_t count = 0;
    for (const TensorDeclaration& t : tensors) count += static_cast<size_t>(element_count(t.shape));
    const std::vector<float> values(count, value);
    ASSERT_OK(writer->write(std::as_bytes(std::span(values))));
    ASSERT_OK(writer->commit());
  }

  TempDir directory_;
  ModelConfig config_ = config_of(16, 3);
};

TEST_F(GuessFileTest, ComesBackAsItWasSaved) {
  const ParameterSet values = random_maps(config_, 5);
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    ASSERT_OK(save_guesses(directory_.file("maps"), values, dtype));
    auto read = read_guesses(directory_.file("maps"), config_);
    ASSERT_OK(read);
    ASSERT_TRUE(read->has_value());
    EXPECT_EQ((*read)->dtype, dtype);
    for (size_t i = 0; i < values.values().size(); ++i) {
      const float saved = dtype == DType::kF32 ? 0 : 2e-3f;
      EXPECT_NEAR((*read)->values.values()[i], values.values()[i], saved);
    }
  }
  auto none = read_guesses(directory_.file("elsewhere"), config_);
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
}

TEST_F(GuessFileTest, OfAnotherModelIsRefused) {
  ASSERT_OK(save_guesses(directory_.file("maps"), random_maps(config_, 5), DType::kF32));
  EXPECT_OK(check(config_));
  EXPECT_ERROR_SAYS(check(config_of(20, 3)), "guess.safetensors", "guess.loop1.weight",
                    "[16, 16]; this model expects [20, 20]");
  EXPECT_ERROR_SAYS(check(config_of(16, 4)), "guess.safetensors", "guess.loop3.weight");
  EXPECT_ERROR_SAYS(check(config_of(16, 2)), "guess.safetensors", "'guess.loop2.bias'",
                    "not a guess map of this model");
}

TEST_F(GuessFileTest, WithOddTensorsIsRefused) {
  const ModelConfig config = config_of(16, 2);
  write({{"guess.loop1.weight", DType::kF32, {16, 16}}, {"guess.loop1.bias", DType::kF32, {4}}});
  EXPECT_ERROR_SAYS(check(config), "guess.loop1.bias", "[4]", "[16]");
  write({{"guess.loop1.weight", DType::kF32, {16, 16}}, {"guess.loop1.bias", DType::kF32, {16}}},
        INFINITY);
  EXPECT_ERROR_SAYS(check(config), "guess.loop1.weight");
  ASSERT_OK(write_text_file(directory_.file("maps/guess.safetensors"), "not tensors"));
  EXPECT_ERROR_SAYS(check(config), "guess.safetensors");
}

TEST_F(GuessFileTest, GoesWithAModelThatIsQuantized) {
  ThreadPool pool(1);
  ParameterSet weights(config_);
  Rng rng(1);
  for (float& value : weights.values()) value = rng.uniform();
  const ParameterFill fill = [&](int64_t parameter, int64_t first, std::span<float> out) {
    std::copy_n(weights.data() + weights.offset(static_cast<size_t>(parameter)) + first, out.size(),
                out.data());
  };
  const std::string model = directory_.file("model"), small = directory_.file("small");
  SaveOptions saving;
  saving.dtype = DType::kF32;
  ASSERT_OK(save_checkpoint(model, config_, fill, saving, pool));
  const auto quantize = [&] {
    return save_quantized(small, open_checkpoint(model).value(), BlockQuants::all(Quant::kInt8),
                          Quant::kInt8, pool);
  };
  ASSERT_OK(quantize());
  EXPECT_FALSE(file_exists(guess_file(small)));
  ASSERT_OK(save_guesses(directory_.file("maps"), random_maps(config_, 5), DType::kBf16));
  EXPECT_TRUE(copy_guesses(directory_.file("maps"), config_, model).value());
  ASSERT_OK(quantize());
  EXPECT_EQ(read_text_file(guess_file(small)).value(), read_text_file(guess_file(model)).value());
  EXPECT_OK(open_checkpoint(small));
  // A model that is saved in that place has no maps.
  ASSERT_OK(save_checkpoint(small, config_, fill, saving, pool));
  EXPECT_FALSE(file_exists(guess_file(small)));
}

}  // namespace
}  // namespace looplm
