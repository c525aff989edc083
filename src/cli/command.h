// How a subcommand joins the program: it declares its options on the app and hands over what to
// run.
#ifndef LOOPLM_CLI_COMMAND_H_
#define LOOPLM_CLI_COMMAND_H_

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "looplm/status.h"

namespace looplm::cli {

// Collects the one action that the command line selects.
class Program {
 public:
  explicit Program(CLI::App& app) : app_(app) {}

  CLI::App& app() { return app_; }

  // Runs `action` if `command` is the subcommand given. Options live in shared state captured by
  // the action.
  void on(CLI::App* command, std::function<Status()> action) {
    command->callback([this, action = std::move(action)] { action_ = action; });
  }
  Status run() { return action_ ? action_() : Status(); }

 private:
  CLI::App& app_;
  std::function<Status()> action_;
};

void add_run_command(Program& program);
void add_trace_command(Program& program);
void add_info_command(Program& program);
void add_init_command(Program& program);
void add_quantize_command(Program& program);
void add_compare_command(Program& program);
void add_data_command(Program& program);
void add_tokenizer_command(Program& program);
void add_train_command(Program& program);
void add_eval_command(Program& program);
void add_bench_command(Program& program);
void add_experiment_command(Program& program);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_COMMAND_H_
