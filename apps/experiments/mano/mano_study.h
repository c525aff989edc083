// The study of mano: looped models against models of equal parameters and of equal arithmetic. See
// studies/mano/README.md.
#ifndef LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_
#define LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_mano_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MANO_MANO_STUDY_H_
