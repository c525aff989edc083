#include "infer/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {
namespace {

// Enough pages that a decode step rarely allocates, few enough that a small model stays small.
constexpr uint64_t kSlabBytes = uint64_t{4} << 20;

int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

}  // namespace

float* PagePool::allocate() {
  if (free_.empty()) {
    const int64_t floats = layout_.page_floats();
    const auto pages = static_cast<int64_t>(std::max<uint64_t>(1, kSlabBytes / page_bytes()));
    slabs_.emplace_back(static_cast<size_t>(pages * floats));
    // Handed out from the front of the slab, so that a plane's pages lie one after the other.
    for (int64_t i = pages - 1; i >= 0; --i) free_.push_back(slabs_.back().data() + i * floats);
    total_ += pages;
  }
  float* page = free_.back();
  free_.pop_back();
  return page;
}

SequenceCache::SequenceCache(PagePool& pool, int64_t layers, int64_t loops)
    : pool_(pool), layers_(layers), loops_(loops), planes_(static_cast<size_t>(layers * loops)) {}

SequenceCache::~SequenceCache() { truncate(0); }

void SequenceCache::store(int64_t loop, int64_t layer, int64_t position, const float* k,
                          const float* v) {
  KvPlane& to = plane(loop, layer);
  LOOPLM_CHECK(position <= to.filled, "position {} of loop {} while {} are filled", position, loop,
               to.filled);
  if (pages_for(position + 1) > static_cast<int64_t>(to.pages.size())) {
    to.pages.push_back(pool_.allocate());
  }
  store_kv(pool_.layout(), k, v, position,
           to.pages[static_cast<size_t>(position / kPagePositions)]);
  to.filled = std::max(to.filled, position + 1);
}

void SequenceCache::load(int64_t loop, int64_t layer, int64_t position, float* k, float* v) {
  const KvPlane& from = plane(loop, layer);
  LOOPLM_CHECK(position < from.filled, "position {} of {}", position, from.filled);
  load_kv(pool_.layout(), from.pages[static_cast<size_t>(position / kPagePositions)], position, k,
          v);
}

void SequenceCache::truncate(int64_t positions) {
  for (KvPlane& p : planes_) {
    p.filled = std::min(p.filled, positions);
    while (static_cast<int64_t>(p.pages.size()) > pages_for(p.filled)) {
      pool_.release(p.pages.back());
      p.pages.pop_back();
    }
  }
}

void SequenceCache::average_planes(int64_t layer) {
  const auto floats = static_cast<size_t>(pool_.layout().page_floats());
  KvPlane& first = plane(0, layer);
  const float share = 1.0f / static_cast<float>(loops_);
  for (size_t page = 0; page < first.pages.size(); ++page) {
    float* mean = first.pages[page];
    for (int64_t loop = 1; loop < loops_; ++loop) {
      const float* other = plane(loop, layer).pages[page];
      for (size_t i = 0; i < floats; ++i) mean[i] += other[i];
    }
    for (size_t i = 0; i < floats; ++i) mean[i] *= share;
  }
}

void SequenceCache::share_planes(KvPolicy policy) {
  if (kv_planes(policy, 2) != 1 || shared_) return;
  for (int64_t layer = 0; layer < layers_; ++layer) {
    for (int64_t loop = 1; loop < loops_; ++loop) {
      LOOPLM_CHECK(plane(loop, layer).filled == plane(0, layer).filled);
    }
    if (policy == KvPolicy::kMean) average_planes(layer);
    if (policy == KvPolicy::kLast) std::swap(plane(0, layer), plane(loops_ - 1, layer));
    for (int64_t loop = 1; loop < loops_; ++loop) {
      for (float* page : plane(loop, layer).pages) pool_.release(page);
    }
  }
  planes_.resize(static_cast<size_t>(layers_));
  shared_ = true;
}

uint64_t SequenceCache::bytes() const {
  uint64_t pages = 0;
  for (const KvPlane& p : planes_) pages += p.pages.size();
  return pages * pool_.page_bytes();
}

}  // namespace looplm
