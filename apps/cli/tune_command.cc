// looplm tune: the lowest mean depth that costs a task almost nothing.
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "base/count_text.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/eval_tasks.h"
#include "cli/model_choice.h"
#include "eval/tune_depth.h"
#include "infer/exit_rule.h"

namespace looplm::cli {
namespace {

struct TuneCommandOptions {
  ModelChoice model;
  std::string task;
  std::string exit = "q";
  double loss = 0.5;
  std::string data_folder;
  int64_t limit = 0;
  uint64_t seed = 1;
  bool dry_run = false;
};

Status tune(const TuneCommandOptions& o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string task_file, locate_task(o.task));
  LOOPLM_ASSIGN_OR_RETURN(const Task task, read_task(task_file));
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(o.model.directory));
  if (!o.dry_run) {
    const std::string folder = std::filesystem::path(tuned_depth_file(path)).parent_path();
    const Status writable = check_writable_directory(folder.empty() ? "." : folder);
    if (!writable.ok()) {
      return io_error(writable.message() +
                      "; --dry-run only prints, and a copy of the model can be tuned");
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(const auto model, Model::load(path, o.model.options()));
  TuneOptions options;
  LOOPLM_ASSIGN_OR_RETURN(options.kind, exit_kind_from_name(o.exit));
  if (options.kind == ExitKind::kFixed) {
    return invalid_argument("--exit is fixed; expected a rule that has a threshold");
  }
  options.allowed = o.loss;
  options.resampling.seed = o.seed;
  options.limits.questions = o.limit;
  options.limits.folder.directory = o.data_folder;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (terminal) {
    options.progress = [&](double share) {
      fmt::print(stderr, "\r\x1b[K{} {:3.0f}%", task.name, 100 * share);
      std::fflush(stderr);
    };
  }
  const Result<TuneResult> tuning = tune_depth(*model, task, options);
  if (terminal) fmt::print(stderr, "\r\x1b[K");
  LOOPLM_RETURN_IF_ERROR(tuning.status());
  const TuneResult& r = tuning.value();
  if (!r.tuned.has_value()) {
    return not_found(fmt::format(
        "no threshold of {} keeps the loss on '{}' within {:g}, with its 95% interval, over {}; "
        "more questions narrow the interval, --loss allows more",
        o.exit, task.name, o.loss, count_text(r.questions, "question")));
  }
  const TunedDepth& t = *r.tuned;
  fmt::print(
      "{} at threshold {:.4g}, chosen on {} of {}\n"
      "held out, {}:\n"
      "  mean depth  {:.2f} of {} ({:.0f}%)\n"
      "  {:<10}  {:.4f} with all loops, {:.4f} under the rule\n"
      "  loss        {:.2f} [{:.2f}, {:.2f}], 95% interval; {:g} allowed\n",
      exit_kind_name(t.kind), t.threshold, count_text(r.questions, "question"), task.name,
      count_text(r.held_out, "question"), t.mean_loops, count_text(t.loops, "loop"),
      100 * t.mean_loops / static_cast<double>(t.loops), t.metric, r.full, r.tuned_value, t.loss,
      t.loss_low, t.loss_high, t.allowed);
  if (o.dry_run) return {};
  LOOPLM_RETURN_IF_ERROR(add_tuned_depth(path, model->config(), t));
  fmt::print("written to {}; run, chat and serve use it from now on\n", tuned_depth_file(path));
  return {};
}

}  // namespace

void add_tune_command(Program& program) {
  auto o = std::make_shared<TuneCommandOptions>();
  Command* c = program.app().add_subcommand(
      "tune",
      "Find the lowest mean depth that costs a task almost nothing, and use it from then on");
  add_model_argument(*c, o->model.directory)->check(not_a_task());
  c->validate_positionals();
  c->add_option("TASK", o->task, "A shipped task that scores texts, or a .yaml file")->required();
  c->add_option("--exit", o->exit, "The rule: q, difference, relative, margin or entropy")
      ->check(read_by([](const std::string& name) { return exit_kind_from_name(name).status(); },
                      "{q,difference,relative,margin,entropy}"))
      ->capture_default_str();
  c->add_option("--loss", o->loss,
                "Loss allowed compared with all loops: in points of the task's first metric if "
                "that is a share, else in the metric's own unit")
      ->check(range(0.0, 1e6))
      ->capture_default_str();
  c->add_option("--data-dir", o->data_folder,
                "Folder of the files that the task names (default: beside the task)");
  c->add_option("--limit", o->limit, "Maximum number of questions (0: all)")
      ->check(not_negative())
      ->capture_default_str();
  c->add_option("--seed", o->seed, "Seed of the split into halves and of the bootstrap")
      ->check(not_negative())
      ->capture_default_str();
  c->add_flag("--dry-run", o->dry_run, "Only print the result; do not write it beside the model");
  add_weight_options(*c, o->model);
  program.on(c, [o] { return tune(*o); });
}

}  // namespace looplm::cli
