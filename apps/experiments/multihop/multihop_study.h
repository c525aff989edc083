// The study of multi-hop questions: how many of them a model must have seen to answer others, by
// loops. See studies/multihop/README.md.
#ifndef LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_
#define LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

std::unique_ptr<Study> make_multihop_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_STUDY_H_
