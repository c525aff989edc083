#ifndef LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_
#define LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// Section 6.3 of arXiv:2510.25741: the theorem's construction, and trained models on paths.
std::unique_ptr<Study> make_reachability_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_REACHABILITY_REACHABILITY_STUDY_H_
