#include "infer/prefix_cache.h"

#include <algorithm>

namespace looplm {

PrefixCache::~PrefixCache() {
  while (evict()) {
  }
}

PrefixCache::Tokens PrefixCache::tokens_at(std::span<const int32_t> ids, int64_t page) {
  Tokens tokens;
  std::copy_n(ids.begin() + page * kPagePositions, kPagePositions, tokens.begin());
  return tokens;
}

std::vector<const PrefixCache::Node*> PrefixCache::find(std::span<const int32_t> ids,
                                                        int64_t loops) {
  std::vector<const Node*> chain;
  ++clock_;
  int64_t parent = 0;
  const int64_t pages = static_cast<int64_t>(ids.size()) / kPagePositions;
  for (int64_t i = 0; i < pages; ++i) {
    const auto found = entries_.find({parent, tokens_at(ids, i)});
    if (found == entries_.end() || found->second.node.loops < loops) break;
    found->second.used = clock_;
    chain.push_back(&found->second.node);
    parent = found->second.id;
  }
  return chain;
}

void PrefixCache::insert(std::span<const int32_t> ids, SequenceCache& cache, int64_t loops) {
  ++clock_;
  int64_t parent = 0;
  const int64_t pages = static_cast<int64_t>(ids.size()) / kPagePositions;
  for (int64_t i = 0; i < pages; ++i) {
    const Key key = {parent, tokens_at(ids, i)};
    Entry& entry = entries_[key];
    if (entry.id == 0) {
      entry.id = next_id_++;
      keys_[entry.id] = key;
      if (parent != 0) ++entries_.at(keys_.at(parent)).children;
    }
    entry.used = clock_;
    parent = entry.id;
    if (entry.node.loops >= loops) continue;
    // Deeper than what was kept: equal where both have planes.
    for (int64_t loop = entry.node.loops; loop < loops; ++loop) {
      for (int64_t layer = 0; layer < layers_; ++layer) {
        std::byte* page = cache.plane(loop, layer).pages[static_cast<size_t>(i)];
        pool_.share(page);
        entry.node.pages.push_back(page);
        ++pages_;
      }
    }
    entry.node.loops = loops;
  }
}

bool PrefixCache::evict() {
  auto oldest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.children > 0) continue;
    if (oldest == entries_.end() || it->second.used < oldest->second.used) oldest = it;
  }
  if (oldest == entries_.end()) return false;
  for (std::byte* page : oldest->second.node.pages) pool_.release(page);
  pages_ -= static_cast<int64_t>(oldest->second.node.pages.size());
  const int64_t parent = oldest->first.first;
  if (parent != 0) --entries_.at(keys_.at(parent)).children;
  keys_.erase(oldest->second.id);
  entries_.erase(oldest);
  return true;
}

}  // namespace looplm
