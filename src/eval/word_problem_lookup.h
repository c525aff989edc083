#ifndef LOOPLM_EVAL_WORD_PROBLEM_LOOKUP_H_
#define LOOPLM_EVAL_WORD_PROBLEM_LOOKUP_H_

#include "base/rng.h"
#include "eval/word_problem.h"

namespace looplm {

// Prose that tells numbers of two to four people and asks for them again, all in any order.
WordProblem draw_lookup(const WordProblemOptions& options, Rng& rng);

}  // namespace looplm

#endif  // LOOPLM_EVAL_WORD_PROBLEM_LOOKUP_H_
