// The shape of a looped language model, as its config.json states it.
//
// Sources: the fields of Ouro's config.json (arXiv:2510.25741, Hugging Face checkpoints
// ByteDance/Ouro-*). The loop structure is data: a plain transformer is a model with one loop and
// norms before the sub-layers only.
#ifndef LOOPLM_CONFIG_H_
#define LOOPLM_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// Where a block normalises: before each sub-layer (Llama), or before it and again on its output
// (Ouro's "sandwich").
enum class NormPlacement { kPre, kSandwich };

struct ModelConfig {
  // Sizes. All positive; heads is a multiple of kv_heads; head_dim is even and at most 256.
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t layers = 0;  // layers in the stack; each runs `loops` times
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t max_positions = 0;

  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-6;
  double initializer_range = 0.02;
  // Of fresh embeddings; 0: initializer_range. A sandwich-normed sublayer adds about 1 per element.
  // An embedding of 0.02 disappears beside that until training has raised it. With 1, a small model
  // learns from the first steps.
  double embedding_initializer_range = 0;
  bool tie_embeddings = false;

  // The loop.
  // "total_ut_steps": loops per token unless a request says otherwise: fewer, or more.
  int64_t loops = 1;
  NormPlacement norm_placement = NormPlacement::kSandwich;
  // The final norm ends every loop and its output enters the next one (Ouro). If off, the un-normed
  // state goes on and the norm is applied only for the read-out and the gate.
  bool norm_between_loops = true;
  bool exit_gate = true;
  double early_exit_threshold = 1.0;  // q-exit's default threshold; 1 means that every loop runs

  std::string model_type = "ouro";
  std::string dtype = "bfloat16";  // as config.json spells it: bfloat16, float16 or float32
  int64_t bos_token_id = -1;       // -1: none
  int64_t pad_token_id = -1;
  std::vector<int64_t> eos_token_ids;

  // The width of the query projection, heads * head_dim, and of the key and value projections.
  int64_t query_size() const { return heads * head_dim; }
  int64_t kv_size() const { return kv_heads * head_dim; }
  // All parameters, counting a tied head once.
  int64_t parameter_count() const;

  bool operator==(const ModelConfig&) const = default;
};

// A token that ends a text, and the places of a model's files that say so:
// "generation_config.json: eos_token_id".
struct EndOfText {
  int32_t id = 0;
  std::vector<std::string> named_by;
};

// Upper bounds that keep every size computation inside 64 bits and refuse absurd files early.
inline constexpr int64_t kMaxVocabSize = int64_t{1} << 24;
inline constexpr int64_t kMaxHiddenSize = int64_t{1} << 16;
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxHeads = 1024;
inline constexpr int64_t kMaxHeadDim = 256;
inline constexpr int64_t kMaxIntermediateSize = int64_t{1} << 18;
inline constexpr int64_t kMaxPositions = int64_t{1} << 24;
inline constexpr int64_t kMaxLoops = 256;

// Reads config.json's text; `what` names the source in messages. Model types: ouro, llama, mistral,
// nanbeige, and qwen2 where it says "attention_bias": false. Sizes must be stated; head_dim and
// num_key_value_heads follow from them as in Hugging Face's code. The structure follows from the
// model type (llama: one loop, norms before the sub-layers, no gate) unless looplm's own keys say
// otherwise: "norm_placement" ("sandwich" or "pre"), "norm_between_loops" and "exit_gate".
//
// Unknown keys are ignored; impossible values, and structures that looplm does not run (biases,
// sliding windows, RoPE scaling, another activation), are errors that name the key.
Result<ModelConfig> parse_model_config(const std::string& json_text, const std::string& what);
Result<ModelConfig> read_model_config(const std::string& directory);

// Writes config.json as Hugging Face's code for the model type reads it; parse_model_config returns
// the same config again. If the structure is not the model type's own, looplm adds its own keys and
// leaves out "architectures" and "auto_map". Other programs then refuse the model instead of
// running a different one.
std::string model_config_json(const ModelConfig& config);

// Checks sizes and their relations; every config that the functions above return has passed it.
Status validate(const ModelConfig& config);

// "ouro-1.4b", "ouro-2.6b" and a few small shapes for tests and quick trials; an unknown name is an
// error that lists them.
Result<ModelConfig> model_preset(const std::string& name);
std::vector<std::string> model_preset_names();

}  // namespace looplm

#endif  // LOOPLM_CONFIG_H_
