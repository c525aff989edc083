#include "infer/lane_arena.h"

#include <deque>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

struct Holder {
  int32_t slot = -1;
  float mark = 0;
};

TEST(LaneArena, SlotsInUseHaveNoGapAndRowsFollowTheirHolders) {
  for (const bool carried : {true, false}) {
    ModelConfig config;
    config.hidden_size = 5;
    config.norm_between_loops = carried;
    LaneArena arena(config);
    std::deque<Holder> holders;
    Rng rng(1);
    for (int step = 0; step < 2000; ++step) {
      if (holders.empty() || rng.below(5) < 3) {
        Holder& h = holders.emplace_back();
        h.mark = static_cast<float>(step + 1);
        arena.acquire(&h.slot);
        ASSERT_EQ(h.slot, arena.used() - 1) << "a new slot is the last one";
        std::fill_n(arena.state(h.slot), 5, h.mark);
        if (!carried) std::fill_n(arena.normed(h.slot), 5, -h.mark);
      } else if (rng.below(2) == 0) {
        arena.release(&holders.front().slot);
        holders.pop_front();
      } else {
        arena.release(&holders.back().slot);
        holders.pop_back();
      }
      ASSERT_EQ(arena.used(), static_cast<int64_t>(holders.size()));
      std::vector<bool> taken(holders.size());
      for (const Holder& h : holders) {
        ASSERT_LT(h.slot, arena.used());
        ASSERT_FALSE(taken[static_cast<size_t>(h.slot)]);
        taken[static_cast<size_t>(h.slot)] = true;
        for (int i = 0; i < 5; ++i) {
          ASSERT_EQ(arena.state(h.slot)[i], h.mark);
          ASSERT_EQ(arena.normed(h.slot)[i], carried ? h.mark : -h.mark);
        }
      }
    }
    EXPECT_GT(arena.used(), 20);
  }
}

TEST(LaneArena, ASlotIsPassedOn) {
  ModelConfig config;
  config.hidden_size = 4;
  LaneArena arena(config);
  int32_t first = -1, second = -1, heir = -1;
  arena.acquire(&first);
  arena.acquire(&second);
  *arena.state(second) = 2;
  arena.pass_on(&second, &heir);
  EXPECT_EQ(second, -1);
  EXPECT_EQ(heir, 1);
  EXPECT_THROW(arena.pass_on(&second, &heir), std::exception);
  arena.release(&first);
  EXPECT_EQ(heir, 0) << "its row has moved";
  EXPECT_EQ(*arena.state(heir), 2);
}

TEST(LaneArena, AForeignHolderIsRefused) {
  ModelConfig config;
  config.hidden_size = 4;
  LaneArena arena(config);
  int32_t mine = -1;
  arena.acquire(&mine);
  int32_t other = mine;
  EXPECT_THROW(arena.release(&other), CheckError);
  EXPECT_THROW(arena.resize(3), CheckError) << "somebody holds a slot";
  arena.release(&mine);
  EXPECT_EQ(mine, -1);
  arena.resize(3);
  EXPECT_EQ(arena.used(), 3);
}

}  // namespace
}  // namespace looplm
