#include "infer/kv_cache.h"

#include <memory>

#include <gtest/gtest.h>

#include "base/check.h"

namespace looplm {
namespace {

constexpr KvLayout kLayout = {2, 6};
constexpr int64_t kLayers = 2;
constexpr int64_t kLoops = 3;
constexpr int64_t kPositions = 40;  // two pages

// A value that says where it belongs.
std::vector<float> value_of(int64_t loop, int64_t layer, int64_t position, float sign) {
  std::vector<float> x(static_cast<size_t>(kLayout.kv_heads * kLayout.head_dim));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = sign * static_cast<float>(1 + static_cast<int64_t>(i) + 16 * position + 1024 * layer +
                                     4096 * loop * (loop + 1));
  }
  return x;
}

void fill(SequenceCache& cache, int64_t positions = kPositions) {
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t i = 0; i < positions; ++i) {
        cache.store(loop, layer, i, value_of(loop, layer, i, 1).data(),
                    value_of(loop, layer, i, -1).data());
      }
    }
  }
}

struct KeyAndValue {
  std::vector<float> k, v;
};

KeyAndValue load(SequenceCache& cache, int64_t loop, int64_t layer, int64_t position) {
  KeyAndValue x = {value_of(0, 0, 0, 1), value_of(0, 0, 0, 1)};
  cache.load(loop, layer, position, x.k.data(), x.v.data());
  return x;
}

TEST(KvCache, EveryPlaneKeepsItsOwn) {
  PagePool pool(kLayout);
  SequenceCache cache(pool, kLayers, kLoops);
  fill(cache);
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t i = 0; i < kPositions; ++i) {
        const KeyAndValue x = load(cache, loop, layer, i);
        ASSERT_EQ(x.k, value_of(loop, layer, i, 1));
        ASSERT_EQ(x.v, value_of(loop, layer, i, -1));
      }
    }
  }
  EXPECT_EQ(cache.bytes(), static_cast<uint64_t>(2 * kLayers * kLoops) * pool.page_bytes());
}

TEST(KvCache, PagesComeBack) {
  PagePool pool(kLayout);
  {
    SequenceCache cache(pool, kLayers, kLoops);
    fill(cache);
    EXPECT_EQ(pool.pages_in_use(), 2 * kLayers * kLoops);
    cache.truncate(33);
    EXPECT_EQ(pool.pages_in_use(), 2 * kLayers * kLoops);
    cache.truncate(32);
    EXPECT_EQ(pool.pages_in_use(), kLayers * kLoops);
    EXPECT_EQ(load(cache, 2, 1, 31).k, value_of(2, 1, 31, 1));
    EXPECT_THROW(load(cache, 2, 1, 32), CheckError);
    fill(cache);
    EXPECT_EQ(load(cache, 1, 1, 39).v, value_of(1, 1, 39, -1));
  }
  EXPECT_EQ(pool.pages_in_use(), 0);
}

TEST(PagePool, TheMachineGivesLittleMoreThanThePages) {
  // Pages of Ouro-1.4B in each type, of a power of two and not, and of a large model.
  for (const KvLayout& layout : {KvLayout{16, 128, KvType::kF32}, KvLayout{16, 128, KvType::kBf16},
                                 KvLayout{16, 128, KvType::kInt8}, KvLayout{5, 100, KvType::kBf16},
                                 KvLayout{64, 192, KvType::kF32}}) {
    PagePool pool(layout);
    int64_t slabs = 0;
    while (slabs < 3) {
      const int64_t pages = pool.pages_in_use();
      const uint64_t before = pool.reserved_bytes();
      pool.allocate();
      if (pool.reserved_bytes() == before) continue;
      ++slabs;  // those before it are full
      const auto used = static_cast<double>(static_cast<uint64_t>(pages) * pool.page_bytes());
      EXPECT_LE(static_cast<double>(before), 1.02 * used) << layout.page_bytes() << " bytes";
    }
  }
}

