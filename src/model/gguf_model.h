// Looped models in GGUF files as llama.cpp's converter writes them, under Hugging Face's names.
//
// Two things differ from a checkpoint directory. llama.cpp turns neighbouring elements of a head in
// RoPE and Hugging Face's code elements half a head apart, so the converter reorders the rows of
// the query and key projections, and here they are put back. And the converter leaves out Ouro's
// exit gate, which may then stand in a safetensors file beside.
#ifndef LOOPLM_MODEL_GGUF_MODEL_H_
#define LOOPLM_MODEL_GGUF_MODEL_H_

#include <array>
#include <string>

#include "looplm/config.h"
#include "looplm/status.h"

#include "model/checkpoint.h"
#include "model/gguf.h"

namespace looplm {

// Names of the exit gate in a GGUF file, for writers that keep it.
inline constexpr const char* kGgufGateWeightName = "early_exit_gate.weight";
inline constexpr const char* kGgufGateBiasName = "early_exit_gate.bias";

// Keys of the ids that end a text, a turn (of a chat) and a message (before a tool is run).
inline constexpr std::array<const char*, 3> kGgufEndKeys = {
    "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};

// A chat template; named ones have ".NAME" behind it.
inline constexpr const char* kGgufChatTemplateKey = "tokenizer.chat_template";

// Whether the file has a parameter's rows in another order; see above.
bool gguf_reorders(const std::string& parameter);

// The file's name for a parameter of ours: "blk.3.ffn_down.weight".
std::string gguf_tensor_name(const std::string& parameter);

// The config that the file's keys and tensors state; exit_gate says whether the file holds the
// gate. Architectures: ouro, llama, nanbeige. Errors name the key: a size that is missing or
// impossible, and structures that looplm does not run (experts, RoPE scaling, ...).
Result<ModelConfig> gguf_model_config(const GgufFile& file);

// open_checkpoint of a GGUF file. F32, F16 and BF16 tensors are used where they lie in the file
// (queries and keys are copied, for their order); blocks are turned into floats in buffers that the
// checkpoint owns: 0.1 (Q8_0) to 1.9 ns (Q6_K) per element, so that Ouro-1.4B takes up to 3 s.
Result<Checkpoint> open_gguf_checkpoint(const std::string& path, const CheckpointOptions& options);

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_MODEL_H_
