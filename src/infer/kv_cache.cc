#include "infer/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {
namespace {

// Enough pages that a decode step rarely allocates, few enough that a small model stays small.
constexpr int64_t kSlabBytes = int64_t{4} << 20;
// Large pages get larger slabs where rounding to whole huge pages would waste more than this share.
constexpr int64_t kMostSlabBytes = int64_t{64} << 20;
constexpr double kMostWaste = 1.0 / 64;

}  // namespace

int64_t PagePool::slab_pages() const {
  const int64_t bytes = page_stride();
  const auto waste = [bytes](int64_t pages) {
    const auto wanted = static_cast<size_t>(pages * bytes);
    const size_t taken = allocated_bytes(wanted);
    return static_cast<double>(taken - wanted) / static_cast<double>(taken);
  };
  int64_t pages = std::max<int64_t>(1, kSlabBytes / bytes);
  while (waste(pages) > kMostWaste && (pages + 1) * bytes <= kMostSlabBytes) ++pages;
  return pages;
}

std::byte* PagePool::allocate() {
  if (free_.empty()) {
    const int64_t pages = slab_pages();
    Slab slab = {.data = Buffer<std::byte>(static_cast<size_t>(pages * page_stride())),
                 .owners = std::vector<int32_t>(static_cast<size_t>(pages))};
    std::byte* const first = slab.data.data();
    reserved_bytes_ += allocated_bytes(slab.data.bytes());
    slabs_.emplace(first, std::move(slab));
    // Handed out from the front of the slab, so that a plane's pages lie one after the other.
    for (int64_t i = pages - 1; i >= 0; --i) free_.push_back(first + i * page_stride());
    total_ += pages;
  }
  std::byte* page = free_.back();
  free_.pop_back();
  owners(page) = 1;
  return page;
}

int32_t& PagePool::owners(const std::byte* page) {
  auto after = slabs_.upper_bound(page);
  LOOPLM_CHECK(after != slabs_.begin());
  auto& [first, slab] = *--after;
  return slab.owners.at(static_cast<size_t>((page - first) / page_stride()));
}

void PagePool::release(std::byte* page) {
  int32_t& count = owners(page);
  LOOPLM_CHECK(count > 0);
  if (--count == 0) free_.push_back(page);
}

SequenceCache::SequenceCache(PagePool& pool, int64_t layers, int64_t loops)
    : pool_(pool), layers_(layers), loops_(loops), planes_(static_cast<size_t>(layers * loops)) {}

SequenceCache::~SequenceCache() { truncate(0); }

void SequenceCache::store(int64_t loop, int64_t layer, int64_t position, const float* k,
                          const float* v) {
  std::vector<PageCopy> copies;
  std::byte* const page = reserve(loop, layer, position, copies);
  for (const PageCopy& copy : copies) {
    for (int64_t head = 0; head < pool_.layout().kv_heads; ++head) {
      copy_kv(pool_.layout(), head, copy.from, copy.positions, copy.to);
    }
  }
  store_kv(pool_.layout(), k, v, position, page);
}

std::byte* SequenceCache::reserve(int64_t loop, int64_t layer, int64_t position,
                                  std::vector<PageCopy>& copies) {
  KvPlane& to = plane(loop, layer);
  LOOPLM_CHECK(position <= to.filled, "position {} of loop {} while {} are filled", position, loop,
               to.filled);
  if (pages_for(position + 1) > static_cast<int64_t>(to.pages.size())) {
    to.pages.push_back(pool_.allocate());
  }
  const int64_t page = position / kPagePositions;
  own(to, page, copies);
  to.filled = std::max(to.filled, position + 1);
  return to.pages[static_cast<size_t>(page)];
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
    p.borrowed = std::min(p.borrowed, static_cast<int64_t>(p.pages.size()));
  }
}

void SequenceCache::reset() {
  truncate(0);
  planes_.resize(static_cast<size_t>(layers_ * loops_));
  shared_ = false;
}

void SequenceCache::adopt(int64_t loop, int64_t layer, std::byte* page) {
  KvPlane& to = plane(loop, layer);
  LOOPLM_CHECK(to.filled == static_cast<int64_t>(to.pages.size()) * kPagePositions);
  pool_.share(page);
  to.pages.push_back(page);
  to.filled += kPagePositions;
  to.borrowed = static_cast<int64_t>(to.pages.size());
}

std::byte* SequenceCache::lend(int64_t loop, int64_t layer, int64_t i) {
  KvPlane& from = plane(loop, layer);
  from.borrowed = std::max(from.borrowed, i + 1);
  return from.pages.at(static_cast<size_t>(i));
}

void SequenceCache::fork(SequenceCache& from, int64_t positions) {
  LOOPLM_CHECK(&from.pool_ == &pool_ && from.layers_ == layers_);
  LOOPLM_CHECK(from.planes_.size() >= planes_.size());  // loops come before layers
  for (size_t i = 0; i < planes_.size(); ++i) share_pages(planes_[i], from.planes_[i], positions);
}

void SequenceCache::branch(SequenceCache& from, int64_t loop, int64_t positions) {
  for (int64_t layer = 0; layer < layers_; ++layer) {
    share_pages(plane(loop, layer), from.plane(loop, layer), positions);
  }
}

void SequenceCache::share_pages(KvPlane& to, KvPlane& from, int64_t positions) {
  LOOPLM_CHECK(to.filled == 0 && positions <= from.filled, "{} of {} positions", positions,
               from.filled);
  const int64_t pages = pages_for(positions);
  to.pages.assign(from.pages.begin(), from.pages.begin() + pages);
  for (std::byte* page : to.pages) pool_.share(page);
  to.filled = positions;
  to.borrowed = pages;
  from.borrowed = std::max(from.borrowed, pages);
}

void SequenceCache::exchange(SequenceCache& branch, int64_t loops) {
  LOOPLM_CHECK(!shared_ && &branch.pool_ == &pool_);
  const auto end = planes_.begin() + loops * layers_;
  std::swap_ranges(planes_.begin(), end, branch.planes_.begin());
}

// A page that others own too is copied before it is written.
void SequenceCache::own(KvPlane& plane, int64_t page, std::vector<PageCopy>& copies) {
  if (page >= plane.borrowed) return;
  std::byte*& place = plane.pages[static_cast<size_t>(page)];
  if (!pool_.shared(place)) return;
  std::byte* const own = pool_.allocate();
  const int64_t positions = std::min(plane.filled - page * kPagePositions, kPagePositions);
  if (positions > 0) copies.push_back({place, own, positions});
  pool_.release(place);
  place = own;
}

int64_t SequenceCache::pages_to_store(int64_t loop, int64_t first, int64_t end) {
  // The layers of a loop are filled and shared together.
  const KvPlane& to = plane(loop, 0);
  int64_t pages = 0;
  for (int64_t i = first / kPagePositions; i < pages_for(end); ++i) {
    const bool there = i < static_cast<int64_t>(to.pages.size());
    const bool ours = i >= to.borrowed || !pool_.shared(to.pages[static_cast<size_t>(i)]);
    if (!there || !ours) pages += layers_;
  }
  return pages;
}

int64_t SequenceCache::pages_to_share(KvPolicy policy) {
  if (policy != KvPolicy::kMean || shared_) return 0;
  int64_t pages = 0;
  const KvPlane& first = plane(0, 0);
  for (int64_t i = 0; i < first.borrowed; ++i) {
    if (pool_.shared(first.pages[static_cast<size_t>(i)])) pages += layers_;
  }
  return pages;
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
