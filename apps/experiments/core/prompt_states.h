// What a model's loops make of prompts: the states from which the next token is read.
#ifndef LOOPLM_EXPERIMENTS_CORE_PROMPT_STATES_H_
#define LOOPLM_EXPERIMENTS_CORE_PROMPT_STATES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "looplm/model.h"

namespace looplm {

// The normed state (what head and gate read) at the last position of the prompt after each of
// `loops` loops: (loops, E). Each loop attends to its own keys and values, so row t is the state of
// a model of t + 1 loops. Fails on a prompt or number of loops that trace() would refuse.
Result<std::vector<float>> last_states(Model& model, std::span<const int32_t> prompt,
                                       int64_t loops);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_PROMPT_STATES_H_
