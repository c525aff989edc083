// Quality over mean depth of every exit rule (arXiv:2510.25741, section 5.4.1 and figure 5), and of
// the gate taught with the gain that the next loop brings.
#ifndef LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_
#define LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/study.h"

namespace looplm {

Result<StudyReport> exits_report(const CellResults& results, const std::vector<int64_t>& seeds);

// Copies a checkpoint, its tokenizer too, with the exit gate as if never trained: all zero, which
// exits with probability one half at each loop. The model must have a gate.
Status copy_with_fresh_gate(const std::string& from, const std::string& to);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_EXITS_STUDY_H_
