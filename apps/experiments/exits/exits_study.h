#ifndef LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_
#define LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// Quality over mean depth of every exit rule (arXiv:2510.25741, section 5.4.1 and figure 5), and of
// the gate taught with the gain that the next loop brings.
std::unique_ptr<Study> make_exits_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_
