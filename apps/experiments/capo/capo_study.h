// The study of knowledge capacity: see studies/capo/README.md.
#ifndef LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_
#define LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_capo_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_
