#include "model/parameters.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace looplm {
namespace {

TEST(Parameters, CountsOfThePublishedModels) {
  EXPECT_EQ(parameter_specs(model_preset("ouro-1.4b").value()).size(), 269);
  EXPECT_EQ(parameter_specs(model_preset("ouro-2.6b").value()).size(), 533);
  for (const std::string& name : model_preset_names()) {
    for (const bool tied : {false, true}) {
      ModelConfig config = model_preset(name).value();
      config.tie_embeddings = tied;
      int64_t count = 0;
      for (const ParameterSpec& spec : parameter_specs(config)) count += spec.count();
      EXPECT_EQ(count, config.parameter_count()) << name;
    }
  }
}

TEST(Parameters, NamesAndShapesFollowTheStructure) {
  const auto names_of = [](const ModelConfig& config) {
    std::vector<std::string> names;
    for (const ParameterSpec& spec : parameter_specs(config)) {
      names.push_back(spec.name + " " + shape_text(spec.shape));
    }
    return names;
  };
  ModelConfig config = model_preset("tiny").value();
  config.layers = 1;
  EXPECT_EQ(names_of(config),
            (std::vector<std::string>{
                "model.embed_tokens.weight [260, 48]", "model.layers.0.input_layernorm.weight [48]",
                "model.layers.0.self_attn.q_proj.weight [64, 48]",
                "model.layers.0.self_attn.k_proj.weight [32, 48]",
                "model.layers.0.self_attn.v_proj.weight [32, 48]",
                "model.layers.0.self_attn.o_proj.weight [48, 64]",
                "model.layers.0.input_layernorm_2.weight [48]",
                "model.layers.0.post_attention_layernorm.weight [48]",
                "model.layers.0.mlp.gate_proj.weight [88, 48]",
                "model.layers.0.mlp.up_proj.weight [88, 48]",
                "model.layers.0.mlp.down_proj.weight [48, 88]",
                "model.layers.0.post_attention_layernorm_2.weight [48]", "model.norm.weight [48]",
                "model.early_exit_gate.weight [1, 48]", "model.early_exit_gate.bias [1]",
                "lm_head.weight [260, 48]"}));
  config.norm_placement = NormPlacement::kPre;
  config.exit_gate = false;
  config.tie_embeddings = true;
  for (const std::string& name : names_of(config)) {
    EXPECT_THAT(name, ::testing::Not(::testing::ContainsRegex("norm_2|exit_gate|lm_head")));
  }
}

}  // namespace
}  // namespace looplm
