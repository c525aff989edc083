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
  static constexpr int64_t kRanks = 3;

  // The loop after `loop` (from 1) chose what `loop` had ranked `rank`, from 0; kRanks or more for
  // none of those.
  void saw(int64_t loop, int64_t rank);
  double chance(int64_t loop, int64_t rank) const;

 private:
  struct Loop {
    double seen = 0;
    std::array<double, kRanks> hits{};
  };
  std::vector<Loop> loops_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_LOOP_ODDS_H_
