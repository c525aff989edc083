#include "eval/prefix_tree.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace looplm {

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

PrefixTree::PrefixTree(std::span<const std::span<const int32_t>> texts)
    : last_branch_(texts.size(), -1) {
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::lexicographical_compare(texts[a].begin(), texts[a].end(), texts[b].begin(),
                                        texts[b].end());
  });

  // Texts order[begin .. end) share their first `depth` tokens; those that go on do so below
  // `parent`.
  struct Range {
    size_t begin, end;
    int64_t depth;
    int32_t parent;
  };
  std::vector<Range> open = {{0, texts.size(), 0, -1}};
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    size_t begin = range.begin;
    while (begin < range.end) {
      const std::span<const int32_t> first = texts[order[begin]];
      if (static_cast<int64_t>(first.size()) == range.depth) {  // ends here; sorted before others
        LOOPLM_CHECK(range.parent >= 0, "a text without tokens");
        last_branch_[order[begin++]] = range.parent;
        continue;
      }
      const int32_t token = first[static_cast<size_t>(range.depth)];
      size_t end = begin + 1;
      while (end < range.end && texts[order[end]][static_cast<size_t>(range.depth)] == token) ++end;
      // Sorted, so that what the outermost two share all between share.
      const int64_t shared = common_prefix(first, texts[order[end - 1]]);
      const auto index = static_cast<int32_t>(branches_.size());
      branches_.push_back({nodes(), shared - range.depth, range.depth, range.parent, {}});
      if (range.parent >= 0) {
        branches_[static_cast<size_t>(range.parent)].children.push_back(index);
      }
      ids_.insert(ids_.end(), first.begin() + range.depth, first.begin() + shared);
      open.push_back({begin, end, shared, index});
      begin = end;
    }
  }
}

int64_t PrefixTree::node(size_t text, int64_t position) const {
  const Branch* branch = &branches_[static_cast<size_t>(last_branch_[text])];
  while (branch->position > position) branch = &branches_[static_cast<size_t>(branch->parent)];
  return branch->first_node + position - branch->position;
}

}  // namespace looplm
