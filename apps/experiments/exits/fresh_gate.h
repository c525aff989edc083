#ifndef LOOPLM_EXPERIMENTS_EXITS_FRESH_GATE_H_
#define LOOPLM_EXPERIMENTS_EXITS_FRESH_GATE_H_

#include <string>

#include "looplm/status.h"

namespace looplm {

// Copies a checkpoint, its tokenizer too, with the exit gate as if never trained: all zero, which
// exits with probability one half at each loop. The model must have a gate.
Status copy_with_fresh_gate(const std::string& from, const std::string& to);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_EXITS_FRESH_GATE_H_
