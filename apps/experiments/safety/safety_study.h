// Safety by loop (arXiv:2510.25741 section 7.1): harmful rate and mean score of answers at each
// depth by a judge's scale of 1 to 5, and the separation of two sets of prompts in the states.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_
#define LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_safety_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_
