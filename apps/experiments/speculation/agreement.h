// How far the loops of a model say the same: which of them would choose the token that the last one
// chooses.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_AGREEMENT_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_AGREEMENT_H_

#include <cstdint>
#include <vector>

#include "eval/depth_scores.h"

namespace looplm {

struct AgreementCounts {
  int64_t loops = 0;
  int64_t tokens = 0;
  std::vector<int64_t> same;   // (loops, loops): tokens for which both loops choose the same one
  std::vector<int64_t> right;  // (loops): that are the text's
  // (loops): tokens for which loop t + 1 is the first from which on all up to the last compared one
  // choose the same. What speculation that starts at once and never errs would need in passes.
  std::vector<int64_t> settled;

  double share(int64_t a, int64_t b) const {
    return static_cast<double>(same[static_cast<size_t>(a * loops + b)]) /
           static_cast<double>(tokens);
  }
  double mean_settled_loop() const;
};

// Over all scored tokens; `last` (from 1) is the loop whose word counts for `settled`.
AgreementCounts count_agreement(const std::vector<DepthScores>& scores, int64_t last);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_AGREEMENT_H_
