// Asking a model a task's questions: at every fixed depth and under every exit rule.
//
// Tasks that score texts need one forward of all loops: every depth's and every rule's figures are
// in it. What is generated depends on the depth, so that a generating task runs once for each
// setting.
#ifndef LOOPLM_EVAL_TASK_RUN_H_
#define LOOPLM_EVAL_TASK_RUN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "looplm/model.h"
#include "looplm/status.h"

#include "eval/depth_scores.h"
#include "eval/outcomes.h"
#include "eval/task.h"
#include "eval/task_questions.h"

namespace looplm {

// An exit rule and its thresholds.
struct ExitRequest {
  ExitKind kind = ExitKind::kGate;
  std::vector<double> thresholds;
  // Instead, three of the rule's own figures: those that a quarter, a half and three quarters of
  // the tokens stay below after the loops before the trained depth (differences: but the first),
  // to three digits. For tasks that score texts; others leave such a rule out.
  bool automatic = false;
};

struct TaskRunOptions {
  int64_t loops = 0;                    // fixed depths 1 .. loops
  std::vector<int64_t> generate_loops;  // of generating tasks, instead; each at least 1
  std::vector<ExitRequest> exits;
  std::vector<ExitRequest> generate_exits;
  QuestionLimits limits;
  OutcomeTableOptions table;
  bool category_intervals = false;
  int64_t requests_at_once = 64;  // of generation
  std::function<void(const std::string& what, double share)> progress{};
};

// What was written for one question under one setting.
struct SavedText {
  size_t question = 0;
  int64_t sample = 0;
  OrderedJson fields;
};

struct TaskResult {
  std::string name;
  std::string about;
  TaskKind kind = TaskKind::kMultipleChoice;
  OutcomeTable table;
  std::string category;  // field; empty: none
  std::vector<OutcomeCategory> categories;
  int64_t shots = 0;
  int64_t shortened = 0;                      // questions with fewer examples than that
  int64_t texts = 0;                          // scored, or written under one setting
  double seconds = 0;                         // of the model's work
  std::vector<std::vector<SavedText>> saved;  // of each setting; generating tasks only
};

// All texts of a task after each other, and which are question q's: from first[q] to first[q + 1].
struct ScoredTexts {
  std::vector<EvalExample> examples;
  std::vector<size_t> first;
};
ScoredTexts take_texts(TaskQuestions& questions);

// 1, 2, ..., loops
std::vector<int64_t> depths_to(int64_t loops);

// The settings of a table: fixed depths, then the rules. `scores` may be empty; automatic
// thresholds are then left out.
std::vector<DepthSetting> depth_settings(std::span<const int64_t> depths,
                                         const std::vector<ExitRequest>& exits,
                                         std::span<const DepthScores> scores,
                                         int64_t trained_loops);

// The figures of scored texts: `first_text` says which scores are question q's, and has one more
// element than there are questions.
Outcomes scored_outcomes(const Task& task, const TaskQuestions& questions,
                         std::span<const DepthScores> scores, std::span<const size_t> first_text,
                         const std::vector<DepthSetting>& settings, int64_t trained_loops);

// Of texts that are no task's, each for itself: their `nll` and `token_acc`, in this order.
Outcomes text_outcomes(std::span<const DepthScores> scores,
                       const std::vector<DepthSetting>& settings, int64_t trained_loops);

Result<TaskResult> run_task(Model& model, const Task& task, TaskQuestions questions,
                            const TaskRunOptions& options);
// The same with the questions of `options.limits`.
Result<TaskResult> run_task(Model& model, const Task& task, const TaskRunOptions& options);

// Of generating tasks, used by run_task(): fills the result's saved texts.
Result<Outcomes> generated_outcomes(Model& model, const Task& task, const TaskQuestions& questions,
                                    const std::vector<DepthSetting>& settings,
                                    const TaskRunOptions& options, TaskResult& result);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_RUN_H_
