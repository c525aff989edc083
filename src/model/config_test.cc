#include "looplm/config.h"

#include <limits>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "model/config_rules.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

// The published Ouro-1.4B config.json, key for key.
constexpr const char* kOuro = R"({
  "architectures": ["OuroForCausalLM"],
  "auto_map": {"AutoConfig": "configuration_ouro.OuroConfig",
               "AutoModel": "modeling_ouro.OuroModel",
               "AutoModelForCausalLM": "modeling_ouro.OuroForCausalLM"},
  "model_type": "ouro", "vocab_size": 49152, "hidden_size": 2048, "intermediate_size": 5632,
  "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 128,
  "hidden_act": "silu", "max_position_embeddings": 65536, "initializer_range": 0.02,
  "rms_norm_eps": 1e-06, "use_cache": true, "rope_theta": 1000000.0, "rope_scaling": null,
  "attention_dropout": 0.0, "use_sliding_window": false, "sliding_window": null,
  "max_window_layers": 24,
  "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention",
    "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
    "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
    "full_attention", "full_attention", "full_attention", "full_attention", "full_attention",
    "full_attention", "full_attention", "full_attention", "full_attention", "full_attention"],
  "total_ut_steps": 4, "early_exit_threshold": 1.0, "tie_word_embeddings": false,
  "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "torch_dtype": "bfloat16",
  "transformers_version": "4.55.0"})";

constexpr const char* kLlama = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
  "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
  "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072,
  "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "hidden_act": "silu", "attention_bias": false,
  "mlp_bias": false, "tie_word_embeddings": true, "bos_token_id": 128000,
  "eos_token_id": [128001, 128009], "pad_token_id": -1, "dtype": "bfloat16"})";

constexpr const char* kNanbeige = R"({
  "model_type": "nanbeige", "vocab_size": 166144, "hidden_size": 3072,
  "intermediate_size": 10752, "num_hidden_layers": 22, "num_attention_heads": 48,
  "num_key_value_heads": 8, "kv_channels": 128, "max_position_embeddings": 262144,
  "rms_norm_eps": 1e-05, "rope_theta": 70000000, "num_loops": 2, "loop_loss_weights": [],
  "skip_loop_final_norm": true, "torch_dtype": "bfloat16"})";

// `text` with keys replaced by those of `patch`; a null value stays as null.
std::string patched(const char* text, const std::string& patch) {
  Json json = Json::parse(text);
  const Json changes = Json::parse(patch);
  for (const auto& [key, value] : changes.items()) json[key] = value;
  return json.dump();
}

std::string without(const char* text, const char* key) {
  Json json = Json::parse(text);
  json.erase(key);
  return json.dump();
}

TEST(ModelConfig, ReadsThePublishedOuroFile) {
  const Result<ModelConfig> config = parse_model_config(kOuro, "config.json");
  ASSERT_OK(config);
  EXPECT_EQ(config.value(), model_preset("ouro-1.4b").value());
  EXPECT_EQ(config.value().loops, 4);
  EXPECT_EQ(config.value().norm_placement, NormPlacement::kSandwich);
  EXPECT_TRUE(config.value().exit_gate);
  EXPECT_EQ(config.value().rope_theta, 1e6);
}

TEST(ModelConfig, APlainTransformerHasOneLoopAndNoGate) {
  const Result<ModelConfig> config = parse_model_config(kLlama, "config.json");
  ASSERT_OK(config);
  EXPECT_EQ(config.value().loops, 1);
  EXPECT_EQ(config.value().norm_placement, NormPlacement::kPre);
  EXPECT_FALSE(config.value().exit_gate);
  EXPECT_TRUE(config.value().tie_embeddings);
  EXPECT_EQ(config.value().head_dim, 64);
  EXPECT_EQ(config.value().pad_token_id, -1);
  EXPECT_EQ(config.value().eos_token_ids, (std::vector<int64_t>{128001, 128009}));
  // -1 stands for "none" in some published files.
  EXPECT_TRUE(parse_model_config(patched(kOuro, R"({"eos_token_id": -1})"), "c")
                  .value()
                  .eos_token_ids.empty());
  EXPECT_EQ(config.value().parameter_count(), 1235814400);  // Llama-3.2-1B
}

TEST(ModelConfig, ReadsNanbeigesLoopKeys) {
  const Result<ModelConfig> config = parse_model_config(kNanbeige, "config.json");
  ASSERT_OK(config);
  EXPECT_EQ(config.value().loops, 2);
  EXPECT_FALSE(config.value().norm_between_loops);
  EXPECT_EQ(config.value().head_dim, 128);
  EXPECT_EQ(parse_model_config(patched(kNanbeige, R"({"skip_loop_final_norm": false})"), "c")
                .value()
                .norm_between_loops,
            true);
}