TEST(KvCache, SharedPagesAreCopiedBeforeTheyAreWritten) {
  PagePool pool(kLayout);
  SequenceCache one(pool, kLayers, kLoops), two(pool, kLayers, kLoops);
  fill(one);
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      two.adopt(loop, layer, one.lend(loop, layer, 0));
    }
  }
  EXPECT_EQ(pool.pages_in_use(), 2 * kLayers * kLoops) << "a shared page is stored twice";
  EXPECT_EQ(load(two, 1, 1, 31).k, value_of(1, 1, 31, 1));
  const std::vector<float> x = value_of(0, 0, 3, 5);
  two.store(1, 1, 31, x.data(), x.data());
  EXPECT_EQ(load(two, 1, 1, 31).k, x);
  EXPECT_EQ(load(two, 1, 1, 30).k, value_of(1, 1, 30, 1));
  EXPECT_EQ(load(one, 1, 1, 31).k, value_of(1, 1, 31, 1));
  EXPECT_EQ(pool.pages_in_use(), 2 * kLayers * kLoops + 1);
  one.truncate(0);
  EXPECT_EQ(load(two, 0, 0, 5).k, value_of(0, 0, 5, 1)) << "a page went with one of its owners";
  two.truncate(0);
  EXPECT_EQ(pool.pages_in_use(), 0);
}

TEST(KvCache, AForkSharesWhatNobodyWrites) {
  PagePool pool(kLayout);
  auto stem = std::make_unique<SequenceCache>(pool, kLayers, kLoops);
  fill(*stem);
  const int64_t before = pool.pages_in_use();
  SequenceCache left(pool, kLayers, kLoops), right(pool, kLayers, kLoops);
  left.fork(*stem, 36);
  right.fork(*stem, 36);
  EXPECT_EQ(pool.pages_in_use(), before);
  // Writing to the second page copies it, once per plane and owner but the last.
  const std::vector<float> other = value_of(7, 0, 0, 1);
  for (SequenceCache* cache : {&left, &right}) {
    EXPECT_EQ(load(*cache, 2, 1, 35).k, value_of(2, 1, 35, 1));
    for (int64_t loop = 0; loop < kLoops; ++loop) {
      for (int64_t layer = 0; layer < kLayers; ++layer) {
        cache->store(loop, layer, 36, other.data(), other.data());
      }
    }
    EXPECT_EQ(load(*cache, 2, 1, 35).k, value_of(2, 1, 35, 1));
    EXPECT_EQ(load(*cache, 2, 1, 36).k, other);
    stem->truncate(36);
  }
  EXPECT_EQ(pool.pages_in_use(), before + 2 * kLayers * kLoops);
  EXPECT_EQ(load(*stem, 1, 0, 35).v, value_of(1, 0, 35, -1));
  stem = nullptr;
  EXPECT_EQ(pool.pages_in_use(), before + kLayers * kLoops);
  EXPECT_THROW(left.fork(right, 1), CheckError);  // not empty
  SequenceCache far(pool, kLayers, kLoops);
  EXPECT_THROW(far.fork(right, 38), CheckError);  // not computed
}

TEST(KvCache, ACopyHasWhatWasThere) {
  for (KvType type : kKvTypes) {
    SCOPED_TRACE(kv_type_name(type));
    PagePool pool({2, 6, type});
    for (int64_t positions : {1, 6, 15, 16, 17, 31, 37}) {
      SequenceCache one(pool, kLayers, kLoops), two(pool, kLayers, kLoops);
      fill(one);
      two.fork(one, positions);
      two.store(2, 1, positions, value_of(0, 0, 3, 1).data(), value_of(0, 0, 3, 1).data());
      for (int64_t i = 0; i < positions; ++i) {
        const KeyAndValue before = load(one, 2, 1, i), now = load(two, 2, 1, i);
        ASSERT_EQ(now.k, before.k) << i << " of " << positions;
        ASSERT_EQ(now.v, before.v) << i << " of " << positions;
      }
    }
  }
}

