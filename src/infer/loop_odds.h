// How often the token that a loop ranks first, second, ... is the one that the next loop chooses.
#ifndef LOOPLM_INFER_LOOP_ODDS_H_
#define LOOPLM_INFER_LOOP_ODDS_H_

#include <array>
#include <cstdint>
#include <vector>

namespace looplm {

// Learnt from what loops said; the latest counts most. Results never depend on it, lanes do.
class LoopOdds {
 public:
  static constexpr int64_t kRanks = 8;
  // How sure a loop is, in steps: from the probability of its best token.
  static constexpr int64_t kSureness = 6;
  static constexpr int64_t kUnknown = -1;
  static int64_t sureness(double probability);

  // `loop` (from 1) was as sure as `sureness` says; the loop after it chose what it had ranked
  // `rank`, from 0, or `ranks` for none of as many as are known.
  void saw(int64_t loop, int64_t sureness, int64_t rank, int64_t ranks);
  double chance(int64_t loop, int64_t sureness, int64_t rank) const;

 private:
  struct Share {
    double seen = 0;
    double hits = 0;
  };
  typedef std::array<Share, kRanks> Ranks;
  // A row for each step of sureness; the last one counts all sightings.
  typedef std::array<Ranks, kSureness + 1> Loop;
  static void count(Ranks& shares, int64_t rank, int64_t ranks);

  std::vector<Loop> loops_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_LOOP_ODDS_H_
