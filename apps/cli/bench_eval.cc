// looplm bench eval: a task's questions scored together, question by question, and text by text.
#include <memory>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/timer.h"
#include "cli/bench.h"
#include "cli/bench_model.h"
#include "cli/depth_choice.h"
#include "cli/eval_tasks.h"
#include "cli/model_choice.h"
#include "eval/depth_scores.h"
#include "eval/task_questions.h"

namespace looplm::cli {
namespace {

struct EvalBenchOptions {
  ModelChoice model;
  std::string task;
  std::string data_folder;
  std::string output = "table";
  int64_t loops = 0;
  int64_t limit = 100;
  int64_t rounds = 3;
};

// How many texts of the task one call scores.
enum class Together { kAll, kQuestion, kText };

// All texts, `together` at a time.
Status score(Model& model, const std::vector<EvalExample>& texts, const std::vector<size_t>& first,
             Together together, int64_t loops) {
  const std::span<const EvalExample> all(texts);
  if (together == Together::kAll) return score_depths(model, all, loops).status();
  for (size_t q = 0; q + 1 < first.size(); ++q) {
    const auto own = all.subspan(first[q], first[q + 1] - first[q]);
    if (together == Together::kQuestion) {
      LOOPLM_RETURN_IF_ERROR(score_depths(model, own, loops).status());
      continue;
    }
    for (const EvalExample& text : own) {
      LOOPLM_RETURN_IF_ERROR(score_depths(model, text, loops).status());
    }
  }
  return {};
}

Status bench_eval(EvalBenchOptions o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_task(o.task));
  LOOPLM_ASSIGN_OR_RETURN(const Task task, read_task(path));
  if (task.kind == TaskKind::kGenerate) {
    return invalid_argument(fmt::format("{} generates; expected a task that scores texts", path));
  }
  LOOPLM_ASSIGN_OR_RETURN(o.model.directory, locate_model(o.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(o.model.directory, o.model.options()));
  LOOPLM_ASSIGN_OR_RETURN(
      const TaskQuestions questions,
      task_questions(task, *model, {.questions = o.limit, .folder = {o.data_folder}}));
  std::vector<EvalExample> texts;
  std::vector<size_t> first = {0};
  double tokens = 0;
  for (const TaskQuestion& q : questions.questions) {
    for (const ScoredText& t : q.texts) {
      texts.push_back(t.example);
      tokens += static_cast<double>(t.example.ids.size() - 1);
    }
    first.push_back(texts.size());
  }
  const int64_t loops = o.loops == 0 ? model->config().loops : o.loops;
  constexpr std::pair<Together, const char*> kWays[] = {
      {Together::kText, "text by text"},
      {Together::kQuestion, "question by question"},
      {Together::kAll, "together"}};
  std::vector<double> seconds[3];
  for (int64_t round = 0; round < o.rounds; ++round) {
    for (size_t w = 0; w < 3; ++w) {
      Timer timer;
      LOOPLM_RETURN_IF_ERROR(score(*model, texts, first, kWays[w].first, loops));
      seconds[w].push_back(timer.seconds());
    }
  }
  BenchTable table(o.output);
  const auto count = static_cast<double>(questions.questions.size());
  table.title(
      fmt::format("{} on {}: {}, {}, {:.0f} tokens each with its prompt, {}; medians of {}",
                  o.model.directory, task.name, count_text(questions.questions.size(), "question"),
                  count_text(texts.size(), "text"), tokens / static_cast<double>(texts.size()),
                  count_text(loops, "loop"), count_text(o.rounds, "interleaved round")));
  for (size_t w = 0; w < 3; ++w) {
    const double median = median_of(seconds[w]);
    OrderedJson row;
    row["scored"] = kWays[w].second;
    row["seconds"] = median;
    row["questions/s"] = count / median;
    row["faster"] = median_of(seconds[0]) / median;
    table.add(std::move(row));
  }
  table.print();
  return {};
}

}  // namespace

void add_bench_eval(Program& program, Command& bench) {
  auto o = std::make_shared<EvalBenchOptions>();
  Command* command = bench.add_subcommand(
      "eval", "Speed of scoring a task: all questions together, one by one, and text by text");
  command->add_option("DIR", o->model.directory, "Model directory or GGUF file")->required();
  command->add_option("TASK", o->task, "Name of a shipped task that scores texts, or a .yaml file")
      ->required();
  command->add_option("--data-dir", o->data_folder, "Folder of the task's files");
  add_loops_option(*command, o->loops);
  command->add_option("--limit", o->limit, "Questions")->check(positive())->capture_default_str();
  command->add_option("--rounds", o->rounds, "Rounds to take the median of")
      ->check(range(1, 1000))
      ->capture_default_str();
  add_format_option(*command, o->output);
  add_weight_options(*command, o->model);
  program.on(command, [o] { return bench_eval(*o); });
}

}  // namespace looplm::cli
