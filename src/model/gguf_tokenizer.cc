#include "model/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "model/gguf_tokenizer_families.h"
#include "text/utf8.h"

namespace looplm {
namespace {

std::string shown(std::string_view text) { return gguf_value_text(GgufValue(text)); }

// Null where the file has no tokenizer.
Result<const GgufTokenizerFamily*> read_family(const GgufMetadata& metadata) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string model,
                          gguf_string(metadata, kGgufTokenizerKey, "none"));
  if (model == "none" || model == "no_vocab") return nullptr;
  if (model != "gpt2") {
    return unsupported(fmt::format("key '{}' is {}; looplm reads only 'gpt2' (byte-level BPE)",
                                   kGgufTokenizerKey, shown(model)));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string pre, gguf_string(metadata, kGgufPreKey, ""));
  for (const GgufTokenizerFamily& family : gguf_tokenizer_families()) {
    if (pre == family.name) return &family;
  }
  std::string known;
  for (const GgufTokenizerFamily& family : gguf_tokenizer_families()) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
  }
  return unsupported(fmt::format("key '{}' is {}; looplm knows {}", kGgufPreKey,
                                 pre.empty() ? "missing" : shown(pre), known));
}

Result<std::vector<std::string_view>> read_tokens(const GgufMetadata& metadata,
                                                  int64_t vocab_size) {
  LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string_view> tokens,
                          gguf_strings(metadata, kGgufTokensKey));
  if (tokens.empty() || tokens.size() > static_cast<uint64_t>(vocab_size)) {
    return invalid_argument(
        fmt::format("key '{}' is a list of {}; expected 1 to {}, the rows of the embedding",
                    kGgufTokensKey, tokens.size(), vocab_size));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!is_utf8(tokens[i])) {
      return invalid_argument(fmt::format("token {} of key '{}' is not UTF-8", i, kGgufTokensKey));
    }
  }
  return tokens;
}

// All kGgufNormal where the file does not say.
Result<std::vector<int64_t>> read_types(const GgufMetadata& metadata, size_t tokens) {
  if (!metadata.contains(kGgufTypesKey)) return std::vector<int64_t>(tokens, kGgufNormal);
  LOOPLM_ASSIGN_OR_RETURN(std::vector<int64_t> types, gguf_ints(metadata, kGgufTypesKey));
  if (types.size() != tokens) {
    return invalid_argument(fmt::format("key '{}' is a list of {}; expected {}, one per token",
                                        kGgufTypesKey, types.size(), tokens));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] >= kGgufUndefined && types[i] <= kGgufUnused) continue;
    return invalid_argument(fmt::format("type {} of key '{}' is {}; expected 0 to {}", i,
                                        kGgufTypesKey, types[i],
                                        static_cast<int64_t>(kGgufUnused)));
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
    if (types[i] == kGgufUnused || tokens[i].empty()) continue;
    const auto [place, is_new] = vocabulary.emplace(tokens[i], i);
    if (!is_new) {
      return invalid_argument(fmt::format("tokens {} and {} of key '{}' are both {}",
                                          place->second.get<size_t>(), i, kGgufTokensKey,
                                          shown(tokens[i])));
    }
    const bool special = types[i] == kGgufControl || types[i] == kGgufUnknown;
    if (!special && types[i] != kGgufUserDefined) continue;
    added.push_back(
        {{"id", i}, {"content", tokens[i]}, {"special", special}, {"normalized", false}});
  }
  file["model"]["vocab"] = std::move(vocabulary);
  file["added_tokens"] = std::move(added);
  return {};
}

Status add_merges(const GgufMetadata& metadata, Json& file) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                          gguf_strings(metadata, kGgufMergesKey));
  Json list = Json::array();
  for (size_t i = 0; i < merges.size(); ++i) {
    if (!is_utf8(merges[i])) {
      return invalid_argument(fmt::format("merge {} of key '{}' is not UTF-8", i, kGgufMergesKey));
    }
    list.push_back(merges[i]);
  }
  file["model"]["merges"] = std::move(list);
  return {};
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

Status add_post_processor(const GgufMetadata& metadata, const GgufTokenizerFamily& family,
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
  LOOPLM_ASSIGN_OR_RETURN(const GgufTokenizerFamily* family, read_family(metadata));
  if (family == nullptr) return std::string();
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                          read_tokens(metadata, vocab_size));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> types, read_types(metadata, tokens.size()));
  LOOPLM_ASSIGN_OR_RETURN(const bool space_before,
                          gguf_bool(metadata, "tokenizer.ggml.add_space_prefix", false));
  Json file = {{"version", "1.0"}, {"decoder", {{"type", "ByteLevel"}}}};
  file["normalizer"] = family->nfc ? Json{{"type", "NFC"}} : Json();
  file["pre_tokenizer"] = gguf_pre_tokenizer(*family, space_before);
  file["model"] = {{"type", "BPE"}, {"ignore_merges", family->whole_words}};
  LOOPLM_RETURN_IF_ERROR(add_tokens(tokens, types, file));
  LOOPLM_RETURN_IF_ERROR(add_merges(metadata, file));
  LOOPLM_RETURN_IF_ERROR(add_post_processor(metadata, *family, tokens, file));
  return dump_json(file);
}

}  // namespace looplm
