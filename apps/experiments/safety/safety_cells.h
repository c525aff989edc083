// The work of the safety study: answers at each depth, what the judge says of them, and how far
// apart two sets of prompts lie in the model's states.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_SAFETY_CELLS_H_
#define LOOPLM_EXPERIMENTS_SAFETY_SAFETY_CELLS_H_

#include <string>
#include <vector>

#include "experiments/core/study.h"
#include "experiments/safety/prompt_sets.h"
#include "experiments/safety/safety_settings.h"

namespace looplm {

// Whose prompts are answered and judged.
enum class PromptGroup {
  kMain,      // those whose harmful rate is reported
  kFirstSet,  // the first set of states
};
const char* prompt_group_name(PromptGroup group);  // "main", "first"

std::string answers_id(PromptGroup group, int64_t loops);
std::string judge_id(PromptGroup group, int64_t loops);
inline constexpr const char* kStatesId = "states";

// {"trained_loops", "answers": [{"category", "prompt", "seed", "text", "tokens", "ended"}]}, the
// prompts of the first seed, then those of the next. Answers are kept one by one, and a run that
// was interrupted goes on after the last.
Result<OrderedJson> run_answers(const SafetySettings& s, PromptGroup group, int64_t loops,
                                const CellContext& context);

// {"judged": [{"score" (null: no reply held one), "reply", "model", "tries", ...}]} in the order of
// the answers, which `answers` holds. Judgements are kept one by one. An answer that was cut off
// before it began (no `answer_after`) is not judged: {"score": null, "unfinished": true}.
Result<OrderedJson> run_judge(const SafetySettings& s, const Json& answers,
                              const CellContext& context);

// The states that the prompts alone leave, without the answers' opening.
// {"trained_loops", "first", "second" (names and sizes), "loops": [{"accuracy", "auc",
// "silhouette", "plane_silhouette", "share": [2], "right": [..], "log_odds": [..], "x": [..],
// "y": [..]}]}: examples of the first set, then of the second; log_odds held out, of being of the
// first set; x and y the first two principal components.
Result<OrderedJson> run_states(const SafetySettings& s, const CellContext& context);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_SAFETY_CELLS_H_
