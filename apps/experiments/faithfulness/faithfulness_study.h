#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// Section 7.2 of arXiv:2510.25741: do later loops change the answer? Agreement of loops, linear
// probes between them, and interventions on states.
std::unique_ptr<Study> make_faithfulness_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_FAITHFULNESS_STUDY_H_
