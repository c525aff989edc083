// looplm eval: quality at every depth and under every exit rule.
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/eval_tasks.h"
#include "cli/model_choice.h"

namespace looplm::cli {

void add_eval_command(Program& program) {
  struct Choice : EvalOptions {
    bool list = false;
  };
  auto o = std::make_shared<Choice>();
  o->exits = {"q:0.1,0.3,0.5,0.7,0.9", "difference:auto", "margin:0.5,0.9", "entropy:1,0.3"};
  Command* command = program.app().add_subcommand(
      "eval",
      "Measure a model after every loop and under exit rules: on tasks, or the loss on a file");
  add_model_argument(*command, o->model.directory)->check(not_a_task());
  command->validate_positionals();
  Option* tasks = command->add_option("TASK", o->tasks,
                                      "Names of shipped tasks (--list), or .yaml files "
                                      "(docs/evaluation.md)");
  command->add_flag("--list", o->list, "List the shipped tasks");
  Option* data =
      command
          ->add_option("--data", o->data,
                       "Instead of tasks: a .jsonl file of 'text', 'prompt' and 'completion', "
                       "'turns' of these, chats ('messages'), or 'prompt_ids' and "
                       "'completion_ids', or a token shard; prompts are not scored")
          ->excludes(tasks);
  Option* data_dir =
      command->add_option("--data-dir", o->data_folder,
                          "Folder of the files that tasks name (default: beside the task)");
  command->add_option("--loops", o->loops, "Loops to run (0: twice as many as config.json says)")
      ->check(range(int64_t{0}, kMaxLoops))
      ->capture_default_str();
  Option* exit = command->add_option(
      "--exit", o->exits,
      "Tasks: exit rules and thresholds, RULE:X,Y or RULE:auto; rules are q, difference, relative, "
      "margin, entropy (default: " +
          fmt::format("{}", fmt::join(o->exits, " ")) + ")");
  Option* generate_loops =
      command
          ->add_option(
              "--generate-loops", o->generate_loops,
              "Fixed depths at which generating tasks run, such as 1,2,4; each is a run of its "
              "own (default: all up to --loops)")
          ->delimiter(',')
          ->check(range(int64_t{1}, kMaxLoops));
  Option* generate_exit = command->add_option(
      "--generate-exit", o->generate_exits,
      "Exit rules under which generating tasks run; each threshold is a run of its own "
      "(default: none)");
  Option* thresholds =
      command
          ->add_option("--thresholds", o->thresholds,
                       "With --data: thresholds of the exit rule q, such as 0.3,0.7")
          ->delimiter(',')
          ->check(range(0.0, 1.0))
          ->needs(data)
          ->capture_default_str();
  // Values of one are joined by commas, so that names of tasks may follow.
  for (Option* list : {exit, generate_loops, generate_exit, thresholds}) {
    list->take_all()->allow_extra_args(false);
  }
  command->add_option("--by", o->by, "With --data: also show accuracy for each value of this field")
      ->needs(data);
  command->add_option("--limit", o->limit, "Maximum number of questions of each task (0: all)")
      ->check(not_negative("all"))
      ->capture_default_str();
  command->add_option("--resamples", o->resamples, "Bootstrap resamples for the 95% intervals")
      ->check(range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  add_weight_options(*command, o->model);
  Option* json = command->add_flag("--json", o->json, "Print one JSON object");
  Option* csv = command->add_flag("--csv", o->csv, "Tasks: print CSV")->excludes(json);
  command->add_flag("--markdown", o->markdown, "Print Markdown")->excludes(json)->excludes(csv);
  Option* html =
      command->add_option("--html", o->html, "Tasks: also write a report with plots to this file");
  Option* save = command->add_option(
      "--save", o->save, "Generating tasks: write what the model wrote into this folder");
  for (Option* of_tasks : {data_dir, exit, generate_loops, generate_exit, csv, html, save}) {
    of_tasks->excludes(data);
  }
  program.on(command, [o]() -> Status {
    if (o->list) return list_tasks();
    if (!o->data.empty()) return eval_data(*o);
    if (o->tasks.empty()) {
      return invalid_argument(fmt::format(
          "nothing to measure: name tasks after the model ('looplm eval {} sums'; --list names "
          "them), or a file with --data",
          o->model.directory.empty() ? "DIR" : o->model.directory));
    }
    return eval_tasks(*o);
  });
}

}  // namespace looplm::cli
