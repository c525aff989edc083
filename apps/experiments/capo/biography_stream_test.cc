#include <algorithm>

#include <gmock/gmock.h>

#include "experiments/capo/biography.h"

namespace looplm {
namespace {

TEST(BiographyStream, ShowsEverybodyOncePerExposureInAnotherOrder) {
  const BiographyStream stream(1, 50);
  std::vector<std::vector<uint64_t>> orders;
  for (uint64_t exposure = 0; exposure < 3; ++exposure) {
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < 50; ++i) order.push_back(stream.person_index(exposure * 50 + i));
    std::vector<uint64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(sorted[i], i);
    orders.push_back(std::move(order));
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);

  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  stream.document(73, ids, learnt);
  EXPECT_EQ(ids, stream.writer().write(1, stream.person_index(73), 1).ids);
  EXPECT_FALSE(learnt.front());
  EXPECT_EQ(std::count(learnt.begin(), learnt.end(), true), static_cast<ptrdiff_t>(ids.size() - 1));
  EXPECT_NE(stream.hash(), BiographyStream(2, 50).hash());
  EXPECT_NE(stream.hash(), BiographyStream(1, 51).hash());
  EXPECT_EQ(stream.hash(), BiographyStream(1, 50).hash());
}

}  // namespace
}  // namespace looplm
