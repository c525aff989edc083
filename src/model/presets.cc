// Named model shapes.
#include <functional>

#include <fmt/format.h>

#include "looplm/config.h"

namespace looplm {
namespace {

// Sizes from arXiv:2510.25741, table 2, and the published config.json files.
ModelConfig ouro(int64_t layers) {
  ModelConfig config;
  config.vocab_size = 49152;
  config.hidden_size = 2048;
  config.layers = layers;
  config.heads = 16;
  config.kv_heads = 16;
  config.head_dim = 128;
  config.intermediate_size = 5632;
  config.max_positions = 65536;
  config.rope_theta = 1e6;
  config.loops = 4;
  config.bos_token_id = 0;
  config.pad_token_id = 0;
  config.eos_token_ids = {0};
  return config;
}

// Ouro's structure with the released tokenizer's vocabulary, small enough to train on one machine.
ModelConfig ouro_of_width(int64_t hidden, int64_t layers) {
  ModelConfig config = ouro(layers);
  config.hidden_size = hidden;
  config.head_dim = 64;
  config.heads = hidden / config.head_dim;
  config.kv_heads = config.heads;
  config.intermediate_size = hidden * 11 / 4;  // Ouro's ratio
  config.max_positions = 4096;
  config.rope_theta = 10000;
  return config;
}

// For tests: every size differs from every other, so that swapped ones do not pass unseen, and
// grouped key heads are exercised.
ModelConfig tiny() {
  ModelConfig config;
  config.vocab_size = 260;  // 256 bytes and four special tokens
  config.hidden_size = 48;
  config.layers = 3;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 88;
  config.max_positions = 512;
  config.loops = 4;
  config.dtype = "float32";
  config.bos_token_id = 256;
  config.pad_token_id = 258;
  config.eos_token_ids = {257};
  return config;
}

// The same without loops: a plain transformer.
ModelConfig tiny_dense() {
  ModelConfig config = tiny();
  config.model_type = "llama";
  config.loops = 1;
  config.norm_placement = NormPlacement::kPre;
  config.exit_gate = false;
  return config;
}

struct Preset {
  const char* name;
  std::function<ModelConfig()> make;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      {"ouro-1.4b", [] { return ouro(24); }},
      {"ouro-2.6b", [] { return ouro(48); }},
      {"ouro-small", [] { return ouro_of_width(640, 8); }},  // 103M, 63M of them embeddings
      {"ouro-mini", [] { return ouro_of_width(256, 6); }},   // 30M, 25M of them embeddings
      {"tiny", tiny},
      {"tiny-dense", tiny_dense},
  };
  return all;
}

}  // namespace

Result<ModelConfig> model_preset(const std::string& name) {
  for (const Preset& preset : presets()) {
    if (name == preset.name) return preset.make();
  }
  std::string known;
  for (const Preset& preset : presets())
    known += std::string(known.empty() ? "" : ", ") + preset.name;
  return not_found(fmt::format("no preset named '{}'; expected one of {}", name, known));
}

std::vector<std::string> model_preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace looplm
