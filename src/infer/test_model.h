// Models for tests of inference: the golden checkpoints, and random ones of any shape.
#ifndef LOOPLM_INFER_TEST_MODEL_H_
#define LOOPLM_INFER_TEST_MODEL_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "looplm/tokenizer_trainer.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "infer/parts.h"
#include "infer/sequence.h"
#include "model/checkpoint.h"
#include "model/guess_maps.h"
#include "model/initialize.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {

inline std::string golden(const std::string& path) { return LOOPLM_GOLDEN_DIR "/model/" + path; }

// The values of an F32 tensor.
inline std::vector<float> tensor_values(const Safetensors& file, const std::string& name) {
  const TensorView view = file.find(name).value();
  std::vector<float> values(static_cast<size_t>(view.count()));
  std::memcpy(values.data(), view.data, view.bytes());
  return values;
}

// |actual - expected| / |expected|, Euclidean norms.
inline double relative_error(std::span<const float> actual, std::span<const float> expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto e = static_cast<double>(expected[i]);
    const double d = static_cast<double>(actual[i]) - e;
    error += d * d;
    size += e * e;
  }
  return size == 0 ? std::sqrt(error) : std::sqrt(error / size);
}

inline Device& test_device() {
  static const std::unique_ptr<Device> device = Device::create(2).value();
  return *device;
}

inline LogitSummary summarize(std::span<const float> logits) {
  LogitSummary summary;
  logit_summary({logits.data(), 1, static_cast<int64_t>(logits.size()), &summary}, test_device());
  return summary;
}

// Not EXPECT_EQ of vectors, which prints thousands of numbers, and not ==, for which 0 is -0.
inline ::testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) {
    return ::testing::AssertionFailure() << a.size() << " and " << b.size() << " values";
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
      return ::testing::AssertionFailure() << "value " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

// The instruction set that a Device created in this scope takes.
class ScopedIsa {
 public:
  explicit ScopedIsa(Isa isa) {
    if (const char* before = std::getenv("LOOPLM_ISA")) before_ = before;
    ::setenv("LOOPLM_ISA", isa_name(isa), 1);
  }
  ~ScopedIsa() {
    if (before_.empty()) {
      ::unsetenv("LOOPLM_ISA");
    } else {
      ::setenv("LOOPLM_ISA", before_.c_str(), 1);
    }
  }
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  std::string before_;
};

// A test that runs once for every instruction set of this machine.
class EveryIsa : public ::testing::TestWithParam<Isa> {
 protected:
  ScopedIsa isa_{GetParam()};
};

inline std::string isa_parameter_name(const ::testing::TestParamInfo<Isa>& parameter) {
  return isa_name(parameter.param);
}

// Small, with sizes that fill no vector register and fewer key heads than heads.
inline ModelConfig small_config() {
  ModelConfig c;
  c.vocab_size = 61;
  c.hidden_size = 40;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 12;
  c.intermediate_size = 56;
  c.max_positions = 256;
  c.loops = 3;
  c.dtype = "float32";
  c.eos_token_ids = {0};
  c.initializer_range = 0.3;  // logits that differ from each other
  return c;
}

// A model in memory, without a directory.
struct TestModel {
  TestModel(const ParameterSet& from, const ModelConfig& c, DType dtype, int threads)
      : config(c), parameters(c), device(std::move(Device::create(threads)).value()) {
    std::copy_n(from.data(), from.size(), parameters.data());
    weights.emplace(ModelWeights::for_training(parameters, config, dtype, *device));
    runner.emplace(*weights, *device);
  }

  ModelConfig config;
  ParameterSet parameters;
  std::unique_ptr<Device> device;
  std::optional<ModelWeights> weights;
  std::optional<PassRunner> runner;
  PagePool pages{{config.kv_heads, config.head_dim}};
};

inline ParameterSet random_parameters(const ModelConfig& config, uint64_t seed) {
  ParameterSet set(config);
  for (size_t i = 0; i < set.specs().size(); ++i) {
    const ParameterSpec& spec = set.specs()[i];
    fill_initial(config, spec, static_cast<int64_t>(i), seed, 0,
                 {set.data() + set.offset(i), static_cast<size_t>(spec.count())});
  }
  return set;
}

inline std::vector<int32_t> random_ids(int64_t count, int64_t vocabulary, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary)));
  }
  return ids;
}

// A directory with this model, for Model::load.
inline void write_test_checkpoint(const std::string& directory, const ParameterSet& parameters,
                                  const ModelConfig& config) {
  ThreadPool pool(1);
  SaveOptions options;
  options.dtype = DType::kF32;
  const ParameterFill fill = [&](int64_t parameter, int64_t first, std::span<float> out) {
    std::copy_n(parameters.data() + parameters.offset(static_cast<size_t>(parameter)) + first,
                out.size(), out.data());
  };
  ASSERT_OK(save_checkpoint(directory, config, fill, options, pool));
}

// Guess maps for a model's directory, of values of that size.
inline void write_random_guesses(const std::string& directory, const ModelConfig& config,
                                 uint64_t seed, float size = 0.3f) {
  ParameterSet maps(guess_specs(config));
  Rng rng(seed);
  for (float& value : maps.values()) value = size * (2 * rng.uniform() - 1);
  TempDir file;
  ASSERT_OK(save_guesses(file.file("maps"), maps, DType::kF32));
  ASSERT_OK(copy_guesses(file.file("maps"), config, directory));
}

// A tokenizer of the 256 bytes, one special token and `merges` learned pairs, for a model of random
// weights: its text breaks characters wherever it can.
inline void write_byte_tokenizer(const std::string& directory, int64_t merges) {
  TokenizerTrainerOptions options;
  options.vocab_size = 257 + merges;
  options.min_frequency = 1;
  TokenizerTrainer trainer = std::move(TokenizerTrainer::create(options)).value();
  trainer.add("the theme of these three threads: the loop, the gate and the exit");
  const std::string json = trainer.train().value();
  ASSERT_OK(write_text_file(directory + "/tokenizer.json", json));
}

// Everything that reading a prompt gives.
struct PromptResult {
  std::vector<float> normed;  // (loops, tokens, E)
  std::vector<float> logits;  // (loops, tokens, V)
  std::vector<float> gate;    // (loops, tokens)
};

inline PromptResult read_prompt(PassRunner& runner, PagePool& pages, std::span<const int32_t> ids,
                                int64_t loops, int64_t chunk) {
  const ModelConfig& c = runner.weights().config();
  const auto tokens = static_cast<int64_t>(ids.size());
  PromptResult r;
  r.normed.resize(static_cast<size_t>(loops * tokens * c.hidden_size));
  r.logits.resize(static_cast<size_t>(loops * tokens * c.vocab_size));
  r.gate.resize(static_cast<size_t>(loops * tokens));
  Sequence sequence(runner, pages, loops, KvPolicy::kFull);
  EXPECT_OK(sequence.read_prompt(ids, chunk, [&](const Sequence::ChunkLoop& seen) -> Status {
    const int64_t row = seen.loop * tokens + seen.first;
    std::copy_n(seen.normed, seen.count * c.hidden_size, r.normed.data() + row * c.hidden_size);
    runner.read_out(seen.normed, seen.count, r.logits.data() + row * c.vocab_size);
    for (int64_t i = 0; i < seen.count; ++i) {
      r.gate[static_cast<size_t>(row + i)] = seen.lanes[static_cast<size_t>(i)].gate_logit;
    }
    return {};
  }));
  return r;
}

}  // namespace looplm

#endif  // LOOPLM_INFER_TEST_MODEL_H_
