// Prompts' keys and values kept for requests that begin alike: a tree of full pages, each node 32
// tokens after its parent's, with the pages of every (loop, layer).
#ifndef LOOPLM_INFER_PREFIX_CACHE_H_
#define LOOPLM_INFER_PREFIX_CACHE_H_

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "infer/kv_cache.h"

namespace looplm {

class PrefixCache {
 public:
  PrefixCache(PagePool& pool, int64_t layers) : pool_(pool), layers_(layers) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  struct Node {
    int64_t loops = 0;              // planes kept; a request with fewer loops may use them too
    std::vector<std::byte*> pages;  // (loops, layers)
    std::byte* page(int64_t loop, int64_t layer, int64_t layers) const {
      return pages[static_cast<size_t>(loop * layers + layer)];
    }
  };

  // The longest chain of nodes whose tokens begin `ids`, each with `loops` loops at least. Their
  // pages stay as long as nobody calls evict().
  std::vector<const Node*> find(std::span<const int32_t> ids, int64_t loops);

  // Keeps the full pages of a prompt that `cache` has computed in `loops` loops.
  void insert(std::span<const int32_t> ids, SequenceCache& cache, int64_t loops);

  // Forgets the node that has not been used for longest and has none after it. False when empty.
  bool evict();

  int64_t layers() const { return layers_; }
  int64_t pages() const { return pages_; }

 private:
  using Tokens = std::array<int32_t, kPagePositions>;
  struct Entry {
    int64_t id = 0;
    int64_t children = 0;
    uint64_t used = 0;
    Node node;
  };
  using Key = std::pair<int64_t, Tokens>;  // parent's id (0: the root), tokens

  static Tokens tokens_at(std::span<const int32_t> ids, int64_t page);

  PagePool& pool_;
  int64_t layers_;
  std::map<Key, Entry> entries_;
  std::map<int64_t, Key> keys_;  // by id
  int64_t pages_ = 0;
  int64_t next_id_ = 1;
  uint64_t clock_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_PREFIX_CACHE_H_
