// The tokenizers that llama.cpp knows by name, and the keys that describe one.
#ifndef LOOPLM_MODEL_GGUF_TOKENIZER_FAMILIES_H_
#define LOOPLM_MODEL_GGUF_TOKENIZER_FAMILIES_H_

#include <cstdint>
#include <span>

#include "base/json.h"

namespace looplm {

inline constexpr const char* kGgufTokenizerKey = "tokenizer.ggml.model";
inline constexpr const char* kGgufPreKey = "tokenizer.ggml.pre";
inline constexpr const char* kGgufTokensKey = "tokenizer.ggml.tokens";
inline constexpr const char* kGgufTypesKey = "tokenizer.ggml.token_type";
inline constexpr const char* kGgufMergesKey = "tokenizer.ggml.merges";

// How a text is cut into words.
enum class GgufCut { kGpt2, kDigits, kPattern };

// What one of llama.cpp's names (the key tokenizer.ggml.pre) stands for.
struct GgufTokenizerFamily {
  const char* name;
  GgufCut cut = GgufCut::kGpt2;
  const char* pattern = nullptr;  // of kPattern
  bool whole_words = false;       // a word that is a token is that token, whatever the merges
  bool adds_bos = false;          // where no key says otherwise
  bool nfc = false;
};

// Of names for the same, the usual one first.
std::span<const GgufTokenizerFamily> gguf_tokenizer_families();

// The family's "pre_tokenizer" in a tokenizer.json.
Json gguf_pre_tokenizer(const GgufTokenizerFamily& family, bool space_before);

// The format's own numbers.
enum GgufTokenType : int32_t {
  kGgufUndefined = 0,
  kGgufNormal = 1,
  kGgufUnknown,
  kGgufControl,
  kGgufUserDefined,
  kGgufUnused
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_GGUF_TOKENIZER_FAMILIES_H_
