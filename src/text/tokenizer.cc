#include "looplm/tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

namespace looplm {
namespace {

bool starts_with(std::span<const int32_t> ids, std::span<const int32_t> part) {
  return ids.size() >= part.size() && std::equal(part.begin(), part.end(), ids.begin());
}

bool ends_with(std::span<const int32_t> ids, std::span<const int32_t> part) {
  return ids.size() >= part.size() && std::equal(part.rbegin(), part.rend(), ids.rbegin());
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  LOOPLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return parse(file.text(), path);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(std::string_view json,
                                                    const std::string& name) {
  LOOPLM_ASSIGN_OR_RETURN(const Json file, parse_json(json, name));
  Result<std::unique_ptr<Parts>> parts = Parts::read(file);
  if (!parts.ok()) return parts.status().with_context(name);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts).value()));
}

Status Tokenizer::Parts::encode_piece(std::string_view text, bool parse_special,
                                      PreTokenizer::Cutter& cutter,
                                      BytePairEncoder::Scratch& scratch,
                                      std::vector<int32_t>& ids) const {
  std::string normal;
  if (!is_normalized(normalization, text)) {
    normal = normalize(normalization, text);
    text = normal;
  }
  std::vector<AddedTokenMatcher::Piece> pieces;
  normalized_added.split(text, parse_special, {}, pieces);
  for (const AddedTokenMatcher::Piece& piece : pieces) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    LOOPLM_RETURN_IF_ERROR(cutter.cut(piece.text));
    for (std::string_view word : cutter.words()) encoder->encode(word, ids, scratch);
  }
  return {};
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  std::string repaired;
  bool parse_special = options.parse_special;
  if (!is_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
    parse_special = parse_special && options.foreign.empty();
  }
  const auto& [before, after] = parts_->post_processor;
  std::vector<int32_t> ids;
  ids.reserve(before.size() + text.size() / 4 + after.size() + 4);
  std::vector<AddedTokenMatcher::Piece> pieces;
  parts_->raw_added.split(text, parse_special, options.foreign, pieces);
  PreTokenizer::Cutter cutter(parts_->pre_tokenizer);
  BytePairEncoder::Scratch scratch;
  for (const AddedTokenMatcher::Piece& piece : pieces) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    // Normalisation moves places, so a piece with foreign parts is foreign as a whole there.
    const auto begin = static_cast<size_t>(piece.text.data() - text.data());
    const bool ours = !any_overlaps(options.foreign, begin, begin + piece.text.size());
    LOOPLM_RETURN_IF_ERROR(
        parts_->encode_piece(piece.text, parse_special && ours, cutter, scratch, ids));
  }
  if (options.lost_bytes != nullptr) {
    *options.lost_bytes += scratch.lost_bytes;
  } else if (scratch.lost_bytes > 0) {
    return invalid_argument(
        fmt::format("the tokenizer has neither a token for '{}' nor an unknown token; {} of the "
                    "text would be lost",
                    scratch.first_lost, count_text(scratch.lost_bytes, "byte")));
  }
  if (options.as != EncodeAs::kContinuation && !starts_with(ids, before)) {
    ids.insert(ids.begin(), before.begin(), before.end());
  }
  if (options.as == EncodeAs::kDocument && !ends_with(ids, after)) {
    ids.insert(ids.end(), after.begin(), after.end());
  }
  return ids;
}

const std::vector<int32_t>& Tokenizer::ids_in_front() const {
  return parts_->post_processor.before;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string all;
  for (int32_t id : ids) {
    if (!(skip_special && is_special(id))) all += bytes(id);
  }
  return is_utf8(all) ? all : repair_utf8(all);
}

int64_t Tokenizer::vocab_size() const { return parts_->vocab_size; }

std::string_view Tokenizer::bytes(int32_t id) const {
  const auto added = parts_->added_bytes.find(id);
  return added != parts_->added_bytes.end() ? std::string_view(added->second)
                                            : parts_->encoder->tokens().bytes(id);
}

std::optional<int32_t> Tokenizer::id_of(std::string_view content) const {
  const auto added = parts_->added_ids.find(std::string(content));
  return added != parts_->added_ids.end() ? std::optional(added->second)
                                          : parts_->encoder->id_of(content);
}

bool Tokenizer::is_special(int32_t id) const { return parts_->special.count(id) != 0; }

std::string Detokenizer::push(int32_t id) {
  std::string text;
  if (skip_special_ && tokenizer_->is_special(id)) return text;
  pending_ += tokenizer_->bytes(id);
  take_decided_utf8(pending_, text);
  return text;
}

std::string Detokenizer::finish() {
  std::string text = repair_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace looplm
