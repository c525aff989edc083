// Keys and values of earlier positions: pages of 32 positions, a list of pages per plane, a plane
// per (loop, layer).
#ifndef LOOPLM_INFER_KV_CACHE_H_
#define LOOPLM_INFER_KV_CACHE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "looplm/kv_policy.h"

#include "kernels/attention.h"
#include "tensor/buffer.h"

namespace looplm {

// Pages of one layout, handed out, shared by counting, and taken back. Grows in slabs; freed pages
// are used again.
class PagePool {
 public:
  explicit PagePool(KvLayout layout) : layout_(layout) {}
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  const KvLayout& layout() const { return layout_; }
  std::byte* allocate();  // with one owner
  void share(std::byte* page) { ++owners(page); }
  void release(std::byte* page);
  bool shared(const std::byte* page) { return owners(page) > 1; }
  int64_t pages_in_use() const { return total_ - static_cast<int64_t>(free_.size()); }
  uint64_t page_bytes() const { return static_cast<uint64_t>(layout_.page_bytes()); }
  // Memory taken from the machine, for free pages too.
  uint64_t reserved_bytes() const { return reserved_bytes_; }

 private:
  struct Slab {
    Buffer<std::byte> data;
    std::vector<int32_t> owners;  // of each page
  };
  int64_t page_stride() const { return (layout_.page_bytes() + 63) / 64 * 64; }
  int64_t slab_pages() const;
  int32_t& owners(const std::byte* page);

  KvLayout layout_;
  // By the first byte. Counts stand beside the pages and not between them: a page is often a power
  // of two, and with a line before each one page less fits into a slab.
  std::map<const std::byte*, Slab> slabs_;
  std::vector<std::byte*> free_;
  int64_t total_ = 0;
  uint64_t reserved_bytes_ = 0;
};

// The pages of one (loop, layer) of one sequence.
struct KvPlane {
  std::vector<std::byte*> pages;
  int64_t filled = 0;    // positions 0 .. filled - 1 have been computed
  int64_t borrowed = 0;  // the first pages, which others may own too
};

// Positions at the start of a page that are to be copied to another.
struct PageCopy {
  const std::byte* from;
  std::byte* to;
  int64_t positions;
};

// All planes of one sequence.
class SequenceCache {
 public:
  SequenceCache(PagePool& pool, int64_t layers, int64_t loops);
  SequenceCache(const SequenceCache&) = delete;
  SequenceCache& operator=(const SequenceCache&) = delete;
  ~SequenceCache();

  const KvLayout& layout() const { return pool_.layout(); }
  int64_t layers() const { return layers_; }
  int64_t loops() const { return loops_; }
  // How many planes each layer has now: `loops`, or 1 after sharing.
  int64_t planes() const { return shared_ ? 1 : loops_; }
  bool shared() const { return shared_; }

  // The plane that loop `loop` (from 0) of `layer` reads and writes.
  KvPlane& plane(int64_t loop, int64_t layer) {
    return planes_[static_cast<size_t>((shared_ ? 0 : loop) * layers_ + layer)];
  }

  // Writes one position's k and v. The plane must be filled up to `position` at least: no hole can
  // arise.
  void store(int64_t loop, int64_t layer, int64_t position, const float* k, const float* v);
  // The same in steps, for several threads to fill pages that one has reserved: the page to
  // store_kv() into, and what has to be copied before anything is stored, if others own the page.
  std::byte* reserve(int64_t loop, int64_t layer, int64_t position, std::vector<PageCopy>& copies);
  void load(int64_t loop, int64_t layer, int64_t position, float* k, float* v);

  // Drops every position from `positions` on, in all planes.
  void truncate(int64_t positions);

  // Makes it as it was at first: empty, with the planes of all loops.
  void reset();

  // Appends a full page of computed positions to a plane that has whole pages only, and becomes one
  // more owner of it.
  void adopt(int64_t loop, int64_t layer, std::byte* page);

  // The i-th page of a plane, for somebody else to own too.
  std::byte* lend(int64_t loop, int64_t layer, int64_t i);

  // Begins with the first `positions` positions of another cache of the same layout and layers and
  // as many loops at least, which has computed them. This one must be empty. Pages are shared;
  // whoever writes to one copies it first.
  void fork(SequenceCache& from, int64_t positions);

  // For one position beside those of `from`: the planes of a loop begin with from's first
  // `positions`, as fork() does for all of them.
  void branch(SequenceCache& from, int64_t loop, int64_t positions);
  // Swaps the planes of the first `loops` loops with those of a branch.
  void exchange(SequenceCache& branch, int64_t loops);

  // Replaces the planes of all loops by one per layer: the last loop's, the first's, or the mean
  // over loops. For use after the prompt; all planes must be filled equally. kFull and kLastExited
  // change nothing.
  void share_planes(KvPolicy policy);

  // Pages that storing positions first .. end - 1 in every layer of a loop will take from the pool:
  // new ones, and copies of those that others own too.
  int64_t pages_to_store(int64_t loop, int64_t first, int64_t end);
  // Copies that share_planes() will make while the pages of all loops are still there.
  int64_t pages_to_share(KvPolicy policy);

  int64_t pages() const;
  uint64_t bytes() const { return static_cast<uint64_t>(pages()) * pool_.page_bytes(); }

 private:
  void share_pages(KvPlane& to, KvPlane& from, int64_t positions);
  void average_planes(int64_t layer);
  void own(KvPlane& plane, int64_t page, std::vector<PageCopy>& copies);

  PagePool& pool_;
  int64_t layers_;
  int64_t loops_;
  bool shared_ = false;
  std::vector<KvPlane> planes_;  // (loops, layers)
};

}  // namespace looplm

#endif  // LOOPLM_INFER_KV_CACHE_H_
