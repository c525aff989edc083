#ifndef LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_
#define LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// Stage I under a uniform prior over exits, and under priors that favour stopping early
// (arXiv:2510.25741, appendix A).
std::unique_ptr<Study> make_prior_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_PRIOR_PRIOR_STUDY_H_
