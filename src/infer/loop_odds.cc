#include "infer/loop_odds.h"

#include <algorithm>

namespace looplm {
namespace {

// The chances of a loop before anything was seen of it, and how many sightings they count as.
constexpr std::array<double, LoopOdds::kRanks> kFirst = {0.6,  0.15, 0.05, 0.03,
                                                         0.02, 0.02, 0.01, 0.01};
constexpr double kFirstWeight = 4;
// Upper ends of the steps of sureness but the last. Each step begins with the chances of its loop,
// which count as so many sightings.
constexpr std::array<double, LoopOdds::kSureness - 1> kUpTo = {0.2, 0.4, 0.6, 0.8, 0.95};
constexpr double kLoopWeight = 16;
// Each sighting counts this much less with every later one.
constexpr double kFade = 1 - 1.0 / 128;

}  // namespace

int64_t LoopOdds::sureness(double probability) {
  return std::ranges::lower_bound(kUpTo, probability) - kUpTo.begin();
}

void LoopOdds::count(Ranks& shares, int64_t rank, int64_t ranks) {
  for (int64_t r = 0; r < std::min(ranks, kRanks); ++r) {
    Share& share = shares[static_cast<size_t>(r)];
    share.seen = share.seen * kFade + 1;
    share.hits = share.hits * kFade + (r == rank ? 1 : 0);
  }
}

void LoopOdds::saw(int64_t loop, int64_t sureness, int64_t rank, int64_t ranks) {
  if (static_cast<int64_t>(loops_.size()) < loop) loops_.resize(static_cast<size_t>(loop));
  Loop& shares = loops_[static_cast<size_t>(loop - 1)];
  count(shares.back(), rank, ranks);
  if (sureness != kUnknown) count(shares[static_cast<size_t>(sureness)], rank, ranks);
}

double LoopOdds::chance(int64_t loop, int64_t sureness, int64_t rank) const {
  if (rank < 0 || rank >= kRanks) return 0;
  const auto r = static_cast<size_t>(rank);
  const auto at = static_cast<size_t>(loop - 1);
  if (at >= loops_.size()) return kFirst[r];
  const Share all = loops_[at].back()[r];
  const double chance = (all.hits + kFirst[r] * kFirstWeight) / (all.seen + kFirstWeight);
  if (sureness == kUnknown) return chance;
  const Share so_sure = loops_[at][static_cast<size_t>(sureness)][r];
  return (so_sure.hits + chance * kLoopWeight) / (so_sure.seen + kLoopWeight);
}

}  // namespace looplm
