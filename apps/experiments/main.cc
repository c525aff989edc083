// looplm-experiment: the paper's studies, each one command. `looplm experiment` finds this program.
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/timer.h"
#include "common/command.h"
#include "common/duration_text.h"
#include "common/interrupt.h"
#include "common/project_files.h"
#include "common/terminal.h"
#include "experiments/core/runner.h"

namespace looplm::cli {
namespace {

Result<std::unique_ptr<Study>> find_study(const std::string& name) {
  std::string names;
  for (const StudyEntry& entry : all_studies()) {
    if (entry.name == name) return entry.make();
    names += (names.empty() ? "" : ", ") + entry.name;
  }
  return not_found(fmt::format("there is no study '{}'; expected one of {}", name, names));
}

Status list_studies() {
  for (const StudyEntry& entry : all_studies()) {
    fmt::print("{:<14} {}\n", entry.name, folded(entry.make()->question(), 15, terminal_width()));
  }
  return {};
}

// One line that is written over and over at a terminal; elsewhere a line at each cell's end and at
// least a minute apart.
class ProgressLine {
 public:
  void show(const StudyProgress& p) {
    const std::string left =
        p.seconds_left > 0 ? ", " + duration_text(p.seconds_left) + " left" : "";
    const std::string line = fmt::format("{:>3.0f}%  {}/{} cells{}  {}: {}", 100 * p.share,
                                         p.cells_done, p.cells, left, p.cell, p.note);
    if (terminal_) {
      fmt::print(stderr, "\r\x1b[K{}{}", line.substr(0, kWidth), p.cell_finished ? "\n" : "");
    } else if (p.cell_finished || timer_.seconds() - last_ >= kSecondsBetween) {
      fmt::print(stderr, "{}\n", line);
      last_ = timer_.seconds();
    }
    std::fflush(stderr);
  }
  void end() const {
    if (terminal_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  static constexpr size_t kWidth = 118;
  static constexpr double kSecondsBetween = 60;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const Timer timer_;
  double last_ = 0;
};

struct RunOptions {
  std::string study;
  std::string scale = "laptop";
  StudyRunOptions run;
};

Status run(RunOptions o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Study> study, find_study(o.study));
  Result<std::string> root = project_root();
  if (root.ok()) o.run.root = *root;
  if (o.run.settings_file.empty()) {
    LOOPLM_RETURN_IF_ERROR(root.status());
    o.run.settings_file = fmt::format("{}/studies/{}/{}.toml", o.run.root, o.study, o.scale);
  }
  if (o.run.out.empty()) o.run.out = fmt::format("runs/experiments/{}-{}", o.study, o.scale);
  o.run.stop = &stop_on_interrupt();
  ProgressLine line;
  o.run.progress = [&](const StudyProgress& p) { line.show(p); };
  const Status status = run_study(*study, o.run);
  line.end();
  if (status.ok()) fmt::print("{}/report.html\n", o.run.out);
  return status;
}

void add_run(Program& program, Command& experiment) {
  auto o = std::make_shared<RunOptions>();
  Command* command = experiment.add_subcommand(
      "run", "Run a study, or continue an interrupted run, and write its report");
  command->add_option("STUDY", o->study, "Name of the study, from `looplm experiment list`")
      ->required();
  Option* scale = command
                      ->add_option("--scale", o->scale,
                                   "laptop (two cores, up to an hour) or paper (its sizes)")
                      ->check(one_of({"laptop", "paper"}))
                      ->capture_default_str();
  command
      ->add_option("--settings", o->run.settings_file,
                   "Settings (TOML) instead of studies/STUDY/SCALE.toml")
      ->excludes(scale);
  command->add_option("--set", o->run.overrides, "Change a setting: --set steps=100");
  command->add_option("--out", o->run.out,
                      "Directory of the run (default: runs/experiments/STUDY-SCALE)");
  command->add_option("--jobs", o->run.jobs, "Cells of the study that run at the same time")
      ->check(range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--threads", o->run.threads,
                   "Threads for all cells together (0: all processors)")
      ->check(range(0, 1024))
      ->capture_default_str();
  program.on(command, [o] { return run(*o); });
}

struct ReportOptions {
  std::string study;
  std::string out;
};

Status report(ReportOptions o) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Study> study, find_study(o.study));
  Result<std::string> root = project_root();
  if (o.out.empty()) o.out = fmt::format("runs/experiments/{}-laptop", o.study);
  LOOPLM_RETURN_IF_ERROR(report_study(*study, o.out, root.ok() ? *root : ""));
  fmt::print("{}/report.html\n", o.out);
  return {};
}

void add_report(Program& program, Command& experiment) {
  auto o = std::make_shared<ReportOptions>();
  Command* command = experiment.add_subcommand(
      "report", "Write a finished run's report again, without running anything");
  command->add_option("STUDY", o->study, "Name of the study")->required();
  command->add_option("--out", o->out,
                      "Directory of the run (default: runs/experiments/STUDY-laptop)");
  program.on(command, [o] { return report(*o); });
}

}  // namespace
}  // namespace looplm::cli

int main(int argc, char** argv) {
  using namespace looplm::cli;  // NOLINT(google-build-using-namespace): this file is the program
  return run_program({.name = "looplm experiment",
                      .about = "The paper's studies: run one, with its report and figures"},
                     argc, argv, [](Program& program) {
                       Command* list =
                           program.app().add_subcommand("list", "The studies and their questions");
                       program.on(list, list_studies);
                       add_run(program, program.app());
                       add_report(program, program.app());
                     });
}
