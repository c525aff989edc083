#ifndef LOOPLM_EXPERIMENTS_DEPTH_DEPTH_STUDY_H_
#define LOOPLM_EXPERIMENTS_DEPTH_DEPTH_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// Quality after each loop, beyond the trained depth too (arXiv:2510.25741, tables 10 to 13 and 15).
std::unique_ptr<Study> make_depth_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_DEPTH_DEPTH_STUDY_H_