TEST(ModelConfig, AbsentKeysMeanWhatHuggingFacesCodeTakes) {
  Json json = Json::parse(kOuro);
  for (const char* key : {"total_ut_steps", "early_exit_threshold", "num_key_value_heads",
                          "head_dim", "layer_types", "tie_word_embeddings"}) {
    json.erase(key);
  }
  EXPECT_EQ(parse_model_config(json.dump(), "c").value(), model_preset("ouro-1.4b").value());
  EXPECT_EQ(parse_model_config(without(kOuro, "torch_dtype"), "c").value().dtype, "float32");
  EXPECT_EQ(parse_model_config(without(kLlama, "bos_token_id"), "c").value().bos_token_id, -1);
}

TEST(ModelConfig, ReadsMistralWithoutAWindow) {
  for (const char* window : {"null", "131072", "200000"}) {
    auto config = parse_model_config(
        patched(kLlama,
                fmt::format(R"({{"model_type": "mistral", "sliding_window": {}}})", window)),
        "c");
    ASSERT_OK(config);
    EXPECT_EQ(config->norm_placement, NormPlacement::kPre);
    EXPECT_EQ(config->loops, 1);
  }
}

TEST(ModelConfig, ReadsKeysOfRopeThatChangeNothing) {
  for (const char* patch :
       {R"({"rope_scaling": null, "rope_parameters": null})",
        R"({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}})",
        R"({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1.0}})",
        R"({"rope_scaling": {"type": "default", "factor": 1.0, "attention_factor": null}})",
        R"({"rope_scaling": {"rope_type": "linear", "factor": 1.0}})",
        R"({"rope_interleaved": false, "no_rope_layers": []})"}) {
    EXPECT_OK(parse_model_config(patched(kLlama, patch), "c"));
  }
}

TEST(ModelConfig, ReadsBothSpellingsOfRope) {
  Json json = Json::parse(kOuro);
  json.erase("rope_theta");
  json.erase("rope_scaling");
  EXPECT_EQ(parse_model_config(json.dump(), "c").value().rope_theta, 10000.0);
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1e6}};
  EXPECT_EQ(parse_model_config(json.dump(), "c").value().rope_theta, 1e6);
  json["rope_theta"] = 1e6;  // twice, but the same
  EXPECT_OK(parse_model_config(json.dump(), "c"));
}

TEST(ModelConfig, OwnKeysOverrideTheModelTypesStructure) {
  const Result<ModelConfig> config =
      parse_model_config(patched(kLlama, R"({"total_ut_steps": 3, "norm_placement": "sandwich",
                          "norm_between_loops": false, "exit_gate": true})"),
                         "config.json");
  ASSERT_OK(config);
  EXPECT_EQ(config.value().loops, 3);
  EXPECT_EQ(config.value().norm_placement, NormPlacement::kSandwich);
  EXPECT_FALSE(config.value().norm_between_loops);
  EXPECT_TRUE(config.value().exit_gate);
}

struct HostileConfig {
  const char* base;
  const char* patch;
  std::vector<const char*> says;
};

