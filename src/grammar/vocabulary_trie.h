// A vocabulary as a tree of bytes, so that tokens which begin alike are tried together.
#ifndef LOOPLM_GRAMMAR_VOCABULARY_TRIE_H_
#define LOOPLM_GRAMMAR_VOCABULARY_TRIE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "looplm/tokenizer.h"

namespace looplm {

class VocabularyTrie {
 public:
  // Special tokens and tokens without bytes are not in it: no grammar allows them.
  explicit VocabularyTrie(const Tokenizer& tokenizer);

  struct Node {
    uint8_t byte = 0;
    int32_t depth = 0;        // from 1
    int32_t after = 0;        // the first node that does not lie below this one
    int32_t first_token = 0;  // in tokens(), up to the next node's
  };
  // In depth-first order; children follow their parent.
  const std::vector<Node>& nodes() const { return nodes_; }
  std::span<const int32_t> tokens_of(size_t node) const {
    const auto first = static_cast<size_t>(nodes_[node].first_token);
    const size_t last = node + 1 < nodes_.size() ? static_cast<size_t>(nodes_[node + 1].first_token)
                                                 : tokens_.size();
    return {tokens_.data() + first, last - first};
  }
  // Empty for a token that is not in it.
  std::string_view bytes(int32_t id) const {
    const bool known = id >= 0 && static_cast<size_t>(id) < bytes_.size();
    return known ? bytes_[static_cast<size_t>(id)] : std::string_view();
  }
  int64_t vocab_size() const { return static_cast<int64_t>(bytes_.size()); }
  int64_t longest() const { return longest_; }  // token, in bytes

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
  std::vector<std::string_view> bytes_;  // the tokenizer's; it outlives this
  int64_t longest_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_VOCABULARY_TRIE_H_
