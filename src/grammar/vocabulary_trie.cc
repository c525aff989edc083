#include "grammar/vocabulary_trie.h"

#include <algorithm>

namespace looplm {

VocabularyTrie::VocabularyTrie(const Tokenizer& tokenizer)
    : bytes_(static_cast<size_t>(tokenizer.vocab_size())) {
  std::vector<int32_t> sorted;
  for (int32_t id = 0; id < static_cast<int32_t>(bytes_.size()); ++id) {
    if (tokenizer.is_special(id)) continue;
    bytes_[static_cast<size_t>(id)] = tokenizer.bytes(id);
    if (!bytes(id).empty()) sorted.push_back(id);
  }
  std::sort(sorted.begin(), sorted.end(), [this](int32_t a, int32_t b) {
    return bytes(a) != bytes(b) ? bytes(a) < bytes(b) : a < b;
  });
  std::vector<int32_t> path;  // nodes from the root to the last token's end
  std::string_view last;
  const auto close = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[static_cast<size_t>(path.back())].after = static_cast<int32_t>(nodes_.size());
      path.pop_back();
    }
  };
  for (int32_t id : sorted) {
    const std::string_view token = bytes(id);
    const auto common = static_cast<size_t>(
        std::mismatch(token.begin(), token.end(), last.begin(), last.end()).first - token.begin());
    close(common);
    for (size_t i = common; i < token.size(); ++i) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(token[i]),
                        .depth = static_cast<int32_t>(i) + 1,
                        .after = 0,
                        .first_token = static_cast<int32_t>(tokens_.size())});
    }
    tokens_.push_back(id);
    longest_ = std::max(longest_, static_cast<int64_t>(token.size()));
    last = token;
  }
  close(0);
}

}  // namespace looplm
