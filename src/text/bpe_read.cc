// Reading the "model" of a tokenizer.json.
#include <fmt/format.h>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace looplm {
namespace {

Status check_options(const Json& node) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(node, "type", "BPE"));
  if (type != "BPE") {
    return unsupported(fmt::format("type is '{}'; looplm reads byte-level BPE", type));
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto found = node.find(affix);
    if (found != node.end() && !found->is_null() && *found != "") {
      return unsupported(fmt::format("{} is {}; expected none", affix, dump_json(*found)));
    }
  }
  const auto dropout = node.find("dropout");
  if (dropout != node.end() && !dropout->is_null() && *dropout != 0.0) {
    return unsupported(fmt::format("dropout is {}; expected none", dump_json(*dropout)));
  }
  LOOPLM_ASSIGN_OR_RETURN(const bool fallback, json_bool(node, "byte_fallback", false));
  if (fallback) return unsupported("byte_fallback is true; expected false");
  return {};
}

// "a b" or ["a", "b"].
Status read_pair(const Json& entry, std::string& left, std::string& right) {
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
    left = entry[0].get<std::string>();
    right = entry[1].get<std::string>();
    return {};
  }
  if (entry.is_string()) {
    const auto& text = entry.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      left = text.substr(0, space);
      right = text.substr(space + 1);
      return {};
    }
  }
  return invalid_argument(fmt::format("{} is not a pair of tokens", dump_json(entry)));
}

}  // namespace

Result<std::unique_ptr<BytePairEncoder>> BytePairEncoder::read(const Json& node) {
  if (!node.is_object()) return invalid_argument("model: expected an object");
  std::unique_ptr<BytePairEncoder> encoder(new BytePairEncoder());
  Status status = check_options(node);
  if (status.ok()) status = encoder->read_vocabulary(node);
  if (status.ok()) status = encoder->read_merges(node);
  if (!status.ok()) return status.with_context("model");
  LOOPLM_ASSIGN_OR_RETURN(encoder->ignore_merges_, json_bool(node, "ignore_merges", false));
  LOOPLM_ASSIGN_OR_RETURN(encoder->fuse_unknown_, json_bool(node, "fuse_unk", false));
  const auto unknown = node.find("unk_token");
  if (unknown != node.end() && unknown->is_string()) {
    const auto id = encoder->id_of(unknown->get<std::string>());
    if (!id) {
      return invalid_argument(fmt::format("model: unk_token '{}' is not in the vocabulary",
                                          unknown->get<std::string>()));
    }
    encoder->unknown_id_ = *id;
  }
  encoder->whole_ =
      std::vector<std::atomic<uint8_t>>(static_cast<size_t>(encoder->tokens_.end_id()));
  return encoder;
}

Status BytePairEncoder::read_vocabulary(const Json& node) {
  const auto vocab = node.find("vocab");
  if (vocab == node.end() || !vocab->is_object() || vocab->empty()) {
    return invalid_argument("vocab is missing; expected an object of tokens and ids");
  }
  const ByteLevel alphabet;
  tokens_.reserve(vocab->size(), vocab->size() * 8);
  std::vector<bool> taken;
  for (const auto& [text, value] : vocab->items()) {
    if (!value.is_number_integer() || value < 0 || value >= kMostTokens) {
      return invalid_argument(fmt::format("the id of token '{}' is {}; expected 0 to {}", text,
                                          dump_json(value), kMostTokens - 1));
    }
    const auto id = value.get<int32_t>();
    if (static_cast<size_t>(id) >= taken.size()) taken.resize(static_cast<size_t>(id) + 1);
    if (taken[static_cast<size_t>(id)]) {
      return invalid_argument(
          fmt::format("id {} belongs to two tokens, one of them '{}'", id, text));
    }
    taken[static_cast<size_t>(id)] = true;
    ids_.emplace(text, id);
    // A token with a character outside the alphabet stands for its own UTF-8 when it is decoded, as
    // in the reference library. No text is encoded to it, since words are looked up in the
    // alphabet.
    const std::optional<std::string> bytes = alphabet.bytes_of(text);
    if (bytes) {
      tokens_.add(id, *bytes);
    } else {
      tokens_.add_unfound(id, text);
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    utf8_append(character, alphabet.character(static_cast<unsigned char>(byte)));
    byte_ids_[static_cast<size_t>(byte)] = id_of(character).value_or(-1);
  }
  return {};
}

Status BytePairEncoder::read_merges(const Json& node) {
  const auto merges = node.find("merges");
  if (merges == node.end() || !merges->is_array()) {
    return invalid_argument("merges are missing; expected a list of pairs");
  }
  merges_ = MergeTable(merges->size());
  uint32_t rank = 0;
  std::string left;
  std::string right;
  for (const Json& entry : *merges) {
    const auto where = [&] { return fmt::format("merge {}", rank); };
    const Status status = read_pair(entry, left, right);
    if (!status.ok()) return status.with_context(where());
    const auto left_id = id_of(left);
    const auto right_id = id_of(right);
    const auto merged = id_of(left + right);
    for (const auto& [id, text] :
         {std::pair(left_id, left), std::pair(right_id, right), std::pair(merged, left + right)}) {
      if (!id) {
        return invalid_argument(
            fmt::format("{}: token '{}' is not in the vocabulary", where(), text));
      }
    }
    merges_.add(*left_id, *right_id, {rank++, *merged});
  }
  return {};
}

}  // namespace looplm
