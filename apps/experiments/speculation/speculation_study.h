// Speculation and exact exits (what arXiv:2510.25741 section 7.4 proposes and does not measure):
// agreement of each loop with the last, passes and lanes per token, speed.
#ifndef LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_
#define LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_speculation_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SPECULATION_SPECULATION_STUDY_H_
