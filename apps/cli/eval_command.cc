// looplm eval: quality at every depth, and at the gate's.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/eval_tasks.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "eval/depth_scores.h"
#include "eval/depth_table.h"
#include "eval/examples.h"
#include "eval/report.h"

namespace looplm::cli {
namespace {

struct EvalOptions {
  ModelChoice model;
  std::string data;
  int64_t loops = 0;
  std::vector<double> thresholds = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
  std::string by;
  int64_t limit = 0;
  int64_t resamples = 1000;
  bool json = false;
  bool markdown = false;
};

Result<std::vector<DepthScores>> score_all(Model& model, const std::vector<EvalExample>& examples,
                                           int64_t loops) {
  const bool show = isatty(STDERR_FILENO) != 0;
  ScoreOptions options;
  if (show) {
    options.progress = [](double share) { fmt::print(stderr, "\r{:3.0f}%", 100 * share); };
  }
  Result<std::vector<DepthScores>> scores = score_depths(model, examples, loops, options);
  if (show) fmt::print(stderr, "\r\x1b[K");
  return scores;
}

// A field's value as the name of its group; numbers in their order.
struct GroupKey {
  double number = 0;
  std::string text;
  auto operator<=>(const GroupKey&) const = default;
};

Result<std::vector<EvalGroup>> group(const std::string& field,
                                     const std::vector<EvalExample>& examples,
                                     const std::vector<DepthScores>& scores,
                                     const DepthTableOptions& options) {
  std::map<GroupKey, std::vector<DepthScores>> members;
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto value = examples[i].fields.find(field);
    if (value == examples[i].fields.end() || !(value->is_number() || value->is_string())) {
      return invalid_argument(
          fmt::format("--by {}: example {} has no number or string of this name", field, i + 1));
    }
    members[{value->is_number() ? value->get<double>() : 0.0,
             value->is_string() ? value->get<std::string>() : value->dump()}]
        .push_back(scores[i]);
  }
  std::vector<EvalGroup> groups;
  for (const auto& [key, list] : members) groups.push_back({key.text, depth_table(list, options)});
  return groups;
}

void print(const EvalOptions& options, const Model& model, const DepthTable& table,
           const std::vector<EvalGroup>& groups) {
  if (options.json) {
    OrderedJson json;
    json["model"] = model.name();
    json["data"] = options.data;
    json.update(depth_table_json(table));
    if (!groups.empty()) {
      json["by"] = options.by;
      for (const EvalGroup& g : groups) json["groups"][g.value] = depth_table_json(g.table);
    }
    fmt::print("{}\n", json_line(json));
    return;
  }
  fmt::print("{} on {}: {} examples, {} scored tokens{}\n\n", model.name(), options.data,
             table.examples, table.tokens,
             options.resamples > 0 ? "; 95% intervals in brackets" : "");
  fmt::print("{}", options.markdown ? depth_table_markdown(table) : depth_table_text(table));
  if (table.rows.back().threshold) {
    fmt::print(
        "\nq: exit at the first loop where the exit probabilities sum to the threshold. Gain: over "
        "a "
        "fixed depth of the same\nmean cost, linearly between whole loops; above 0 is better.\n");
  }
  if (!groups.empty()) {
    fmt::print("\nAccuracy after each loop, by {}:\n\n{}", options.by,
               group_table_text(options.by, groups,
                                options.markdown ? TableFormat::kMarkdown : TableFormat::kText));
  }
}

Status eval(EvalOptions options) {
  LOOPLM_ASSIGN_OR_RETURN(options.model.directory, locate_model(options.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(options.model.directory, options.model.options()));
  const ModelConfig& config = model->config();
  const int64_t loops = options.loops == 0 ? std::min(2 * config.loops, kMaxLoops) : options.loops;
  ExampleLimits limits;
  limits.vocab_size = config.vocab_size;
  limits.max_positions = config.max_positions;
  limits.examples = options.limit;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<EvalExample> examples,
                          read_examples(options.data, model->tokenizer(), limits));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                          score_all(*model, examples, std::max(loops, config.loops)));
  DepthTableOptions settings;
  settings.trained_loops = config.loops;
  settings.resamples = options.resamples;
  if (config.exit_gate && config.loops > 1) settings.thresholds = options.thresholds;
  std::vector<EvalGroup> groups;
  if (!options.by.empty()) {
    DepthTableOptions of_group = settings;
    of_group.resamples = options.json ? options.resamples : 0;
    LOOPLM_ASSIGN_OR_RETURN(groups, group(options.by, examples, scores, of_group));
  }
  print(options, *model, depth_table(scores, settings), groups);
  return {};
}

}  // namespace

