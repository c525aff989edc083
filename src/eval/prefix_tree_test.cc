#include "eval/prefix_tree.h"

#include <set>

#include <gmock/gmock.h>

#include "base/rng.h"

namespace looplm {
namespace {

using Text = std::vector<int32_t>;

// The tokens from the root to a node, by way of the branches' parents.
Text path(const PrefixTree& tree, int64_t node) {
  for (const PrefixTree::Branch& b : tree.branches()) {
    if (node < b.first_node || node >= b.first_node + b.nodes) continue;
    Text text;
    if (b.parent >= 0) {
      const PrefixTree::Branch& p = tree.branches()[static_cast<size_t>(b.parent)];
      text = path(tree, p.first_node + p.nodes - 1);
    }
    EXPECT_EQ(static_cast<int64_t>(text.size()), b.position);
    for (int64_t n = b.first_node; n <= node; ++n)
      text.push_back(tree.ids()[static_cast<size_t>(n)]);
    return text;
  }
  ADD_FAILURE() << "node " << node << " has no branch";
  return {};
}

TEST(PrefixTree, HoldsEveryBeginningOnce) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed);
    std::vector<Text> texts(1 + rng.below(12));
    for (Text& text : texts) {
      text.resize(1 + rng.below(7));
      for (int32_t& id : text) id = static_cast<int32_t>(rng.below(2));
    }
    const std::vector<std::span<const int32_t>> spans(texts.begin(), texts.end());
    const PrefixTree tree(spans);
    std::set<Text> beginnings;
    for (size_t t = 0; t < texts.size(); ++t) {
      for (size_t n = 1; n <= texts[t].size(); ++n) {
        const Text beginning(texts[t].begin(), texts[t].begin() + static_cast<ptrdiff_t>(n));
        EXPECT_EQ(path(tree, tree.node(t, static_cast<int64_t>(n) - 1)), beginning);
        beginnings.insert(beginning);
      }
    }
    EXPECT_EQ(tree.nodes(), static_cast<int64_t>(beginnings.size()));
    // Parents come first, and children know them.
    for (size_t b = 0; b < tree.branches().size(); ++b) {
      EXPECT_GE(tree.branches()[b].nodes, 1);
      EXPECT_LT(tree.branches()[b].parent, static_cast<int32_t>(b));
      for (int32_t child : tree.branches()[b].children) {
        EXPECT_EQ(tree.branches()[static_cast<size_t>(child)].parent, static_cast<int32_t>(b));
      }
    }
  }
}

}  // namespace
}  // namespace looplm
