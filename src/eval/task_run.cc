#include "eval/task_run.h"

#include <fmt/format.h>

#include "base/timer.h"

namespace looplm {
namespace {

Result<Outcomes> run_scored(Model& model, const Task& task, TaskQuestions& questions,
                            const TaskRunOptions& options, TaskResult& result) {
  const int64_t trained = model.config().loops;
  const ScoredTexts texts = take_texts(questions);
  ScoreOptions score;
  if (options.progress) {
    score.progress = [&](double share) { options.progress(task.name, share); };
  }
  Timer timer;
  LOOPLM_ASSIGN_OR_RETURN(
      const std::vector<DepthScores> scores,
      score_depths(model, texts.examples, std::max(options.loops, trained), score));
  result.seconds = timer.seconds();
  result.texts = static_cast<int64_t>(texts.examples.size());
  const std::vector<DepthSetting> settings =
      depth_settings(depths_to(options.loops), options.exits, scores, trained);
  return scored_outcomes(task, questions, scores, texts.first, settings, trained);
}

}  // namespace

ScoredTexts take_texts(TaskQuestions& questions) {
  ScoredTexts texts;
  for (TaskQuestion& q : questions.questions) {
    texts.first.push_back(texts.examples.size());
    for (ScoredText& t : q.texts) texts.examples.push_back(std::move(t.example));
  }
  texts.first.push_back(texts.examples.size());
  return texts;
}

Result<TaskResult> run_task(Model& model, const Task& task, const TaskRunOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(TaskQuestions questions, task_questions(task, model, options.limits));
  return run_task(model, task, std::move(questions), options);
}

Result<TaskResult> run_task(Model& model, const Task& task, TaskQuestions questions,
                            const TaskRunOptions& options) {
  TaskResult result;
  result.name = task.name;
  result.about = task.about;
  result.kind = task.kind;
  result.category = task.category;
  result.shots = task.few_shot.count;
  result.shortened = questions.shortened;
  std::optional<Outcomes> outcomes;
  if (task.kind == TaskKind::kGenerate) {
    const std::vector<DepthSetting> settings =
        depth_settings(options.generate_loops, options.generate_exits, {}, model.config().loops);
    LOOPLM_ASSIGN_OR_RETURN(outcomes,
                            generated_outcomes(model, task, questions, settings, options, result));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(outcomes, run_scored(model, task, questions, options, result));
  }
  if (options.progress) options.progress(task.name + ": intervals", 1);
  OutcomeTableOptions table = options.table;
  table.trained_loops = model.config().loops;
  result.table = outcome_table(*outcomes, table);
  if (!task.category.empty()) {
    if (!options.category_intervals) table.resamples = 0;
    std::vector<std::string> categories;
    for (const TaskQuestion& q : questions.questions) categories.push_back(q.category);
    result.categories = outcome_categories(*outcomes, categories, table);
  }
  return result;
}

}  // namespace looplm