TEST(ModelConfig, RefusesWhatItDoesNotRunOrBelieve) {
  const HostileConfig cases[] = {
      {kOuro, R"({"model_type": "gpt2"})", {"'model_type'", "\"gpt2\"", "ouro"}},
      {kOuro, R"({"model_type": null})", {"'model_type' is missing"}},
      {kOuro, R"({"model_type": 3})", {"'model_type' is 3", "a string"}},
      {kOuro, R"({"attention_bias": true})", {"'attention_bias' is true", "null"}},
      {kLlama, R"({"mlp_bias": true})", {"'mlp_bias' is true"}},
      {kLlama, R"({"model_type": "qwen2", "attention_bias": null})", {"'attention_bias'", "qwen2"}},
      {kOuro, R"({"hidden_act": "gelu"})", {"'hidden_act' is \"gelu\"", "silu"}},
      {kOuro, R"({"use_sliding_window": true})", {"'use_sliding_window' is true"}},
      {kOuro, R"({"layer_types": ["full_attention"]})", {"'layer_types'", "24 names"}},
      {kOuro,
       R"({"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]})",
       {"'layer_types[1]' is \"sliding_attention\"", "full_attention"}},
      {kOuro, R"({"rope_scaling": {"type": "linear", "factor": 2}})", {"rope_scaling.type"}},
      {kOuro, R"({"rope_scaling": "yarn"})", {"'rope_scaling' is \"yarn\"", "null"}},
      {kOuro, R"({"rope_parameters": {"rope_type": "yarn"}})", {"rope_parameters.rope_type"}},
      {kOuro, R"({"rope_parameters": {"rope_theta": 5}})", {"'rope_theta'", "twice"}},
      {kOuro, R"({"rope_parameters": {"partial_rotary_factor": 0.5}})", {"partial_rotary_factor"}},
      {kOuro,
       R"({"rope_parameters": {"rope_type": "default", "factor": 4}})",
       {"'rope_parameters.factor' is 4", "only 1"}},
      {kOuro,
       R"({"rope_scaling": {"mrope_section": [16, 24, 24]}})",
       {"'rope_scaling.mrope_section' is [16,24,24]", "only plain RoPE"}},
      // transformers 5, of a model whose layers differ; also where they do not
      {kLlama,
       R"({"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1000000.0}}})",
       {"'rope_parameters.full_attention'", "the same in all layers"}},
      {kLlama,
       R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
       {"'rope_parameters.full_attention'"}},
      // Llama 3.1 and later
      {kLlama,
       R"({"rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
           "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})",
       {"'rope_scaling.rope_type' is \"llama3\"", "only \"default\""}},
      {kLlama, R"({"no_rope_layers": [1, 1, 1, 0]})", {"'no_rope_layers' is [1,1,1,0]"}},
      {kLlama, R"({"rope_local_base_freq": 10000.0})", {"'rope_local_base_freq' is 10000.0"}},
      {kLlama, R"({"rotary_pct": 0.25})", {"'rotary_pct' is 0.25"}},
      {kLlama, R"({"model_type": "mistral"})", {"'sliding_window' is missing", "4096"}},
      {kLlama,
       R"({"model_type": "mistral", "sliding_window": 4096})",
       {"'sliding_window' is 4096", "131072 and more"}},
      {kOuro, R"({"partial_rotary_factor": 0.25})", {"'partial_rotary_factor' is 0.25"}},
      {kOuro, R"({"rope_theta": 0.5})", {"'rope_theta' is 0.5", "from 1"}},
      {kOuro, R"({"quantization_config": {"bits": 4}})", {"'quantization_config'"}},
      {kOuro, R"({"early_exit_step": 0})", {"'early_exit_step' is 0", "null"}},
      {kNanbeige, R"({"loop_share_kv": true})", {"'loop_share_kv' is true"}},
      {kNanbeige, R"({"loop_loss_weights": [0.5]})", {"'loop_loss_weights'"}},
      {kNanbeige, R"({"total_ut_steps": 3})", {"'total_ut_steps' is 3", "'num_loops' is 2"}},
      {kOuro, R"({"hidden_size": null})", {"'hidden_size' is missing", "65536"}},
      {kOuro, R"({"hidden_size": 0})", {"'hidden_size' is 0"}},
      {kOuro, R"({"hidden_size": -2048})", {"'hidden_size' is -2048"}},
      {kOuro, R"({"hidden_size": 2048.0})", {"'hidden_size' is 2048.0", "integer"}},
      {kOuro, R"({"hidden_size": "2048"})", {"'hidden_size' is \"2048\""}},
      {kOuro, R"({"vocab_size": 18446744073709551615})", {"'vocab_size' is 18446744073709551615"}},
      {kOuro, R"({"num_hidden_layers": 100000})", {"'num_hidden_layers' is 100000", "1024"}},
      {kOuro, R"({"total_ut_steps": 0})", {"'total_ut_steps' is 0", "256"}},
      {kOuro, R"({"num_key_value_heads": 5})", {"'num_attention_heads' is 16", "multiple", "5"}},
      {kOuro, R"({"head_dim": 127})", {"'head_dim' is 127", "even"}},
      {kOuro, R"({"head_dim": 512})", {"'head_dim' is 512", "256"}},
      {kOuro, R"({"head_dim": null, "hidden_size": 2047})", {"'head_dim' is missing", "2047"}},
      {kOuro, R"({"rms_norm_eps": 0})", {"'rms_norm_eps' is 0"}},
      {kOuro, R"({"early_exit_threshold": -0.1})", {"'early_exit_threshold' is -0.1"}},
      {kOuro, R"({"eos_token_id": 49152})", {"'eos_token_id' is 49152", "49151"}},
      {kOuro, R"({"eos_token_id": [0, null]})", {"'eos_token_id' holds null"}},
      {kOuro, R"({"eos_token_id": [0, "2"]})", {"'eos_token_id' is \"2\""}},
      {kOuro, R"({"bos_token_id": -2})", {"'bos_token_id' is -2"}},
      {kOuro, R"({"dtype": "float16"})", {"'dtype' is 'float16'", "'torch_dtype' is 'bfloat16'"}},
      {kOuro, R"({"torch_dtype": "float64"})", {"'dtype' is 'float64'", "bfloat16"}},
      {kOuro, R"({"norm_placement": "post"})", {"'norm_placement' is \"post\"", "sandwich"}},
  };
  for (const HostileConfig& hostile : cases) {
    SCOPED_TRACE(hostile.patch);
    const Result<ModelConfig> config =
        parse_model_config(patched(hostile.base, hostile.patch), "dir/config.json");
    EXPECT_ERROR_SAYS(config, "dir/config.json");
    for (const char* part : hostile.says) EXPECT_ERROR_SAYS(config, part);
  }
}

