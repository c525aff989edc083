// The study of scaling laws: see studies/scaling/README.md.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_scaling_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_
