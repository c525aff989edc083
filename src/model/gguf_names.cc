// Hugging Face's names of parameters to llama.cpp's.
#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "model/gguf_model.h"

namespace looplm {
namespace {

struct NamePair {
  const char* ours;
  const char* gguf;
};
// Where Hugging Face's Ouro says "post_attention_layernorm" it means the norm before the
// feed-forward part; the norms of what the two parts return have the suffix _2.
constexpr std::array<NamePair, 11> kBlockNames = {{
    {kAttentionNormName, "attn_norm.weight"},
    {kQueryName, "attn_q.weight"},
    {kKeyName, "attn_k.weight"},
    {kValueName, "attn_v.weight"},
    {kOutputName, "attn_output.weight"},
    {kAttentionOutputNormName, "post_attention_norm.weight"},
    {kMlpNormName, "ffn_norm.weight"},
    {kGateProjectionName, "ffn_gate.weight"},
    {kUpProjectionName, "ffn_up.weight"},
    {kDownProjectionName, "ffn_down.weight"},
    {kMlpOutputNormName, "post_ffw_norm.weight"},
}};
constexpr std::array<NamePair, 5> kModelNames = {{
    {kEmbeddingName, "token_embd.weight"},
    {kFinalNormName, "output_norm.weight"},
    {kGateWeightName, kGgufGateWeightName},
    {kGateBiasName, kGgufGateBiasName},
    {kHeadName, "output.weight"},
}};

constexpr std::string_view kLayerPrefix = "model.layers.";

}  // namespace

std::string gguf_tensor_name(const std::string& parameter) {
  for (const NamePair& pair : kModelNames) {
    if (parameter == pair.ours) return pair.gguf;
  }
  const size_t dot = parameter.find('.', kLayerPrefix.size());
  LOOPLM_CHECK(parameter.starts_with(kLayerPrefix) && dot != std::string::npos, "{}", parameter);
  for (const NamePair& pair : kBlockNames) {
    if (parameter.substr(dot + 1) == pair.ours) {
      return fmt::format(
          "blk.{}.{}", parameter.substr(kLayerPrefix.size(), dot - kLayerPrefix.size()), pair.gguf);
    }
  }
  LOOPLM_CHECK(false, "{}", parameter);
}

}  // namespace looplm
