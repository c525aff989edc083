// Texts that begin alike, as a tree: what they share stands in it once.
#ifndef LOOPLM_EVAL_PREFIX_TREE_H_
#define LOOPLM_EVAL_PREFIX_TREE_H_

#include <cstdint>
#include <span>
#include <vector>

namespace looplm {

class PrefixTree {
 public:
  // Tokens between two places where texts part. Its nodes are first_node, first_node + 1, ...
  struct Branch {
    int64_t first_node = 0;
    int64_t nodes = 0;     // at least 1
    int64_t position = 0;  // in the text, of the first node
    int32_t parent = -1;   // a branch before this one; -1: begins a text
    std::vector<int32_t> children;
  };

  // Each text holds a token at least.
  explicit PrefixTree(std::span<const std::span<const int32_t>> texts);

  const std::vector<Branch>& branches() const { return branches_; }
  // The token of each node.
  const std::vector<int32_t>& ids() const { return ids_; }
  int64_t nodes() const { return static_cast<int64_t>(ids_.size()); }
  // Where a text's token stands.
  int64_t node(size_t text, int64_t position) const;

 private:
  std::vector<Branch> branches_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> last_branch_;  // of each text
};

// How many tokens two texts have in common from their beginning.
int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b);

}  // namespace looplm

#endif  // LOOPLM_EVAL_PREFIX_TREE_H_
