// Reading a tokenizer.json.
#include <algorithm>

#include <fmt/format.h>

#include "text/tokenizer_parts.h"

namespace looplm {
namespace {

const Json& field(const Json& file, const char* name) {
  static const Json kNull;
  const auto found = file.find(name);
  return found == file.end() ? kNull : *found;
}

Status read_normalizer(const Json& node, Normalization& out) {
  if (node.is_null()) return {};
  if (!node.is_object()) return invalid_argument("expected an object");
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(node, "type", ""));
  if (type == "Sequence" && node.contains("normalizers") && node["normalizers"].is_array()) {
    if (node["normalizers"].size() > 1) return unsupported("a sequence of several steps");
    for (const Json& child : node["normalizers"]) {
      LOOPLM_RETURN_IF_ERROR(read_normalizer(child, out));
    }
    return {};
  }
  constexpr std::pair<const char*, Normalization> kForms[] = {{"NFC", Normalization::kNfc},
                                                              {"NFD", Normalization::kNfd},
                                                              {"NFKC", Normalization::kNfkc},
                                                              {"NFKD", Normalization::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type == name) {
      out = form;
      return {};
    }
  }
  return unsupported(fmt::format("normalizer '{}'; looplm knows NFC, NFD, NFKC and NFKD", type));
}

Status check_decoder(const Json& node) {
  if (node.is_null()) return {};
  if (!node.is_object()) return invalid_argument("expected an object");
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(node, "type", ""));
  if (type == "ByteLevel") return {};
  if (type == "Sequence" && node.contains("decoders") && node["decoders"].is_array() &&
      node["decoders"].size() == 1) {
    return check_decoder(node["decoders"][0]);
  }
  return unsupported(fmt::format("decoder '{}'; looplm knows ByteLevel", type));
}

}  // namespace

Result<std::unique_ptr<Tokenizer::Parts>> Tokenizer::Parts::read(const Json& file) {
  if (!file.is_object()) return invalid_argument("expected an object");
  auto parts = std::make_unique<Parts>();
  LOOPLM_RETURN_IF_ERROR(
      read_normalizer(field(file, "normalizer"), parts->normalization).with_context("normalizer"));
  LOOPLM_ASSIGN_OR_RETURN(parts->pre_tokenizer, PreTokenizer::read(field(file, "pre_tokenizer")));
  LOOPLM_ASSIGN_OR_RETURN(parts->encoder, BytePairEncoder::read(field(file, "model")));
  LOOPLM_ASSIGN_OR_RETURN(parts->post_processor,
                          read_post_processor(field(file, "post_processor")));
  LOOPLM_RETURN_IF_ERROR(check_decoder(field(file, "decoder")).with_context("decoder"));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<AddedToken> added, read_added_tokens(file));

  std::vector<AddedTokenMatcher::Entry> raw;
  std::vector<AddedTokenMatcher::Entry> normalized;
  parts->vocab_size = parts->encoder->tokens().end_id();
  for (const AddedToken& token : added) {
    const auto known = parts->encoder->id_of(token.content);
    if (known && *known != token.id) {
      return invalid_argument(fmt::format("added token '{}' has id {}, and {} in the vocabulary",
                                          token.content, token.id, *known));
    }
    const std::string found_as =
        token.normalized ? normalize(parts->normalization, token.content) : token.content;
    if (found_as.empty()) return invalid_argument("an added token that normalisation empties");
    // Found in the text before it is written in the byte-level alphabet, so no byte of that: the
    // c-caron of an added token is a letter, where that of another token is a carriage return.
    parts->added_bytes[token.id] = found_as;
    parts->added_ids.emplace(token.content, token.id);
    parts->vocab_size = std::max(parts->vocab_size, int64_t{token.id} + 1);
    if (token.special) parts->special.insert(token.id);
    (token.normalized ? normalized : raw).push_back({found_as, token});
  }
  for (const auto& ids : {parts->post_processor.before, parts->post_processor.after}) {
    for (int32_t id : ids) {
      if (id >= parts->vocab_size) {
        return invalid_argument(fmt::format("post_processor: id {} is outside the vocabulary of {}",
                                            id, parts->vocab_size));
      }
    }
  }
  parts->raw_added = AddedTokenMatcher(std::move(raw));
  parts->normalized_added = AddedTokenMatcher(std::move(normalized));
  return parts;
}

}  // namespace looplm
