#include "model/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr const char* kModelKey = "tokenizer.ggml.model";
constexpr const char* kPreKey = "tokenizer.ggml.pre";
constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
constexpr const char* kMergesKey = "tokenizer.ggml.merges";

// The patterns of the published tokenizer.json files of Llama 3 and Qwen2.
constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class Cut { kGpt2, kDigits, kPattern };

// What one of llama.cpp's names stands for.
struct Family {
  const char* name;
  Cut cut = Cut::kGpt2;
  const char* pattern = nullptr;  // of kPattern
  bool whole_words = false;       // a word that is a token is that token, whatever the merges
  bool adds_bos = false;          // where no key says otherwise
  bool nfc = false;
};
constexpr Family kFamilies[] = {
    {.name = "smollm", .cut = Cut::kDigits},
    {.name = "starcoder", .cut = Cut::kDigits},
    {.name = "refact", .cut = Cut::kDigits},
    {.name = "codeshell", .cut = Cut::kDigits},
    {.name = "gpt-2"},
    {.name = "phi-2"},
    {.name = "olmo"},
    {.name = "mpt"},
    {.name = "llama-bpe",
     .cut = Cut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "llama3",
     .cut = Cut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "llama-v3",
     .cut = Cut::kPattern,
     .pattern = kLlama3Pattern,
     .whole_words = true,
     .adds_bos = true},
    {.name = "dbrx", .cut = Cut::kPattern, .pattern = kLlama3Pattern},
    {.name = "smaug-bpe", .cut = Cut::kPattern, .pattern = kLlama3Pattern},
    {.name = "qwen2", .cut = Cut::kPattern, .pattern = kQwen2Pattern, .nfc = true},
    {.name = "deepseek-r1-qwen", .cut = Cut::kPattern, .pattern = kQwen2Pattern, .nfc = true},
};

// The format's own numbers.
enum TokenType : int64_t { kUndefined = 0, kNormal = 1, kUnknown, kControl, kUserDefined, kUnused };

std::string shown(std::string_view text) { return gguf_value_text(GgufValue(text)); }

// Null where the file has no tokenizer.
Result<const Family*> read_family(const GgufMetadata& metadata) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string model, gguf_string(metadata, kModelKey, "none"));
  if (model == "none" || model == "no_vocab") return nullptr;
  if (model != "gpt2") {
    return unsupported(fmt::format("key '{}' is {}; looplm reads only 'gpt2' (byte-level BPE)",
                                   kModelKey, shown(model)));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string pre, gguf_string(metadata, kPreKey, ""));
  for (const Family& family : kFamilies) {
    if (pre == family.name) return &family;
  }
  std::string known;
  for (const Family& family : kFamilies) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
  }
  return unsupported(fmt::format("key '{}' is {}; looplm knows {}", kPreKey,
                                 pre.empty() ? "missing" : shown(pre), known));
}

Result<std::vector<std::string_view>> read_tokens(const GgufMetadata& metadata,
                                                  int64_t vocab_size) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string_view> tokens, gguf_strings(metadata, kTokensKey));
  if (tokens.empty() || tokens.size() > static_cast<uint64_t>(vocab_size)) {
    return invalid_argument(
        fmt::format("key '{}' is a list of {}; expected 1 to {}, the rows of the embedding",
                    kTokensKey, tokens.size(), vocab_size));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!is_utf8(tokens[i])) {
      return invalid_argument(fmt::format("token {} of key '{}' is not UTF-8", i, kTokensKey));
    }
  }
  return tokens;
}

// All kNormal where the file does not say.
Result<std::vector<int64_t>> read_types(const GgufMetadata& metadata, size_t tokens) {
  if (!metadata.contains(kTypesKey)) return std::vector<int64_t>(tokens, kNormal);
  LOOPLM_ASSIGN_OR_RETURN(std::vector<int64_t> types, gguf_ints(metadata, kTypesKey));
  if (types.size() != tokens) {
    return invalid_argument(fmt::format("key '{}' is a list of {}; expected {}, one per token",
                                        kTypesKey, types.size(), tokens));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] >= kUndefined && types[i] <= kUnused) continue;
    return invalid_argument(fmt::format("type {} of key '{}' is {}; expected 0 to {}", i, kTypesKey,
                                        types[i], static_cast<int64_t>(kUnused)));
  }
  return types;
}

