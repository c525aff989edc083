#ifndef LOOPLM_EVAL_WORD_PROBLEM_STORY_H_
#define LOOPLM_EVAL_WORD_PROBLEM_STORY_H_

#include <optional>

#include "base/rng.h"
#include "eval/word_problem.h"

namespace looplm {

// A random story whose first question takes `steps`. Nothing when this draw has no such question.
std::optional<WordProblem> draw_story(const WordProblemOptions& options, int steps, Rng& rng);

// A story of `events` events as prose, which ends with a count.
WordProblem draw_tale(const WordProblemOptions& options, int events, Rng& rng);

// Whether prose says after this step the number that it has come to.
bool counts_now(const WordProblemOptions& options, bool last, Rng& rng);

}  // namespace looplm

#endif  // LOOPLM_EVAL_WORD_PROBLEM_STORY_H_
