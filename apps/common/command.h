// Subcommands and their options, over CLI11. Its header and its templates take 4 to 12 seconds to
// compile in every file that sees them, so only command.cc does.
#ifndef LOOPLM_COMMON_COMMAND_H_
#define LOOPLM_COMMON_COMMAND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/named.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace looplm::cli {

// What the value of an option must be. Help shows it.
class Check {
 public:
  explicit Check(const CLI::Validator& validator);

 private:
  friend class Option;
  std::shared_ptr<const CLI::Validator> validator_;
};
Check range(int64_t min, int64_t max);
Check range(double min, double max);
inline Check range(int min, int max) { return range(int64_t{min}, int64_t{max}); }
Check one_of(const std::vector<std::string>& values);
// What `read` makes no error of; help calls it `name`.
Check read_by(std::function<Status(const std::string& value)> read, const std::string& name);
// `zero` says what 0 stands for, such as "all".
Check not_negative(const std::string& zero = "");
Check positive();

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option* required();
  Option* check(const Check& check);
  // Help shows the value that the variable has now.
  Option* capture_default_str();
  // The heading in help.
  Option* group(const std::string& name);
  Option* excludes(Option* other);
  Option* needs(Option* other);
  // A list may be mentioned more than once.
  Option* take_all();
  // A list may be one word, cut at this character.
  Option* delimiter(char character);
  // What it says when it stands alone, without a value.
  Option* alone(const std::string& value);
  // The environment variable that stands in for it.
  Option* environment(const std::string& variable);
  // False: each mention of a list takes one word, so that a positional argument may follow.
  Option* allow_extra_args(bool allow);
  // Whether the command line has it.
  bool given() const;

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App& app) : app_(app) {}

  Command* add_subcommand(const std::string& name, const std::string& help);
  // Under which help lists the subcommands that are added from now on.
  void heading(const std::string& text) { heading_ = text; }
  // T: std::string, int, int64_t, uint64_t, float, double; std::optional of string, int64_t,
  // double; std::vector of string, int64_t, double.
  template <typename T>
  Option* add_option(const std::string& name, T& value, const std::string& help);
  // One of the table's names. The table must live as long as the program.
  template <typename T, size_t kCount>
  Option* add_choice(const std::string& name, T& value, const NameTable<T, kCount>& table,
                     const std::string& help) {
    std::vector<std::string> names;
    names.reserve(kCount);
    for (const Named<T>& entry : table) names.push_back(entry.name);
    return add_choice(
        name, names, name_of(table, value), [&](size_t index) { value = table[index].value; },
        help);
  }
  // One of `names` in upper or lower case, the first time `initial`; `choose` hears the place of
  // the one given.
  Option* add_choice(const std::string& name, const std::vector<std::string>& names,
                     const std::string& initial, std::function<void(size_t index)> choose,
                     const std::string& help);
  Option* add_flag(const std::string& name, bool& value, const std::string& help);
  // --threads; 0 is what choose_thread_count makes of it.
  Option* add_threads(int& value);
  void require_subcommand();
  // A word that the check of one positional argument refuses is tried as the next one.
  void validate_positionals();
  // `name` takes a TOML file whose lines stand in for options that neither the command line nor the
  // environment gives.
  void read_config(const std::string& name, const std::string& help);
  // All that follows the command's name is for another program, --help too.
  void take_everything();
  std::vector<std::string> everything() const;

 private:
  friend class Program;
  Option* keep(CLI::Option* option);
  void apply_config(const std::string& path);

  CLI::App& app_;
  std::string heading_ = "Subcommands";
  std::vector<std::unique_ptr<Option>> options_;
  std::vector<std::unique_ptr<Command>> commands_;
};

// Collects the one action that the command line selects.
class Program {
 public:
  explicit Program(CLI::App& app) : root_(app) {}

  Command& app() { return root_; }

  // Runs `action` if `command` is the subcommand given. Options live in shared state captured by
  // the action.
  void on(Command* command, std::function<Status()> action);
  Status run() { return action_ ? action_() : Status(); }

 private:
  Command root_;
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
