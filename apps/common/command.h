// How a subcommand joins the program: it declares its options on the app and hands over what to
// run.
#ifndef LOOPLM_COMMON_COMMAND_H_
#define LOOPLM_COMMON_COMMAND_H_

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

struct ProgramText {
  std::string name;   // as typed
  std::string about;  // one sentence for --help
};

// The main function of a program with subcommands: parses the command line, runs the selected
// action, and reports its error. Returns the exit status.
int run_program(const ProgramText& text, int argc, char** argv,
                const std::function<void(Program&)>& add_commands);

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_COMMAND_H_
