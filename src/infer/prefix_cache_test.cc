#include "infer/prefix_cache.h"

#include <memory>
#include <numeric>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

constexpr KvLayout kPrefixLayout = {1, 4};
constexpr int64_t kPrefixLayers = 2;

class Prefixes : public testing::Test {
 protected:
  // A text whose pages differ from each other by the seed of each.
  static std::vector<int32_t> text(std::initializer_list<int32_t> pages) {
    std::vector<int32_t> ids;
    for (const int32_t page : pages) {
      for (int32_t i = 0; i < kPagePositions; ++i) ids.push_back(100 * page + i);
    }
    return ids;
  }

  // Computed keys of a text, each page holding its own seed.
  std::unique_ptr<SequenceCache> computed(std::span<const int32_t> ids, int64_t loops) {
    auto cache = std::make_unique<SequenceCache>(pool_, kPrefixLayers, loops);
    for (int64_t loop = 0; loop < loops; ++loop) {
      for (int64_t layer = 0; layer < kPrefixLayers; ++layer) {
        for (size_t i = 0; i < ids.size(); ++i) {
          const std::vector<float> x(4, static_cast<float>(ids[i] + 10000 * loop));
          cache->store(loop, layer, static_cast<int64_t>(i), x.data(), x.data());
        }
      }
    }
    return cache;
  }

  PrefixCache::Chain keep(const std::string& tenant, const std::vector<int32_t>& ids,
                          int64_t loops = 2) {
    return prefixes_.insert(tenant, ids, *computed(ids, loops), loops);
  }

  PagePool pool_{kPrefixLayout};
  PrefixCache prefixes_{pool_, kPrefixLayers};
};

TEST_F(Prefixes, WhatIsFoundHoldsTheTextsOwnKeys) {
  const std::vector<int32_t> ids = text({1, 2, 3});
  keep("", ids);
  const PrefixCache::Chain chain = prefixes_.find("", text({1, 2, 9}), 2);
  ASSERT_EQ(chain.positions(), 64);
  SequenceCache cache(pool_, kPrefixLayers, 2);
  prefixes_.adopt(chain, cache, 2);
  for (int64_t loop = 0; loop < 2; ++loop) {
    for (int64_t i = 0; i < 64; ++i) {
      std::vector<float> k(4), v(4);
      cache.load(loop, 1, i, k.data(), v.data());
      EXPECT_EQ(k[0], static_cast<float>(ids[static_cast<size_t>(i)] + 10000 * loop));
    }
  }
}

TEST_F(Prefixes, APartOfAPageIsNothing) {
  std::vector<int32_t> ids = text({1, 2});
  ids.pop_back();
  EXPECT_EQ(keep("", ids).pages, 1);
  EXPECT_EQ(prefixes_.pages(), 2 * kPrefixLayers);
  EXPECT_EQ(prefixes_.find("", ids, 2).pages, 1);
  EXPECT_EQ(prefixes_.find("", {ids.data(), 31}, 2).pages, 0);
}

TEST_F(Prefixes, TheLeastRecentlyUsedLeafThatNobodyPinsGoesFirst) {
  keep("", text({1, 2}));
  keep("", text({1, 3}));
  keep("", text({4}));
  const PrefixCache::Chain pinned = prefixes_.find("", text({1, 2}), 2);
  prefixes_.pin(pinned);
  EXPECT_EQ(prefixes_.evictable_pages(), 2 * 2 * kPrefixLayers);  // 3 below 1, and 4
  prefixes_.find("", text({1, 3}), 2);                            // used later than 4
  EXPECT_TRUE(prefixes_.evict());
  EXPECT_EQ(prefixes_.find("", text({4}), 2).pages, 0);
  EXPECT_TRUE(prefixes_.evict());
  EXPECT_EQ(prefixes_.find("", text({1, 3}), 2).pages, 1);
  EXPECT_FALSE(prefixes_.evict()) << "what is left is pinned";
  EXPECT_EQ(prefixes_.evictable_pages(), 0);
  prefixes_.unpin(pinned);
  EXPECT_EQ(prefixes_.evictable_pages(), prefixes_.pages());
  prefixes_.clear();
  EXPECT_EQ(prefixes_.pages(), 0);
  EXPECT_EQ(pool_.pages_in_use(), 0);
}

TEST_F(Prefixes, PinsCount) {
  const PrefixCache::Chain chain = keep("", text({1, 2}));
  prefixes_.pin(chain);
  prefixes_.pin(chain);
  prefixes_.unpin(chain);
  EXPECT_FALSE(prefixes_.evict());
  prefixes_.unpin(chain);
  EXPECT_THROW(prefixes_.unpin(chain), CheckError);
}

TEST_F(Prefixes, MoreLoopsAreAddedToWhatIsThere) {
  keep("", text({1, 2}), 1);
  EXPECT_EQ(prefixes_.find("", text({1, 2}), 2).pages, 0);
  keep("", text({1}), 3);
  EXPECT_EQ(prefixes_.find("", text({1, 2}), 2).pages, 1);
  EXPECT_EQ(prefixes_.find("", text({1, 2}), 1).pages, 2);
  EXPECT_EQ(prefixes_.pages(), (3 + 1) * kPrefixLayers);
}

TEST_F(Prefixes, TenantsHaveTreesOfTheirOwn) {
  keep("a", text({1}));
  EXPECT_EQ(prefixes_.find("b", text({1}), 1).pages, 0);
  EXPECT_EQ(prefixes_.find("", text({1}), 1).pages, 0);
  keep("b", text({1}));
  EXPECT_EQ(prefixes_.pages(), 2 * 2 * kPrefixLayers);
  EXPECT_TRUE(prefixes_.evict());
  EXPECT_EQ(prefixes_.find("a", text({1}), 1).pages, 0);
  EXPECT_EQ(prefixes_.find("b", text({1}), 1).pages, 1);
}

TEST_F(Prefixes, CountsHoldThroughAnyOrderOfCalls) {
  Rng rng(5);
  std::vector<PrefixCache::Chain> pins;
  for (int i = 0; i < 3000; ++i) {
    const auto page = [&rng] { return static_cast<int32_t>(1 + rng.below(3)); };
    const std::vector<int32_t> ids = text({page(), page(), page()});
    const std::string tenant = rng.below(2) == 0 ? "a" : "";
    switch (rng.below(5)) {
      case 0:
        keep(tenant, ids, 1 + rng.below(3));
        break;
      case 1:
        pins.push_back(prefixes_.find(tenant, ids, 1));
        prefixes_.pin(pins.back());
        break;
      case 2:
        if (pins.empty()) break;
        prefixes_.unpin(pins.back());
        pins.pop_back();
        break;
      default:
        prefixes_.evict();
    }
    ASSERT_EQ(pool_.pages_in_use(), prefixes_.pages());
    ASSERT_LE(prefixes_.evictable_pages(), prefixes_.pages());
    ASSERT_GE(prefixes_.evictable_pages(), 0);
  }
  for (const PrefixCache::Chain& chain : pins) prefixes_.unpin(chain);
  EXPECT_EQ(prefixes_.evictable_pages(), prefixes_.pages());
  prefixes_.clear();
  EXPECT_EQ(pool_.pages_in_use(), 0);
}

}  // namespace
}  // namespace looplm
