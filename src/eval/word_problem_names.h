#ifndef LOOPLM_EVAL_WORD_PROBLEM_NAMES_H_
#define LOOPLM_EVAL_WORD_PROBLEM_NAMES_H_

#include <string>

#include "base/rng.h"
#include "eval/word_problem.h"
#include "eval/word_problem_words.h"

namespace looplm {

struct PersonName {
  std::string name;
  bool she = false;
};

inline PersonName name_of(const ProblemName& listed) {
  return {std::string(listed.name), listed.she};
}

// A name of this split: in training the first ones of the list more often, made-up ones as often as
// the options say, and in wide wording every second one from a longer list.
PersonName draw_name(const WordProblemOptions& options, Rng& rng);

// A plural in s of which nobody has heard: "tafelns".
std::string made_up_things(Rng& rng);

}  // namespace looplm

#endif  // LOOPLM_EVAL_WORD_PROBLEM_NAMES_H_
