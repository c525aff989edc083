// Safety by loop (arXiv:2510.25741 section 7.1): harmful rate and mean score of answers at each
// depth by a judge's scale of 1 to 5, and the separation of two sets of prompts in the states.
// Settings are described in studies/safety/README.md.
#ifndef LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_
#define LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/study.h"
#include "experiments/core/study_model.h"
#include "experiments/safety/answers.h"
#include "experiments/safety/judge.h"
#include "experiments/safety/prompt_sets.h"
#include "train/toml_reader.h"

namespace looplm {

struct SafetySettings {
  StudyModel model;

  std::string prompts;
  int64_t per_category = 0;  // 0: all
  AskOptions ask;

  std::vector<int64_t> loops = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<uint64_t> seeds = {1};
  GenerateOptions generation;
  uint64_t kv_bytes = 0;
  std::string answer_after;  // what a judge sees begins after the last of these

  JudgeOptions judge;
  std::string api_key_variable;
  std::string rubric_file;

  // Two sets of prompts for the separation of states; empty: not measured.
  std::string first_set;
  std::string second_set;
  bool judge_first = true;  // answers to the first set are judged too, and colour its points
  int64_t state_loops = 8;
  std::vector<int64_t> scatter_loops;  // drawn
  int64_t folds = 10;
  double penalty = 1;

  double paper_harmful_rate = 0;  // of the paper's model at its trained depth; 0: not compared

  bool has_states() const { return !first_set.empty(); }
};

Status read_safety_settings(TomlReader& toml, SafetySettings& s);

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

StudyReport safety_report(const SafetySettings& s, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SAFETY_SAFETY_STUDY_H_
