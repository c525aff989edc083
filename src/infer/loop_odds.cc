#include "infer/loop_odds.h"

#include <algorithm>

namespace looplm {
namespace {

// What is believed before anything was seen, and how many sightings that is worth.
constexpr std::array<double, LoopOdds::kRanks> kFirst = {0.6, 0.15, 0.05};
constexpr double kFirstWeight = 4;
// Each sighting counts this much less with every later one.
constexpr double kFade = 1 - 1.0 / 128;

}  // namespace

void LoopOdds::saw(int64_t loop, int64_t rank, int64_t ranks) {
  if (static_cast<int64_t>(loops_.size()) < loop) loops_.resize(static_cast<size_t>(loop));
  for (int64_t r = 0; r < std::min(ranks, kRanks); ++r) {
    Share& share = loops_[static_cast<size_t>(loop - 1)][static_cast<size_t>(r)];
    share.seen = share.seen * kFade + 1;
    share.hits = share.hits * kFade + (r == rank ? 1 : 0);
  }
}

double LoopOdds::chance(int64_t loop, int64_t rank) const {
  if (rank < 0 || rank >= kRanks) return 0;
  const auto r = static_cast<size_t>(rank);
  const auto at = static_cast<size_t>(loop - 1);
  const Share share = at < loops_.size() ? loops_[at][r] : Share{};
  return (share.hits + kFirst[r] * kFirstWeight) / (share.seen + kFirstWeight);
}

}  // namespace looplm
