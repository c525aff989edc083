#include "model/adapter.h"

#include <cmath>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

ModelConfig tiny() {
  ModelConfig c;
  c.vocab_size = 16;
  c.hidden_size = 8;
  c.layers = 2;
  c.heads = c.kv_heads = 2;
  c.head_dim = 4;
  c.intermediate_size = 12;
  c.max_positions = 8;
  return c;
}

class AdapterTest : public testing::Test {
 protected:
  AdapterTest() : values_(adapter_specs(tiny(), settings_)) {
    Rng rng(4);
    for (float& value : values_.values()) value = rng.uniform();
  }
  void SetUp() override { ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base")); }
  // Puts `to` in the place of `from` in the saved configuration.
  void change(const std::string& from, const std::string& to) {
    const std::string path = dir_.file("a") + "/adapter_config.json";
    std::string text = read_text_file(path).value();
    ASSERT_NE(text.find(from), std::string::npos) << text;
    ASSERT_OK(write_text_file(path, text.replace(text.find(from), from.size(), to)));
  }
  Result<Adapter> read(const ModelConfig& config = tiny()) const {
    return read_adapter(dir_.file("a"), config);
  }

  TempDir dir_;
  AdapterSettings settings_ = {
      .rank = 3, .alpha = 6, .dropout = 0.1, .targets = {"v_proj", "up_proj"}};
  ParameterSet values_;
};

TEST_F(AdapterTest, IsReadAsItWasWrittenUnderPeftsNames) {
  auto adapter = read();
  ASSERT_OK(adapter);
  EXPECT_EQ(adapter->settings, settings_);
  EXPECT_TRUE(std::equal(values_.values().begin(), values_.values().end(),
                         adapter->values.values().begin()));
  const Safetensors file =
      std::move(Safetensors::open(dir_.file("a") + "/adapter_model.safetensors")).value();
  EXPECT_EQ(file.names().size(), 8u);
  EXPECT_EQ(
      file.find("base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight").value().shape,
      (Shape{3, 8}));
  EXPECT_EQ(file.find("base_model.model.model.layers.0.mlp.up_proj.lora_B.weight").value().shape,
            (Shape{12, 3}));
}

TEST_F(AdapterTest, AddsTheScaledProductHoweverItIsCut) {
  auto adapter = read();
  ASSERT_OK(adapter);
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  std::vector<float> whole(12 * 8, 1.0f), parts = whole;
  add_adapter(*adapter, name, 0, whole);
  for (int64_t first = 0; first < 96; first += 7) {
    const auto count = static_cast<size_t>(std::min<int64_t>(7, 96 - first));
    add_adapter(*adapter, name, first, {parts.data() + first, count});
  }
  EXPECT_EQ(whole, parts);
  const float* a = adapter->values.find(adapter_down_name(name));
  const float* b = adapter->values.find(adapter_up_name(name));
  EXPECT_NEAR(whole[5 * 8 + 2], 1 + 2 * (b[15] * a[2] + b[16] * a[10] + b[17] * a[18]), 1e-5);
  std::vector<float> other(8 * 8, 1.0f);
  add_adapter(*adapter, "model.layers.1.self_attn.q_proj.weight", 0, other);
  EXPECT_THAT(other, testing::Each(1.0f));
}

TEST_F(AdapterTest, ScalesAsPeftDoes) {
  EXPECT_EQ(read()->settings.scale(), 2);
  change("\"use_rslora\": false", "\"use_rslora\": true");
  EXPECT_TRUE(read()->settings.rslora);
  EXPECT_DOUBLE_EQ(read()->settings.scale(), 6 / std::sqrt(3.0));
  change("\"lora_alpha\": 6.0", "\"lora_alpha\": -6");
  EXPECT_DOUBLE_EQ(read()->settings.scale(), -6 / std::sqrt(3.0));
  change("\"use_rslora\": true", "\"use_rslora\": 1");
  EXPECT_ERROR_SAYS(read(), "'use_rslora' is 1");
  settings_.rslora = true;
  ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
  EXPECT_EQ(read()->settings, settings_);
}

// PEFT keeps patterns and paths as they were given; the weights say what they found.
TEST_F(AdapterTest, TargetsMayBeAPatternOrPaths) {
  for (const char* targets :
       {R"(".*\\.(v_proj|up_proj)$")", R"(["self_attn.v_proj", "up_proj"])"}) {
    ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
    const std::string path = dir_.file("a") + "/adapter_config.json";
    OrderedJson config = OrderedJson::parse(read_text_file(path).value());
    config["target_modules"] = OrderedJson::parse(targets);
    ASSERT_OK(write_text_file(path, config.dump()));
    auto adapter = read();
    ASSERT_OK(adapter);
    EXPECT_EQ(adapter->settings, settings_);
    EXPECT_TRUE(std::equal(values_.values().begin(), values_.values().end(),
                           adapter->values.values().begin()));
    ModelConfig deep = tiny();
    deep.layers = 3;
    EXPECT_ERROR_SAYS(read(deep), "layers.2");
  }
  for (const char* targets : {"\"\"", "[]", "3", "[3]"}) {
    ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
    const std::string path = dir_.file("a") + "/adapter_config.json";
    OrderedJson config = OrderedJson::parse(read_text_file(path).value());
    config["target_modules"] = OrderedJson::parse(targets);
    ASSERT_OK(write_text_file(path, config.dump()));
    EXPECT_ERROR_SAYS(read(), "'target_modules'");
  }
}

// These say how training begins, not what the adapter means.
TEST_F(AdapterTest, MayHaveBegunAsPeftLetsIt) {
  for (const char* start : {"true", "false", "null", "\"gaussian\"", "\"eva\"", "\"orthogonal\""}) {
    ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
    change("\"inference_mode\": true", fmt::format("\"init_lora_weights\": {}", start));
    EXPECT_OK(read());
  }
}

TEST_F(AdapterTest, OneForEachLoopIsReadBackAndNeverMerged) {
  settings_.per_loop = true;
  settings_.loops = 2;
  values_ = ParameterSet(adapter_specs(tiny(), settings_));
  EXPECT_EQ(values_.specs().size(), 16u);
  values_.values()[5] = 7;
  ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
  auto adapter = read();
  ASSERT_OK(adapter);
  EXPECT_EQ(adapter->settings, settings_);
  EXPECT_TRUE(std::equal(values_.values().begin(), values_.values().end(),
                         adapter->values.values().begin()));
  const Safetensors file =
      std::move(Safetensors::open(dir_.file("a") + "/adapter_model.safetensors")).value();
  EXPECT_OK(file.find("base_model.model.model.layers.1.mlp.up_proj.lora_B.loop2.weight"));

  Checkpoint base;
  base.directory = "shared";
  EXPECT_FALSE(adapter->is_mergeable(base));
  ThreadPool pool(1);
  EXPECT_ERROR_SAYS(AdaptedTensors::create(base, *adapter, pool), "each of 2 loops", "'shared'",
                    "cannot be merged", "--lora");
  change("\"looplm_loops\": 2", "\"looplm_loops\": 0");
  EXPECT_ERROR_SAYS(read(), "'looplm_loops' is 0");
  change("\"looplm_loops\": 0", "\"looplm_loops\": 3");
  EXPECT_ERROR_SAYS(read(), "loop3");
}

TEST_F(AdapterTest, WhatDoesNotFitIsNamed) {
  ModelConfig wider = tiny();
  wider.intermediate_size = 16;
  EXPECT_ERROR_SAYS(read(wider), "adapter_model.safetensors", "up_proj.lora_B", "[12, 3]",
                    "[16, 3]");
  ModelConfig shallow = tiny();
  shallow.layers = 1;
  EXPECT_ERROR_SAYS(read(shallow), "layers.1", "belongs to no matrix");
  ModelConfig deep = tiny();
  deep.layers = 3;
  EXPECT_ERROR_SAYS(read(deep), "layers.2");
  const std::string said = read(deep).status().message();  // the file once
  EXPECT_EQ(said.find("adapter_model.safetensors"), said.rfind("adapter_model.safetensors"));
  EXPECT_ERROR_SAYS(read_adapter(dir_.file("absent"), tiny()), "absent/adapter_config.json");
  ASSERT_OK(make_directories(dir_.file("run/model")));
  ASSERT_OK(write_text_file(dir_.file("run/model/adapter_config.json"), "{}"));
  EXPECT_ERROR_SAYS(read_adapter(dir_.file("run"), tiny()), "holds a run", "/run/model'");
  ASSERT_OK(write_text_file(dir_.file("run/model/adapter_model.bin"), ""));
  EXPECT_ERROR_SAYS(read_adapter(dir_.file("run/model"), tiny()),
                    "adapter_model.bin; looplm reads");
  *values_.find(adapter_down_name("model.layers.0.mlp.up_proj.weight")) = NAN;
  ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
  EXPECT_ERROR_SAYS(read(), "layers.0.mlp.up_proj.lora_A");
}

TEST_F(AdapterTest, BadConfigurationsAreNamed) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"\"r\": 3", "\"r\": 0", "'r'"},
      {"\"r\": 3", "\"r\": 4", "this model and rank expect"},
      {"\"r\": 3", "\"r_\": 3", "'r' is missing"},
      {"\"r\": 3", "\"r\": null", "'r' is missing"},
      {"\"lora_alpha\": 6.0", "\"lora_alpha\": null", "'lora_alpha' is missing"},
      {"\"lora_alpha\": 6.0", "\"lora_alpha\": 1e999", "adapter_config.json"},
      {"\"lora_alpha\": 6.0", "\"lora_alpha\": \"six\"", "'lora_alpha'"},
      {"\"v_proj\"", "\"w_pack\"", "w_pack"},
      {"\"v_proj\"", "\"up_proj\"", "there twice"},
      {"\"LORA\"", "\"IA3\"", "IA3"},
      {"\"bias\": \"none\"", "\"bias\": \"all\"", "'bias' is 'all'"},
      {"\"inference_mode\": true", "\"use_dora\": true", "'use_dora' is true"},
      {"\"inference_mode\": true", "\"init_lora_weights\": \"pissa_niter_4\"", "pissa_niter_4"},
      {"\"inference_mode\": true", "\"init_lora_weights\": 3", "'init_lora_weights' is 3"},
      {"\"inference_mode\": true", "\"target_parameters\": [\"x\"]", "'target_parameters'"}};
  for (const auto& [from, to, says] : cases) {
    ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
    change(from, to);
    EXPECT_ERROR_SAYS(read(), says.c_str());
  }
  // What a configuration claims takes no memory that the file of weights does not hold.
  ASSERT_OK(save_adapter(dir_.file("a"), settings_, values_, "base"));
  change("\"LORA\"", "\"LORA\", \"looplm_loops\": 256");
  change("\"r\": 3", "\"r\": 4096");
  ModelConfig wide = tiny();
  wide.hidden_size = wide.intermediate_size = 65536;
  EXPECT_ERROR_SAYS(read(wide), "belongs to no matrix");
}

}  // namespace
}  // namespace looplm