TEST(ModelConfig, RefusesTextThatIsNoConfig) {
  EXPECT_ERROR_SAYS(parse_model_config("[1, 2]", "c.json"), "c.json", "object", "[1,2]");
  EXPECT_ERROR_SAYS(parse_model_config("", "c.json"), "c.json", "JSON");
  EXPECT_ERROR_SAYS(parse_model_config(R"({"a": 1, "a": 2})", "c.json"), "'a' is given twice");
  EXPECT_ERROR_SAYS(parse_model_config(std::string(2 << 20, ' '), "c.json"), "2097152 bytes");
  const TempDir directory;
  EXPECT_ERROR_SAYS(read_model_config(directory.path()), "config.json", "No such file");
}

// What looplm writes, it reads back as the same model, whatever the structure.
TEST(ModelConfig, WritingAndReadingIsTheIdentity) {
  for (const std::string& name : model_preset_names()) {
    const ModelConfig preset = model_preset(name).value();
    for (const ModelFamily& family : kModelFamilies) {
      for (const int bits : {0, 1, 2, 3, 4, 5, 6, 7}) {
        ModelConfig config = preset;
        config.model_type = family.model_type;
        config.norm_placement = (bits & 1) != 0 ? NormPlacement::kPre : NormPlacement::kSandwich;
        config.norm_between_loops = (bits & 2) != 0;
        config.exit_gate = (bits & 4) != 0;
        config.early_exit_threshold = 0.1 * bits;
        config.rms_norm_eps = 1.0 / 3e5;
        config.tie_embeddings = bits % 3 == 0;
        config.bos_token_id = bits - 1;
        config.eos_token_ids.assign(static_cast<size_t>(bits), 7);
        const std::string text = model_config_json(config);
        const Result<ModelConfig> again = parse_model_config(text, name);
        ASSERT_OK(again);
        EXPECT_EQ(again.value(), config) << text;
      }
    }
  }
}

TEST(ModelConfig, WritesHuggingFacesFieldsAndHidesForeignStructures) {
  ModelConfig config = model_preset("ouro-1.4b").value();
  const Json written = Json::parse(model_config_json(config));
  const Json published = Json::parse(kOuro);
  for (const auto& [key, value] : published.items()) {
    if (key == "transformers_version") continue;
    EXPECT_EQ(written.value(key, Json("absent")), value) << key;
  }
  EXPECT_FALSE(written.contains("norm_placement"));

  config.norm_between_loops = false;  // Ouro's Python code would compute another model
  const Json foreign = Json::parse(model_config_json(config));
  EXPECT_FALSE(foreign.contains("architectures"));
  EXPECT_FALSE(foreign.contains("auto_map"));
  EXPECT_EQ(foreign["norm_between_loops"], false);
}

TEST(ModelConfig, ValidateChecksConfigsMadeInCode) {
  ModelConfig config = model_preset("tiny").value();
  EXPECT_OK(validate(config));
  config.loops = kMaxLoops + 1;
  EXPECT_ERROR_SAYS(validate(config), "'total_ut_steps' is 257");
  config.loops = 1;
  config.rope_theta = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR_SAYS(validate(config), "'rope_theta' is nan");
}

TEST(ModelPreset, NamesAreKnownAndSizesArePublishedOnes) {
  EXPECT_EQ(model_preset("ouro-1.4b").value().parameter_count(), 1434652673);
  EXPECT_EQ(model_preset("ouro-2.6b").value().parameter_count(), 2667974657);
  for (const std::string& name : model_preset_names())
    EXPECT_OK(validate(model_preset(name).value()));
  EXPECT_ERROR_SAYS(model_preset("ouro-7b"), "'ouro-7b'", "ouro-1.4b", "tiny");
}

}  // namespace
}  // namespace looplm
