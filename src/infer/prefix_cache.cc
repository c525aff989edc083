#include "infer/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {

PrefixCache::Tokens PrefixCache::tokens_at(std::span<const int32_t> ids, int64_t page) {
  Tokens tokens;
  std::copy_n(ids.begin() + page * kPagePositions, kPagePositions, tokens.begin());
  return tokens;
}

void PrefixCache::enter(int64_t id, const Node& node) {
  const bool root = node.parent == 0;
  if (!root && node.children == 0 && node.pins == 0) leaves_.insert({node.used, id});
}

void PrefixCache::touch(int64_t id, Node& node) {
  leave(id, node);
  node.used = clock_;
  enter(id, node);
}

PrefixCache::Chain PrefixCache::find(const std::string& tenant, std::span<const int32_t> ids,
                                     int64_t loops) {
  Chain chain;
  const auto root = roots_.find(tenant);
  if (root == roots_.end()) return chain;
  ++clock_;
  int64_t parent = root->second;
  const int64_t pages = static_cast<int64_t>(ids.size()) / kPagePositions;
  for (int64_t i = 0; i < pages; ++i) {
    const auto found = children_.find({parent, tokens_at(ids, i)});
    if (found == children_.end()) break;
    Node& node = nodes_.at(found->second);
    if (node.loops < loops) break;
    touch(found->second, node);
    chain = {found->second, i + 1};
    parent = found->second;
  }
  return chain;
}

int64_t PrefixCache::root_of(const std::string& tenant) {
  const auto [place, is_new] = roots_.try_emplace(tenant, next_id_);
  if (is_new) nodes_[next_id_++] = {.tenant = tenant};
  return place->second;
}

int64_t PrefixCache::child_of(int64_t parent, const Tokens& tokens) {
  const auto [place, is_new] = children_.try_emplace({parent, tokens}, next_id_);
  if (is_new) {
    Node& above = nodes_.at(parent);
    leave(parent, above);
    ++above.children;
    nodes_[next_id_++] = {.parent = parent, .tokens = tokens};
  }
  return place->second;
}

PrefixCache::Chain PrefixCache::insert(const std::string& tenant, std::span<const int32_t> ids,
                                       SequenceCache& cache, int64_t loops) {
  const int64_t pages = static_cast<int64_t>(ids.size()) / kPagePositions;
  Chain chain;
  if (pages == 0) return chain;
  ++clock_;
  int64_t parent = root_of(tenant);
  for (int64_t i = 0; i < pages; ++i) {
    const int64_t id = child_of(parent, tokens_at(ids, i));
    Node& node = nodes_.at(id);
    // Deeper than what was kept: equal where both have planes.
    for (; node.loops < loops; ++node.loops) {
      for (int64_t layer = 0; layer < layers_; ++layer) {
        node.pages.push_back(cache.lend(node.loops, layer, i));
        pool_.share(node.pages.back());
        ++pages_;
        if (node.pins == 0) ++evictable_pages_;
      }
    }
    touch(id, node);
    chain = {id, i + 1};
    parent = id;
  }
  return chain;
}

void PrefixCache::add_pins(const Chain& chain, int64_t pins) {
  for (int64_t id = chain.node; id != 0;) {
    Node& node = nodes_.at(id);
    const auto pages = static_cast<int64_t>(node.pages.size());
    leave(id, node);
    if (node.pins == 0) evictable_pages_ -= pages;
    node.pins += pins;
    LOOPLM_CHECK(node.pins >= 0);
    if (node.pins == 0) evictable_pages_ += pages;
    enter(id, node);
    id = node.parent;
  }
}

void PrefixCache::adopt(const Chain& chain, SequenceCache& to, int64_t loops) const {
  std::vector<const Node*> nodes;  // the last first
  for (int64_t id = chain.node; id != 0; id = nodes.back()->parent) {
    nodes.push_back(&nodes_.at(id));
  }
  if (nodes.empty()) return;
  nodes.pop_back();  // the root
  for (int64_t loop = 0; loop < loops; ++loop) {
    for (int64_t layer = 0; layer < layers_; ++layer) {
      for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        to.adopt(loop, layer, (*node)->pages[static_cast<size_t>(loop * layers_ + layer)]);
      }
    }
  }
}

bool PrefixCache::evict() {
  if (leaves_.empty()) return false;
  remove(leaves_.begin()->second);
  return true;
}

void PrefixCache::remove(int64_t id) {
  const Node& node = nodes_.at(id);
  leave(id, node);
  for (std::byte* page : node.pages) pool_.release(page);
  pages_ -= static_cast<int64_t>(node.pages.size());
  evictable_pages_ -= static_cast<int64_t>(node.pages.size());
  const int64_t parent = node.parent;
  children_.erase({parent, node.tokens});
  nodes_.erase(id);
  Node& above = nodes_.at(parent);
  --above.children;
  enter(parent, above);
  if (above.parent == 0 && above.children == 0 && above.pins == 0) {
    roots_.erase(above.tenant);
    nodes_.erase(parent);
  }
}

void PrefixCache::clear() {
  while (evict()) {
  }
}

}  // namespace looplm