// Vocabulary and added tokens. Control tokens are in both, as in most files; unused ones are rows
// of the embedding that stand for no token.
Status add_tokens(const std::vector<std::string_view>& tokens, const std::vector<int64_t>& types,
                  Json& file) {
  Json::object_t vocabulary;
  Json added = Json::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] == kUnused || tokens[i].empty()) continue;
    const auto [place, is_new] = vocabulary.emplace(tokens[i], i);
    if (!is_new) {
      return invalid_argument(fmt::format("tokens {} and {} of key '{}' are both {}",
                                          place->second.get<size_t>(), i, kTokensKey,
                                          shown(tokens[i])));
    }
    const bool special = types[i] == kControl || types[i] == kUnknown;
    if (!special && types[i] != kUserDefined) continue;
    added.push_back(
        {{"id", i}, {"content", tokens[i]}, {"special", special}, {"normalized", false}});
  }
  file["model"]["vocab"] = std::move(vocabulary);
  file["added_tokens"] = std::move(added);
  return {};
}

Status add_merges(const GgufMetadata& metadata, Json& file) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                          gguf_strings(metadata, kMergesKey));
  Json list = Json::array();
  for (size_t i = 0; i < merges.size(); ++i) {
    if (!is_utf8(merges[i])) {
      return invalid_argument(fmt::format("merge {} of key '{}' is not UTF-8", i, kMergesKey));
    }
    list.push_back(merges[i]);
  }
  file["model"]["merges"] = std::move(list);
  return {};
}

Json pre_tokenizer(const Family& family, bool space_before) {
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", space_before},
                      {"use_regex", family.cut != Cut::kPattern}};
  if (family.cut == Cut::kGpt2) return bytes;
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", family.pattern == nullptr ? "" : family.pattern}}},
                      {"behavior", "Isolated"}};
  return {{"type", "Sequence"},
          {"pretokenizers", Json::array({family.cut == Cut::kDigits ? digits : split, bytes})}};
}

// {"SpecialToken": ...} for an id that goes before or behind every text.
Result<Json> template_piece(const GgufMetadata& metadata, const char* key,
                            const std::vector<std::string_view>& tokens, Json& table) {
  const auto last = static_cast<int64_t>(tokens.size()) - 1;
  LOOPLM_ASSIGN_OR_RETURN(const int64_t id, gguf_int(metadata, key, std::nullopt, 0, last));
  const auto name = std::string(tokens[static_cast<size_t>(id)]);
  table[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  return Json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
}

Status add_post_processor(const GgufMetadata& metadata, const Family& family,
                          const std::vector<std::string_view>& tokens, Json& file) {
  LOOPLM_ASSIGN_OR_RETURN(const bool bos,
                          gguf_bool(metadata, "tokenizer.ggml.add_bos_token", family.adds_bos));
  LOOPLM_ASSIGN_OR_RETURN(const bool eos,
                          gguf_bool(metadata, "tokenizer.ggml.add_eos_token", false));
  file["post_processor"] = nullptr;
  if (!bos && !eos) return {};
  Json single = Json::array();
  Json table = Json::object();
  if (bos) {
    LOOPLM_ASSIGN_OR_RETURN(Json piece,
                            template_piece(metadata, "tokenizer.ggml.bos_token_id", tokens, table));
    single.push_back(std::move(piece));
  }
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (eos) {
    LOOPLM_ASSIGN_OR_RETURN(Json piece,
                            template_piece(metadata, "tokenizer.ggml.eos_token_id", tokens, table));
    single.push_back(std::move(piece));
  }
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", std::move(single)},
                            {"special_tokens", std::move(table)}};
  return {};
}

}  // namespace

Result<std::string> gguf_tokenizer_json(const GgufMetadata& metadata, int64_t vocab_size) {
  LOOPLM_ASSIGN_OR_RETURN(const Family* family, read_family(metadata));
  if (family == nullptr) return std::string();
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                          read_tokens(metadata, vocab_size));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> types, read_types(metadata, tokens.size()));
  LOOPLM_ASSIGN_OR_RETURN(const bool space_before,
                          gguf_bool(metadata, "tokenizer.ggml.add_space_prefix", false));
  Json file = {{"version", "1.0"}, {"decoder", {{"type", "ByteLevel"}}}};
  file["normalizer"] = family->nfc ? Json{{"type", "NFC"}} : Json();
  file["pre_tokenizer"] = pre_tokenizer(*family, space_before);
  file["model"] = {{"type", "BPE"}, {"ignore_merges", family->whole_words}};
  LOOPLM_RETURN_IF_ERROR(add_tokens(tokens, types, file));
  LOOPLM_RETURN_IF_ERROR(add_merges(metadata, file));
  LOOPLM_RETURN_IF_ERROR(add_post_processor(metadata, *family, tokens, file));
  return file.dump();
}

}  // namespace looplm
