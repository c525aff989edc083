#include "text/added_tokens.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "text/unicode.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr size_t kLongestToken = 4096;

Result<AddedToken> read_token(const Json& node) {
  AddedToken token;
  LOOPLM_ASSIGN_OR_RETURN(const int64_t id, json_int(node, "id", -1, 0, kMostTokens - 1));
  if (id < 0) return invalid_argument("no id");
  token.id = static_cast<int32_t>(id);
  if (!node.contains("content") || node["content"].is_null()) return invalid_argument("no content");
  LOOPLM_ASSIGN_OR_RETURN(token.content, json_string(node, "content", ""));
  if (token.content.size() > kLongestToken) {
    return invalid_argument(fmt::format("content has {} bytes; expected at most {}",
                                        token.content.size(), kLongestToken));
  }
  LOOPLM_ASSIGN_OR_RETURN(token.single_word, json_bool(node, "single_word", false));
  LOOPLM_ASSIGN_OR_RETURN(token.lstrip, json_bool(node, "lstrip", false));
  LOOPLM_ASSIGN_OR_RETURN(token.rstrip, json_bool(node, "rstrip", false));
  LOOPLM_ASSIGN_OR_RETURN(token.special, json_bool(node, "special", false));
  LOOPLM_ASSIGN_OR_RETURN(token.normalized, json_bool(node, "normalized", !token.special));
  return token;
}

size_t character_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

size_t skip_space_left(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t begin = character_before(text, end);
    if (!is_white_space(utf8_decode(text.substr(begin, end - begin)))) break;
    end = begin;
  }
  return end;
}

size_t skip_space_right(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const size_t size = utf8_step(text.substr(begin)).size;
    if (!is_white_space(utf8_decode(text.substr(begin, size)))) break;
    begin += size;
  }
  return begin;
}

bool within_word(std::string_view text, size_t begin, size_t end) {
  if (begin > 0) {
    const size_t before = character_before(text, begin);
    if (is_word_character(utf8_decode(text.substr(before, begin - before)))) return true;
  }
  if (end == text.size()) return false;
  const size_t size = utf8_step(text.substr(end)).size;
  return is_word_character(utf8_decode(text.substr(end, size)));
}

}  // namespace

Result<std::vector<AddedToken>> read_added_tokens(const Json& file) {
  std::vector<AddedToken> tokens;
  const auto list = file.find("added_tokens");
  if (list == file.end() || list->is_null()) return tokens;
  if (!list->is_array()) return invalid_argument("added_tokens: expected a list");
  std::unordered_map<int32_t, std::string> contents;
  for (size_t i = 0; i < list->size(); ++i) {
    const auto where = [&] { return fmt::format("added_tokens[{}]", i); };
    if (!(*list)[i].is_object()) return invalid_argument(where() + ": expected an object");
    Result<AddedToken> token = read_token((*list)[i]);
    if (!token.ok()) return token.status().with_context(where());
    if (token->content.empty()) continue;  // never found in a text, and writes nothing
    const auto [other, fresh] = contents.emplace(token->id, token->content);
    if (!fresh && other->second != token->content) {
      return invalid_argument(fmt::format("{}: id {} belongs to '{}' and to '{}'", where(),
                                          token->id, other->second, token->content));
    }
    if (!fresh) continue;
    tokens.push_back(std::move(token).value());
  }
  return tokens;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<Entry> entries)
    : entries_(std::move(entries)), nodes_(1) {
  for (size_t e = 0; e < entries_.size(); ++e) {
    uint32_t node = 0;
    starts_[static_cast<unsigned char>(entries_[e].pattern.front())] = true;
    for (char c : entries_[e].pattern) {
      const auto byte = static_cast<unsigned char>(c);
      auto& children = nodes_[node].children;
      auto child = std::find_if(children.begin(), children.end(),
                                [&](const auto& edge) { return edge.first == byte; });
      if (child != children.end()) {
        node = child->second;
      } else {
        const auto fresh = static_cast<uint32_t>(nodes_.size());
        children.emplace_back(byte, fresh);
        nodes_.emplace_back();
        node = fresh;
      }
    }
    nodes_[node].entry = static_cast<int32_t>(e);
  }
}

const AddedTokenMatcher::Entry* AddedTokenMatcher::longest_at(std::string_view text) const {
  const Entry* found = nullptr;
  uint32_t node = 0;
  for (char c : text) {
    const auto& children = nodes_[node].children;
    const auto child = std::find_if(children.begin(), children.end(), [&](const auto& edge) {
      return edge.first == static_cast<unsigned char>(c);
    });
    if (child == children.end()) break;
    node = child->second;
    if (nodes_[node].entry >= 0) found = &entries_[static_cast<size_t>(nodes_[node].entry)];
  }
  return found;
}

bool any_overlaps(std::span<const TextRange> ranges, size_t begin, size_t end) {
  const auto after = std::partition_point(
      ranges.begin(), ranges.end(), [&](const TextRange& range) { return range.end <= begin; });
  return after != ranges.end() && after->begin < end;
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special,
                              std::span<const TextRange> foreign,
                              std::vector<Piece>& pieces) const {
  size_t done = 0;
  const auto put_text = [&](size_t end) {
    if (end > done) pieces.push_back({text.substr(done, end - done), -1});
  };
  for (size_t i = 0; !entries_.empty() && i < text.size();) {
    const Entry* entry =
        starts_[static_cast<unsigned char>(text[i])] ? longest_at(text.substr(i)) : nullptr;
    if (entry == nullptr) {
      ++i;
      continue;
    }
    const AddedToken& token = entry->token;
    size_t begin = i;
    size_t end = i + entry->pattern.size();
    i = end;
    if (token.special && (!parse_special || any_overlaps(foreign, begin, end))) continue;
    if (token.single_word && within_word(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(skip_space_left(text, begin), done);
    if (token.rstrip) end = skip_space_right(text, end);
    put_text(begin);
    pieces.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  put_text(text.size());
}

}  // namespace looplm
