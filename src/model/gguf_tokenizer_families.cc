#include "model/gguf_tokenizer_families.h"

namespace looplm {
namespace {

// The patterns of the published tokenizer.json files of Llama 3 and Qwen2.
constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr GgufTokenizerFamily kFamilies[] = {
    {.name = "smollm", .cut = GgufCut::kDigits},
    {.name = "starcoder", .cut = GgufCut::kDigits},
    {.name = "refact", .cut = GgufCut::kDigits},
    {.name = "codeshell", .cut = GgufCut::kDigits},
    {.name = "gpt-2"},
    {.name = "phi-2"},
    {.name = "olmo"},
    {.name = "mpt"},
    {.name = "llama-bpe",
     .cut = GgufCut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "llama3",
     .cut = GgufCut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "llama-v3",
     .cut = GgufCut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "dbrx", .cut = GgufCut::kPattern, .pattern = kLlama3Pattern},
    {.name = "smaug-bpe", .cut = GgufCut::kPattern, .pattern = kLlama3Pattern},
    {.name = "qwen2", .cut = GgufCut::kPattern, .pattern = kQwen2Pattern, .nfc = true},
    {.name = "deepseek-r1-qwen", .cut = GgufCut::kPattern, .pattern = kQwen2Pattern, .nfc = true},
};

}  // namespace

std::span<const GgufTokenizerFamily> gguf_tokenizer_families() { return kFamilies; }

Json gguf_pre_tokenizer(const GgufTokenizerFamily& family, bool space_before) {
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", space_before},
                      {"use_regex", family.cut != GgufCut::kPattern}};
  if (family.cut == GgufCut::kGpt2) return bytes;
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", family.pattern == nullptr ? "" : family.pattern}}},
                      {"behavior", "Isolated"}};
  return {{"type", "Sequence"},
          {"pretokenizers", Json::array({family.cut == GgufCut::kDigits ? digits : split, bytes})}};
}

}  // namespace looplm
