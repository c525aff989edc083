#include "infer/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace looplm {
namespace {

// Enough pages that a decode step rarely allocates, few enough that a small model stays small.
constexpr uint64_t kSlabBytes = uint64_t{4} << 20;

int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

}  // namespace

std::byte* PagePool::allocate() {
  if (free_.empty()) {
    const int64_t bytes = (layout_.page_bytes() + 63) / 64 * 64 + kHeader;
    const auto pages = std::max<int64_t>(1, static_cast<int64_t>(kSlabBytes) / bytes);
    slabs_.emplace_back(static_cast<size_t>(pages * bytes));
    // Handed out from the front of the slab, so that a plane's pages lie one after the other.
    for (int64_t i = pages - 1; i >= 0; --i) {
      free_.push_back(slabs_.back().data() + i * bytes + kHeader);
    }
    total_ += pages;
  }
  std::byte* page = free_.back();
  free_.pop_back();
  owners(page) = 1;
  return page;
}

void PagePool::release(std::byte* page) {
  LOOPLM_CHECK(owners(page) > 0);
  if (--owners(page) == 0) free_.push_back(page);
}

SequenceCache::SequenceCache(PagePool& pool, int64_t layers, int64_t loops)
    : pool_(pool), layers_(layers), loops_(loops), planes_(static_cast<size_t>(layers * loops)) {}

SequenceCache::~SequenceCache() { truncate(0); }

void SequenceCache::store(int64_t loop, int64_t layer, int64_t position, const float* k,
                          const float* v) {
  store_kv(pool_.layout(), k, v, position, reserve(loop, layer, position));
}

std::byte* SequenceCache::reserve(int64_t loop, int64_t layer, int64_t position) {
  KvPlane& to = plane(loop, layer);
  LOOPLM_CHECK(position <= to.filled, "position {} of loop {} while {} are filled", position, loop,
               to.filled);
  if (pages_for(position + 1) > static_cast<int64_t>(to.pages.size())) {
    to.pages.push_back(pool_.allocate());
  }
  std::byte*& page = to.pages[static_cast<size_t>(position / kPagePositions)];
  own(page);
  to.filled = std::max(to.filled, position + 1);
  return page;
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

void SequenceCache::adopt(int64_t loop, int64_t layer, std::byte* page) {
  KvPlane& to = plane(loop, layer);
  LOOPLM_CHECK(to.filled == static_cast<int64_t>(to.pages.size()) * kPagePositions);
  pool_.share(page);
  to.pages.push_back(page);
  to.filled += kPagePositions;
}

void SequenceCache::fork(SequenceCache& from, int64_t positions) {
  LOOPLM_CHECK(&from.pool_ == &pool_ && from.planes_.size() == planes_.size());
  for (size_t i = 0; i < planes_.size(); ++i) {
    const KvPlane& other = from.planes_[i];
    LOOPLM_CHECK(planes_[i].filled == 0 && positions <= other.filled);
    for (int64_t page = 0; page < pages_for(positions); ++page) {
      planes_[i].pages.push_back(other.pages[static_cast<size_t>(page)]);
      pool_.share(planes_[i].pages.back());
    }
    planes_[i].filled = positions;
  }
}

// A page that others own too is copied before it is written.
void SequenceCache::own(std::byte*& page) {
  if (!pool_.shared(page)) return;
  std::byte* copy = pool_.allocate();
  std::memcpy(copy, page, static_cast<size_t>(pool_.page_bytes()));
  pool_.release(page);
  page = copy;
}

void SequenceCache::average_planes(int64_t layer) {
  const auto width = static_cast<size_t>(2 * pool_.layout().kv_heads * pool_.layout().head_dim);
  std::vector<float> mean(width), other(width);
  const auto half = static_cast<ptrdiff_t>(width / 2);
  const float share = 1.0f / static_cast<float>(loops_);
  for (int64_t position = 0; position < plane(0, layer).filled; ++position) {
    load(0, layer, position, mean.data(), mean.data() + half);
    for (int64_t loop = 1; loop < loops_; ++loop) {
      load(loop, layer, position, other.data(), other.data() + half);
      for (size_t i = 0; i < width; ++i) mean[i] += other[i];
    }
    for (float& x : mean) x *= share;
    store(0, layer, position, mean.data(), mean.data() + half);
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
      for (std::byte* page : plane(loop, layer).pages) pool_.release(page);
    }
  }
  planes_.resize(static_cast<size_t>(layers_));
  shared_ = true;
}

int64_t SequenceCache::pages() const {
  int64_t pages = 0;
  for (const KvPlane& p : planes_) pages += static_cast<int64_t>(p.pages.size());
  return pages;
}

}  // namespace looplm
