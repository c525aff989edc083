// looplm experiment: hands over to the program looplm-experiment, as git does with its subcommands.
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands.h"
#include "common/project_files.h"

namespace looplm::cli {
namespace {

constexpr char kProgram[] = "looplm-experiment";

// Returns only when the program could not be started.
Status hand_over(const std::vector<std::string>& arguments) {
  std::string name = kProgram;
  std::vector<char*> argv = {name.data()};
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const std::string beside = program_directory() + "/" + name;
  execv(beside.c_str(), argv.data());
  if (errno == ENOENT) execvp(name.c_str(), argv.data());
  if (errno == ENOENT) {
    return not_found(
        fmt::format("the studies are a program of their own, {}, and it is neither at '{}' nor on "
                    "the PATH. Build it with 'make experiment', or install the package {}",
                    name, beside, name));
  }
  return io_error(fmt::format("cannot start {}: {}", name, std::strerror(errno)));
}

}  // namespace

void add_experiment_command(Program& program) {
  Command* experiment = program.app().add_subcommand(
      "experiment", "The paper's studies (a program of its own): list, run, report");
  experiment->take_everything();
  program.on(experiment, [experiment] { return hand_over(experiment->everything()); });
}

}  // namespace looplm::cli
