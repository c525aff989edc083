#include "model/gguf_tokenizer_write.h"

#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "model/gguf_tokenizer_families.h"

namespace looplm {
namespace {

bool is_true(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && *found == true;
}

// Without what stands for its default, and a sequence of one as that one, so that files that mean
// the same are equal.
Json plain_step(const Json& step) {
  if (!step.is_object()) return step;
  const std::string type = step.value("type", "");
  if (type == "Sequence") {
    const bool cuts = step.contains("pretokenizers");
    Json steps = Json::array();
    for (const Json& inner : step.value(cuts ? "pretokenizers" : "normalizers", Json::array())) {
      steps.push_back(plain_step(inner));
    }
    if (steps.empty()) return {};
    if (steps.size() == 1) return steps[0];
    return {{"type", type}, {"steps", std::move(steps)}};
  }
  Json plain = Json::object();
  for (const auto& [key, value] : step.items()) {
    if (!value.is_null()) plain[key] = value;
  }
  if (type == "ByteLevel") {
    plain.erase("trim_offsets");
    for (const char* key : {"use_regex", "add_prefix_space"}) plain.emplace(key, true);
  }
  if (type == "Split" && !is_true(plain, "invert")) plain.erase("invert");
  return plain;
}

bool spaces_first(const Json& plain) {
  if (!plain.is_object()) return false;
  for (const Json& step : plain.value("steps", Json::array())) {
    if (spaces_first(step)) return true;
  }
  return is_true(plain, "add_prefix_space");
}

Result<const GgufTokenizerFamily*> find_family(const Json& file) {
  const Json cut = plain_step(file.value("pre_tokenizer", Json()));
  const Json normalizer = plain_step(file.value("normalizer", Json()));
  const bool whole_words = is_true(file["model"], "ignore_merges");
  for (const GgufTokenizerFamily& family : gguf_tokenizer_families()) {
    const Json nfc = family.nfc ? Json{{"type", "NFC"}} : Json();
    if (family.whole_words == whole_words && normalizer == nfc &&
        cut == plain_step(gguf_pre_tokenizer(family, spaces_first(cut)))) {
      return &family;
    }
  }
  return unsupported(fmt::format(
      "tokenizer.json cuts text into words in a way that llama.cpp has no name for (pre_tokenizer "
      "{}, normalizer {}, ignore_merges {})",
      dump_json(cut), dump_json(normalizer), whole_words));
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

Status add_token(const std::string& text, int64_t id, GgufTokenType type, Vocabulary& vocabulary) {
  const auto rows = static_cast<int64_t>(vocabulary.tokens.size());
  if (id < 0 || id >= rows) {
    return invalid_argument(fmt::format(
        "tokenizer.json gives '{}' the id {}; expected 0 to {}, the rows of the embedding", text,
        id, rows - 1));
  }
  vocabulary.tokens[static_cast<size_t>(id)] = text;
  vocabulary.types[static_cast<size_t>(id)] = type;
  return {};
}

Result<Vocabulary> read_vocabulary(const Json& file, int64_t rows) {
  Vocabulary vocabulary;
  vocabulary.types.resize(static_cast<size_t>(rows), kGgufUnused);
  for (int64_t id = 0; id < rows; ++id) vocabulary.tokens.push_back(fmt::format("[PAD{}]", id));
  for (const auto& [text, id] : file["model"]["vocab"].items()) {
    LOOPLM_RETURN_IF_ERROR(add_token(text, id.get<int64_t>(), kGgufNormal, vocabulary));
  }
  for (const Json& token : file.value("added_tokens", Json::array())) {
    LOOPLM_RETURN_IF_ERROR(
        add_token(token["content"].get<std::string>(), token["id"].get<int64_t>(),
                  is_true(token, "special") ? kGgufControl : kGgufUserDefined, vocabulary));
  }
  return vocabulary;
}

std::vector<std::string> read_merges(const Json& file) {
  std::vector<std::string> merges;
  for (const Json& merge : file["model"]["merges"]) {
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge[0].get<std::string>() + ' ' + merge[1].get<std::string>());
  }
  return merges;
}

// GGUF says whether the one begin-of-text id goes in front and the one end behind, no more.
Status add_ends(const Tokenizer& tokenizer, const ModelConfig& config, GgufKeys& keys) {
  EncodeOptions whole;
  whole.as = EncodeAs::kDocument;
  LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> around, tokenizer.encode("", whole));
  const std::vector<int32_t>& front = tokenizer.ids_in_front();
  around.erase(around.begin(), around.begin() + static_cast<ptrdiff_t>(front.size()));
  const auto is_one = [](const std::vector<int32_t>& ids, int64_t id) {
    return ids.empty() || (ids.size() == 1 && ids[0] == id);
  };
  const int64_t end = config.eos_token_ids.empty() ? -1 : config.eos_token_ids[0];
  if (!is_one(front, config.bos_token_id) || !is_one(around, end)) {
    return unsupported(fmt::format(
        "tokenizer.json puts {} ids before a text and {} behind it; a GGUF file can say only "
        "bos_token_id ({}) before and eos_token_id ({}) behind",
        front.size(), around.size(), config.bos_token_id, end));
  }
  keys.add_flag("tokenizer.ggml.add_bos_token", !front.empty());
  keys.add_flag("tokenizer.ggml.add_eos_token", !around.empty());
  return {};
}

}  // namespace

Status add_gguf_tokenizer(std::string_view tokenizer_json, const Tokenizer& tokenizer,
                          const ModelConfig& config, GgufKeys& keys) {
  // What is read below has its type, since there is a tokenizer.
  LOOPLM_ASSIGN_OR_RETURN(const Json file, parse_json(tokenizer_json, "tokenizer.json"));
  LOOPLM_ASSIGN_OR_RETURN(const GgufTokenizerFamily* family, find_family(file));
  LOOPLM_ASSIGN_OR_RETURN(const Vocabulary vocabulary, read_vocabulary(file, config.vocab_size));
  keys.add_text(kGgufTokenizerKey, "gpt2");  // byte-level BPE
  keys.add_text(kGgufPreKey, family->name);
  keys.add_list(kGgufTokensKey, vocabulary.tokens);
  keys.add_list(kGgufTypesKey, vocabulary.types);
  keys.add_list(kGgufMergesKey, read_merges(file));
  if (spaces_first(plain_step(file.value("pre_tokenizer", Json())))) {
    keys.add_flag("tokenizer.ggml.add_space_prefix", true);
  }
  return add_ends(tokenizer, config, keys);
}

}  // namespace looplm
