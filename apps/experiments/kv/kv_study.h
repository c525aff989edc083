#ifndef LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_
#define LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_

#include <memory>

#include "experiments/core/study.h"

namespace looplm {

// What may be kept of earlier positions' keys and values (arXiv:2510.25741, section 5.4.2 and table
// 14).
std::unique_ptr<Study> make_kv_study();

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_KV_KV_STUDY_H_