void add_eval_command(Program& program) {
  struct Choice {
    EvalOptions data;
    EvalTasksOptions tasks;
    bool list = false;
  };
  auto o = std::make_shared<Choice>();
  o->tasks.exits = {"q:0.1,0.3,0.5,0.7,0.9", "difference:auto", "margin:0.5,0.9", "entropy:1,0.3"};
  CLI::App* command = program.app().add_subcommand(
      "eval",
      "Measure a model after every loop and under exit rules: on tasks, or the loss on a file");
  command->add_option(
      "DIR", o->data.model.directory,
      "Model directory or GGUF file (default: $LOOPLM_MODEL, else the bundled one)");
  CLI::Option* tasks = command->add_option("TASK", o->tasks.tasks,
                                           "Names of shipped tasks, or .yaml files "
                                           "(docs/evaluation.md)");
  command->add_flag("--list", o->list, "List the shipped tasks");
  CLI::Option* data =
      command
          ->add_option("--data", o->data.data,
                       "Instead of tasks: a .jsonl file of 'text', 'prompt' and 'completion', "
                       "'turns' of these, or 'prompt_ids' and 'completion_ids'; prompts are not "
                       "scored")
          ->excludes(tasks);
  CLI::Option* data_dir =
      command->add_option("--data-dir", o->tasks.data_folder,
                          "Folder of the files that tasks name (default: beside the task)");
  command
      ->add_option("--loops", o->data.loops,
                   "Loops to run (0: twice as many as the model was trained for)")
      ->check(CLI::Range(int64_t{0}, kMaxLoops))
      ->capture_default_str();
  CLI::Option* exit =
      command
          ->add_option("--exit", o->tasks.exits,
                       "Tasks: exit rules and thresholds, RULE:X,Y or RULE:auto; rules are q, "
                       "difference, relative, margin, entropy")
          ->capture_default_str();
  CLI::Option* generate_loops =
      command
          ->add_option(
              "--generate-loops", o->tasks.generate_loops,
              "Fixed depths at which generating tasks run, with commas; each is a run of its "
              "own (default: all up to --loops)")
          ->delimiter(',')
          ->check(CLI::Range(int64_t{1}, kMaxLoops));
  CLI::Option* generate_exit = command->add_option(
      "--generate-exit", o->tasks.generate_exits,
      "Exit rules under which generating tasks run; each threshold is a run of its own "
      "(default: none)");
  CLI::Option* thresholds =
      command
          ->add_option("--thresholds", o->data.thresholds,
                       "With --data: thresholds of q-exit, 0 to 1, with commas")
          ->delimiter(',')
          ->check(CLI::Range(0.0, 1.0))
          ->needs(data)
          ->capture_default_str();
  // Values of one are joined by commas, so that names of tasks may follow.
  for (CLI::Option* list : {exit, generate_loops, generate_exit, thresholds}) {
    list->take_all()->allow_extra_args(false);
  }
  command
      ->add_option("--by", o->data.by,
                   "With --data: also show accuracy for each value of this field")
      ->needs(data);
  command->add_option("--limit", o->data.limit, "Ask so many questions at most (0: all)")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text.starts_with('-') ? fmt::format("{}; expected 0 (all) or more", text)
                                         : std::string();
          },
          "NONNEGATIVE"))
      ->capture_default_str();
  command->add_option("--resamples", o->data.resamples, "Bootstrap resamples for the 95% intervals")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  add_weight_options(*command, o->data.model);
  CLI::Option* json = command->add_flag("--json", o->data.json, "Print one JSON object");
  CLI::Option* csv = command->add_flag("--csv", o->tasks.csv, "Tasks: print CSV")->excludes(json);
  command->add_flag("--markdown", o->data.markdown, "Print Markdown")
      ->excludes(json)
      ->excludes(csv);
  CLI::Option* html = command->add_option("--html", o->tasks.html,
                                          "Tasks: also write a report with plots to this file");
  CLI::Option* save = command->add_option(
      "--save", o->tasks.save, "Generating tasks: write what the model wrote into this folder");
  for (CLI::Option* of_tasks : {data_dir, exit, generate_loops, generate_exit, csv, html, save}) {
    of_tasks->excludes(data);
  }
  program.on(command, [o]() -> Status {
    if (o->list) return list_tasks();
    if (!o->data.data.empty()) return eval(o->data);
    if (o->tasks.tasks.empty()) {
      return invalid_argument(fmt::format(
          "nothing to measure: name tasks after the model ('looplm eval {} sums'; --list names "
          "them), or a file with --data",
          o->data.model.directory.empty() ? "DIR" : o->data.model.directory));
    }
    o->tasks.model = o->data.model;
    o->tasks.loops = o->data.loops;
    o->tasks.limit = o->data.limit;
    o->tasks.resamples = o->data.resamples;
    o->tasks.json = o->data.json;
    o->tasks.markdown = o->data.markdown;
    return eval_tasks(o->tasks);
  });
}

}  // namespace looplm::cli
