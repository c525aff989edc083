// Tokens that are found in the raw text before anything else: the "added_tokens" of a
// tokenizer.json.
#ifndef LOOPLM_TEXT_ADDED_TOKENS_H_
#define LOOPLM_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/json.h"

namespace looplm {

// Ids of tokens, those of added tokens too, are below this.
constexpr int64_t kMostTokens = 1 << 24;

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // not as a part of a longer word
  bool lstrip = false;       // takes the white space to its left
  bool rstrip = false;       // and to its right
  bool normalized = false;   // looked for after normalisation
  bool special = false;
};

Result<std::vector<AddedToken>> read_added_tokens(const Json& file);

// Whether one of the ranges, in order and apart, shares a byte with [begin, end).
bool any_overlaps(std::span<const TextRange> ranges, size_t begin, size_t end);

// Finds tokens in text: the leftmost first, and the longest of those that start together.
class AddedTokenMatcher {
 public:
  struct Entry {
    std::string pattern;  // what to look for; not empty
    AddedToken token;
  };
  explicit AddedTokenMatcher(std::vector<Entry> entries);

  struct Piece {
    std::string_view text;
    int32_t id;  // of the token that this is; -1: text between tokens
  };
  // Cuts `text`, valid UTF-8, into pieces; appends them. Special tokens are recognised outside of
  // `foreign` (see EncodeOptions) where `parse_special` is on.
  void split(std::string_view text, bool parse_special, std::span<const TextRange> foreign,
             std::vector<Piece>& pieces) const;

 private:
  struct Node {
    int32_t entry = -1;
    std::vector<std::pair<unsigned char, uint32_t>> children;
  };
  const Entry* longest_at(std::string_view text) const;

  std::vector<Entry> entries_;
  std::vector<Node> nodes_;
  std::array<bool, 256> starts_{};
};

}  // namespace looplm

#endif  // LOOPLM_TEXT_ADDED_TOKENS_H_
