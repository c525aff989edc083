// Keys and values of texts kept for requests that begin alike: a tree per tenant of full pages,
// each node 32 tokens after its parent's, with the pages of every (loop, layer).
#ifndef LOOPLM_INFER_PREFIX_CACHE_H_
#define LOOPLM_INFER_PREFIX_CACHE_H_

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "infer/kv_cache.h"

namespace looplm {

class PrefixCache {
 public:
  PrefixCache(PagePool& pool, int64_t layers) : pool_(pool), layers_(layers) {}
  ~PrefixCache() { clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // A way from the root: the last node's number and how many nodes it has. Valid until one of its
  // nodes is evicted, which pin() prevents.
  struct Chain {
    int64_t node = 0;
    int64_t pages = 0;
    int64_t positions() const { return pages * kPagePositions; }
  };

  // The longest chain of the tenant's nodes whose tokens begin `ids`, each with `loops` loops at
  // least: what more loops have computed serves fewer.
  Chain find(const std::string& tenant, std::span<const int32_t> ids, int64_t loops);

  // Keeps the full pages of positions that `cache` has computed in `loops` loops.
  Chain insert(const std::string& tenant, std::span<const int32_t> ids, SequenceCache& cache,
               int64_t loops);

  // While a request runs on a chain's pages, evicting its nodes would free nothing. Pins count.
  void pin(const Chain& chain) { add_pins(chain, 1); }
  void unpin(const Chain& chain) { add_pins(chain, -1); }

  // Appends the chain's pages to the first `loops` loops of an empty cache.
  void adopt(const Chain& chain, SequenceCache& to, int64_t loops) const;

  // Forgets the least recently used node that is not pinned and has none after it. False when there
  // is none.
  bool evict();
  void clear();  // all that is not pinned

  int64_t pages() const { return pages_; }
  // Of nodes that are not pinned: what evict() can free.
  int64_t evictable_pages() const { return evictable_pages_; }

 private:
  using Tokens = std::array<int32_t, kPagePositions>;
  using Key = std::pair<int64_t, Tokens>;  // the parent's number, tokens
  // A tenant's root has no parent, tokens or pages.
  struct Node {
    int64_t parent = 0;
    Tokens tokens{};
    std::string tenant{};  // of a root
    int64_t children = 0;
    int64_t pins = 0;
    uint64_t used = 0;
    int64_t loops = 0;
    std::vector<std::byte*> pages{};  // (loops, layers)
  };

  static Tokens tokens_at(std::span<const int32_t> ids, int64_t page);
  int64_t root_of(const std::string& tenant);
  int64_t child_of(int64_t parent, const Tokens& tokens);
  void add_pins(const Chain& chain, int64_t pins);
  void touch(int64_t id, Node& node);
  // leaves_ holds what evict() may take: call leave() before and enter() after a change to `used`,
  // `pins` or `children`.
  void enter(int64_t id, const Node& node);
  void leave(int64_t id, const Node& node) { leaves_.erase({node.used, id}); }
  void remove(int64_t id);

  PagePool& pool_;
  const int64_t layers_;
  std::unordered_map<int64_t, Node> nodes_;
  std::map<Key, int64_t> children_;
  std::map<std::string, int64_t> roots_;           // by tenant
  std::set<std::pair<uint64_t, int64_t>> leaves_;  // (used, number)
  int64_t pages_ = 0;
  int64_t evictable_pages_ = 0;
  int64_t next_id_ = 1;
  uint64_t clock_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_PREFIX_CACHE_H_