// Position 36 twice, on two tokens, while loops of the positions before it are still missing.
TEST(KvCache, ABranchKeepsItsOwnPositionAndMayTakeTheOthersPlace) {
  PagePool pool(kLayout);
  SequenceCache main(pool, kLayers, kLoops);
  const auto store = [](SequenceCache& cache, int64_t loop, int64_t position,
                        int64_t layer_of_value) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const std::vector<float> x = value_of(loop, layer + layer_of_value, position, 1);
      cache.store(loop, layer, position, x.data(), x.data());
    }
  };
  for (int64_t i = 0; i < 36; ++i) store(main, 0, i, 0);
  {
    SequenceCache other(pool, kLayers, kLoops);
    for (int64_t loop = 0; loop < 2; ++loop) {
      if (loop == 1) {
        for (int64_t i = 0; i < 36; ++i) store(main, 1, i, 0);
      }
      const int64_t before = pool.pages_in_use();
      other.branch(main, loop, 36);
      EXPECT_EQ(pool.pages_in_use(), before);
      store(main, loop, 36, 0);
      store(other, loop, 36, 10);
      EXPECT_EQ(pool.pages_in_use(), before + kLayers);
    }
    store(main, 0, 37, 0);  // stands on the one that is not chosen
    EXPECT_EQ(load(main, 1, 1, 36).k, value_of(1, 1, 36, 1));
    EXPECT_EQ(load(other, 1, 1, 36).k, value_of(1, 11, 36, 1));
    EXPECT_THROW(other.branch(main, 2, 36), CheckError);  // not computed
    main.truncate(36);
    main.exchange(other, 2);
  }
  EXPECT_EQ(pool.pages_in_use(), 2 * 2 * kLayers);
  for (int64_t loop = 0; loop < 2; ++loop) {
    EXPECT_EQ(main.plane(loop, 1).filled, 37);
    EXPECT_EQ(load(main, loop, 1, 35).k, value_of(loop, 1, 35, 1));
    EXPECT_EQ(load(main, loop, 1, 36).k, value_of(loop, 11, 36, 1));
  }
  store(main, 0, 37, 0);
  EXPECT_EQ(load(main, 0, 0, 37).k, value_of(0, 0, 37, 1));
}

TEST(KvCache, SmallerTypesKeepWhatTheyCan) {
  for (KvType type : kKvTypes) {
    SCOPED_TRACE(kv_type_name(type));
    const KvLayout layout = {2, 6, type};
    PagePool pool(layout);
    SequenceCache cache(pool, kLayers, kLoops);
    fill(cache);
    const double step = type == KvType::kF32 ? 0 : type == KvType::kBf16 ? 1.0 / 256 : 1.0 / 254;
    for (int64_t i : {0, 31, 39}) {
      const KeyAndValue x = load(cache, 2, 1, i);
      const std::vector<float> expected = value_of(2, 1, i, 1);
      for (size_t j = 0; j < x.k.size(); ++j) {
        ASSERT_NEAR(x.k[j], expected[j], step * expected.back() * 1.01);
        ASSERT_NEAR(x.v[j], -expected[j], step * expected.back() * 1.01);
      }
    }
  }
}

TEST(KvCache, NoHoleCanArise) {
  PagePool pool(kLayout);
  SequenceCache cache(pool, kLayers, kLoops);
  const std::vector<float> x = value_of(0, 0, 0, 1);
  EXPECT_THROW(cache.store(0, 0, 1, x.data(), x.data()), CheckError);
  cache.store(0, 0, 0, x.data(), x.data());
  cache.store(0, 0, 1, x.data(), x.data());
  EXPECT_THROW(cache.store(1, 0, 1, x.data(), x.data()), CheckError);
}

TEST(KvCache, SharingKeepsWhatThePolicySays) {
  for (KvPolicy policy : kKvPolicies) {
    SCOPED_TRACE(kv_policy_name(policy));
    PagePool pool(kLayout);
    SequenceCache cache(pool, kLayers, kLoops);
    fill(cache);
    cache.share_planes(policy);
    const int64_t planes = kv_planes(policy, kLoops);
    EXPECT_EQ(cache.planes(), planes);
    EXPECT_EQ(pool.pages_in_use(), 2 * kLayers * planes);
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t i : {int64_t{0}, int64_t{31}, kPositions - 1}) {
        const KeyAndValue x = load(cache, 1, layer, i);
        if (policy == KvPolicy::kMean) {
          for (size_t j = 0; j < x.k.size(); ++j) {
            const float mean = (value_of(0, layer, i, 1)[j] + value_of(1, layer, i, 1)[j] +
                                value_of(2, layer, i, 1)[j]) /
                               3;
            ASSERT_NEAR(x.k[j], mean, 1e-6f * mean);
            ASSERT_EQ(x.v[j], -x.k[j]);
          }
          continue;
        }
        const int64_t loop = policy == KvPolicy::kFirst ? 0 : policy == KvPolicy::kLast ? 2 : 1;
        ASSERT_EQ(x.k, value_of(loop, layer, i, 1));
        ASSERT_EQ(x.v, value_of(loop, layer, i, -1));
      }
    }
  }
}

}  // namespace
}  // namespace looplm
