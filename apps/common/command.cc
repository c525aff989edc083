#include "common/command.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <new>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>
#include <type_traits>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "common/nearest.h"
#include "common/terminal.h"

namespace looplm::cli {
namespace {

// CLI11's own says of a word that it is out of range.
template <typename T>
CLI::Validator number_between(T min, T max, const char* kind, const char* form) {
  const std::string least = fmt::format(fmt::runtime(form), min);
  const std::string most = fmt::format(fmt::runtime(form), max);
  return {[=](const std::string& text) {
            T value = 0;
            const bool good =
                CLI::detail::lexical_cast(text, value) && value >= min && value <= max;
            return good ? "" : fmt::format("'{}' is not {} from {} to {}", text, kind, least, most);
          },
          least + ".." + most};
}

}  // namespace

Check::Check(const CLI::Validator& validator)
    : validator_(std::make_shared<CLI::Validator>(validator)) {}

Check range(int64_t min, int64_t max) {
  return Check(number_between(min, max, "a whole number", "{}"));
}
Check range(double min, double max) { return Check(number_between(min, max, "a number", "{}")); }
Check one_of(const std::vector<std::string>& values) {
  return Check(CLI::Validator(
      [values](const std::string& text) {
        if (std::ranges::find(values, text) != values.end()) return std::string();
        return fmt::format("'{}' is not one of {}", text, CLI::detail::join(values, ", "));
      },
      "{" + CLI::detail::join(values, ",") + "}"));
}
Check read_by(std::function<Status(const std::string& value)> read, const std::string& name) {
  return Check(CLI::Validator(
      [read = std::move(read)](const std::string& value) {
        const Status status = read(value);
        return status.ok() ? std::string() : status.message();
      },
      name));
}
Check positive() { return Check(CLI::PositiveNumber); }
Check not_negative(const std::string& zero) {
  const std::string expected =
      "; expected 0 " + (zero.empty() ? zero : "(" + zero + ") ") + "or more";
  return Check(CLI::Validator(
      [expected](const std::string& text) {
        return text.starts_with('-') ? text + expected : std::string();
      },
      "0.."));
}

Option* Option::required() { return option_->required(), this; }
Option* Option::check(const Check& check) { return option_->check(*check.validator_), this; }
Option* Option::alone(const std::string& value) {
  return option_->expected(0, 1)->default_str(value), this;
}
Option* Option::environment(const std::string& variable) {
  return option_->envname(variable), this;
}
Option* Option::capture_default_str() { return option_->capture_default_str(), this; }
Option* Option::group(const std::string& name) { return option_->group(name), this; }
Option* Option::excludes(Option* other) { return option_->excludes(other->option_), this; }
Option* Option::needs(Option* other) { return option_->needs(other->option_), this; }
Option* Option::take_all() { return option_->take_all(), this; }
Option* Option::delimiter(char character) { return option_->delimiter(character), this; }
Option* Option::allow_extra_args(bool allow) { return option_->allow_extra_args(allow), this; }
bool Option::given() const { return option_->count() > 0; }

namespace {

// An option's type as CLI11 writes it, "INT:0..1024" or "TEXT:{a,b}", in two parts.
struct OptionType {
  explicit OptionType(const CLI::Option& option) : kind(option.get_type_name()) {
    const size_t colon = std::min(kind.find(':'), kind.size());
    check = kind.substr(std::min(colon + 1, kind.size()));
    kind.resize(colon);
  }
  std::string kind;
  std::string check;  // empty: any value of that kind
};

// CLI11's "Could not convert: --temp = x", in the words of our checks.
std::string with_kind(const CLI::Option& option, const std::string& message) {
  const std::string start = "Could not convert: " + option.get_name() + " = ";
  if (!message.starts_with(start)) return message;
  const std::string type = OptionType(option).kind;
  const char* kind = option.get_expected_max() == 0    ? "true or false"
                     : type == "INT" || type == "UINT" ? "a whole number"
                                                       : "a number";
  return fmt::format("{}: '{}' is not {}", option.get_name(), message.substr(start.size()), kind);
}

// Empty for text that is no number at all, which the conversion refuses.
std::string wrong_unsigned(const std::string& text) {
  errno = 0;
  std::strtoull(text.c_str(), nullptr, 0);
  if (errno == 0 && !text.starts_with('-')) return {};
  return text + "; expected a whole number from 0 to 18446744073709551615";
}
std::string wrong_signed(const std::string& text) {
  errno = 0;
  std::strtoll(text.c_str(), nullptr, 0);
  return errno == 0 ? "" : text + "; expected a whole number of 64 bits";
}

}  // namespace

Option* Command::keep(CLI::Option* option) {
  return options_.emplace_back(std::make_unique<Option>(option)).get();
}
Command* Command::add_subcommand(const std::string& name, const std::string& help) {
  CLI::App* app = app_.add_subcommand(name, help);
  app->group(heading_);
  // With one, CLI11 reads the environment only for the command that is given: a bad value of
  // another one's option fails nobody else.
  app->parse_complete_callback([] {});
  return commands_.emplace_back(std::make_unique<Command>(*app)).get();
}
template <typename T>
Option* Command::add_option(const std::string& name, T& value, const std::string& help) {
  CLI::Option* option = app_.add_option(name, value, help);
  // CLI11 reads -1 as 2^64 - 1, and a number that is too large as the largest one.
  if constexpr (std::is_same_v<T, uint64_t>) option->check(CLI::Validator(wrong_unsigned, ""));
  if constexpr (std::is_same_v<T, int64_t>) option->check(CLI::Validator(wrong_signed, ""));
  return keep(option);
}
Option* Command::add_choice(const std::string& name, const std::vector<std::string>& names,
                            const std::string& initial, std::function<void(size_t index)> choose,
                            const std::string& help) {
  const auto take = [names, choose = std::move(choose)](const std::string& given) {
    choose(static_cast<size_t>(std::ranges::find(names, given) - names.begin()));
  };
  CLI::Option* option = app_.add_option_function<std::string>(name, take, help);
  // GGUF writes BF16 where others write bf16.
  option->transform(CLI::Validator(
      [names](std::string& given) {
        const auto same =
            std::ranges::find(names, CLI::detail::to_lower(given),
                              [](const auto& one) { return CLI::detail::to_lower(one); });
        if (same != names.end()) given = *same;
        return std::string();
      },
      ""));
  return keep(option->default_str(initial))->check(one_of(names));
}
Option* Command::add_flag(const std::string& name, bool& value, const std::string& help) {
  return keep(app_.add_flag(name, value, help));
}
Option* Command::add_threads(int& value) {
  return add_option("--threads", value, "Threads (0: LOOPLM_THREADS, or all processors)")
      ->check(range(0, 1024))
      ->capture_default_str();
}
void Command::read_config(const std::string& name, const std::string& help) {
  // CLI11 2.1 reads the file of the program itself alone, not of its commands.
  const auto path = std::make_shared<std::string>();
  app_.add_option(name, *path, help);
  app_.parse_complete_callback([this, path] {
    if (!path->empty()) apply_config(*path);
  });
}
void Command::apply_config(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw CLI::FileError::Missing(path);
  if (is_directory(path)) {  // which opens like a file, and reads as an empty one
    throw CLI::ValidationError(path,
                               "is a directory; expected a file with lines such as port = 8080");
  }
  for (const CLI::ConfigItem& item : app_.get_config_formatter()->from_config(file)) {
    if (item.name == "++" || item.name == "--") continue;  // a section begins or ends
    const bool ours = item.parents.empty() || item.parents == std::vector{app_.get_name()};
    CLI::Option* option = ours ? app_.get_option_no_throw("--" + item.name) : nullptr;
    if (option == nullptr) {
      throw CLI::ValidationError(path, "'" + item.fullname() + "' is not an option of " +
                                           app_.get_name() +
                                           "; expected lines such as port = 8080");
    }
    if (option->count() > 0) continue;  // the command line and the environment come first
    try {
      for (const std::string& input : item.inputs) option->add_result(input);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw CLI::ValidationError(path, with_kind(*option, error.what()));
    }
  }
}
void Command::validate_positionals() { app_.validate_positionals(); }
void Command::require_subcommand() { app_.require_subcommand(1); }
void Command::take_everything() {
  app_.prefix_command();
  app_.set_help_flag();
}
std::vector<std::string> Command::everything() const { return app_.remaining(); }

#define LOOPLM_OPTION_TYPE(T) \
  template Option* Command::add_option<T>(const std::string&, T&, const std::string&)
LOOPLM_OPTION_TYPE(std::string);
LOOPLM_OPTION_TYPE(int);
LOOPLM_OPTION_TYPE(int64_t);
LOOPLM_OPTION_TYPE(uint64_t);
LOOPLM_OPTION_TYPE(float);
LOOPLM_OPTION_TYPE(double);
LOOPLM_OPTION_TYPE(std::optional<std::string>);
LOOPLM_OPTION_TYPE(std::optional<int64_t>);
LOOPLM_OPTION_TYPE(std::optional<double>);
LOOPLM_OPTION_TYPE(std::vector<std::string>);
LOOPLM_OPTION_TYPE(std::vector<int64_t>);
LOOPLM_OPTION_TYPE(std::vector<double>);
#undef LOOPLM_OPTION_TYPE

void Program::on(Command* command, std::function<Status()> action) {
  command->app_.callback([this, action = std::move(action)] { action_ = action; });
}

namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;       // CLI11 has a number of its own for each kind of mistake
constexpr size_t kHelpColumn = 34;  // where descriptions begin
constexpr size_t kHelpWidth = 100;

// Of the terminal, if that is narrower.
size_t help_width() {
  const size_t width = terminal_width();
  return width == 0 ? kHelpWidth : std::clamp(width, 2 * kHelpColumn, kHelpWidth);
}

// A description; CLI11 puts its lines below each other.
std::string folded_help(const std::string& text) {
  return CLI::detail::find_and_replace(folded(text, kHelpColumn, help_width()),
                                       '\n' + std::string(kHelpColumn, ' '), "\n");
}

std::string joined_names(const std::set<CLI::Option*>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const CLI::Option* option : options) names.push_back(option->get_name());
  std::ranges::sort(names);  // the set is in the order of addresses
  return CLI::detail::join(names, " ");
}

// What stands in brackets behind a description: "0 to 65535; default 8080; $LOOPLM_PORT".
std::string limits_and_default(const CLI::Option& option) {
  const std::string check = OptionType(option).check;
  const size_t dots = check.find("..");
  std::vector<std::string> parts;
  if (option.get_required()) parts.push_back("required");
  if (check == "POSITIVE") parts.push_back("above 0");
  if (dots != std::string::npos) {
    const std::string most = check.substr(dots + 2);
    parts.push_back(check.substr(0, dots) + (most.empty() ? " or more" : " to " + most));
  }
  std::string initial = option.get_default_str();
  if (initial.starts_with('[')) initial = initial.substr(1, initial.size() - 2);  // of a list
  if (!initial.empty()) parts.push_back("default " + initial);
  if (!option.get_envname().empty()) parts.push_back("$" + option.get_envname());
  if (!option.get_needs().empty()) parts.push_back("only with " + joined_names(option.get_needs()));
  if (!option.get_excludes().empty()) {
    parts.push_back("not with " + joined_names(option.get_excludes()));
  }
  return CLI::detail::join(parts, "; ");
}

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kHelpColumn); }
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    // CLI11 leaves two empty lines before a group of options.
    return CLI::detail::find_and_replace(CLI::Formatter::make_help(app, std::move(name), mode),
                                         "\n\n\n", "\n\n");
  }
  std::string make_description(const CLI::App* app) const override {
    return folded(app->get_description(), 0, help_width()) + "\n";
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    const OptionType type(*option);
    std::string value;
    if (option->get_type_size() != 0 && option->nonpositional()) {
      const bool choice = type.check.starts_with('{');
      value = choice ? type.check : type.kind == "INT" || type.kind == "UINT" ? "N" : type.kind;
      value = " " + value;
    }
    const bool list = option->get_expected_max() == CLI::detail::expected_max_vector_size;
    return value + (list ? " ..." : "");
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string limits = limits_and_default(*option);
    return folded_help(option->get_description() + (limits.empty() ? "" : " [" + limits + "]"));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    std::ostringstream out;
    CLI::detail::format_help(out, command->get_display_name(true),
                             folded_help(command->get_description()), kHelpColumn);
    return out.str();
  }
};

// Messages quote what files hold: names of any length, and characters that steer a terminal, which
// are shown by their numbers.
std::string fit_to_print(const std::string& message) {
  constexpr size_t kHead = 3000, kTail = 1000;  // of each message, in bytes
  std::string out;
  for (size_t i = 0; i < message.size(); ++i) {
    if (i == kHead && message.size() > kHead + kTail) {
      const size_t left_out = message.size() - kHead - kTail;
      out += " [... " + std::to_string(left_out) + " bytes ...] ";
      i += left_out;
    }
    const auto c = static_cast<unsigned char>(message[i]);
    const auto next = i + 1 < message.size() ? static_cast<unsigned char>(message[i + 1]) : 0;
    const bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F
    if ((c >= 0x20 && c != 0x7f && !c1) || c == '\n' || c == '\t') {
      out += message[i];
      continue;
    }
    const unsigned code = c1 ? next : c;
    out += c1 ? "\\u00" : "\\x";
    for (const unsigned digit : {code / 16, code % 16}) out += "0123456789abcdef"[digit];
    i += c1 ? 1 : 0;
  }
  return out;
}

int report(const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "looplm: %s\n", fit_to_print(message).c_str());
  return kExitFailure;
}

// The command that the arguments name.
const CLI::App& chosen(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

// Whether the arguments name a group of commands and none of it.
bool lacks_command(const CLI::App& app) {
  const CLI::App& command = chosen(app);
  return command.get_require_subcommand_min() > 0 && command.remaining().empty();
}

// Where `name` stands as a whole in `message`, else npos.
size_t place_of(const std::string& message, const std::string& name) {
  const size_t at = message.find(name);
  if (at == std::string::npos) return at;
  const char next = at + name.size() < message.size() ? message[at + name.size()] : ' ';
  return next == '-' || std::isalnum(static_cast<unsigned char>(next)) != 0 ? std::string::npos
                                                                            : at;
}

// An error of a value from the environment names its variable: "--port ($LOOPLM_PORT): ..." where
// it names the option, else "LOOPLM_MODEL: ..." where it quotes the value and no argument has it.
std::string with_variable(const CLI::App& app, std::string message,
                          const std::vector<std::string>& arguments) {
  for (const CLI::Option* option : chosen(app).get_options()) {
    const std::string& variable = option->get_envname();
    const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    const std::string name = option->get_name();
    const bool positional = !name.starts_with("--");
    // CLI11 gives a word that this argument refuses to the next one, so it may not have failed.
    const std::string refused = name + ": ";
    if (positional && message.starts_with(fmt::format("{}'{}'", refused, value))) {
      return variable + ": " + message.substr(refused.size());
    }
    bool given = false, has_value = false;  // by an argument
    for (const std::string& argument : arguments) {
      given |= !positional && argument.starts_with(name);
      has_value |= argument.find(value) != std::string::npos;
    }
    if (given) continue;
    const size_t at = positional ? std::string::npos : place_of(message, name);
    if (at != std::string::npos) return message.insert(at + name.size(), " ($" + variable + ")");
    const bool any_text = option->get_expected_max() > 0 && OptionType(*option).check.empty();
    if (any_text && !has_value && message.find(fmt::format("'{}'", value)) != std::string::npos) {
      return variable + ": " + message;
    }
  }
  return message;
}

// Those that options of the command and of its subcommands read.
void add_variables(const CLI::App& command, std::vector<std::string>& names) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_envname().empty()) names.push_back(option->get_envname());
  }
  for (const CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; })) {
    add_variables(*inner, names);
  }
}

// Names that nothing reads are no errors: for a service called looplm, Kubernetes sets
// LOOPLM_PORT_80_TCP and more.
void warn_of_mistyped_variables(const CLI::App& app) {
  // The library reads these, for all commands.
  std::vector<std::string> known = {"LOOPLM_ISA", "LOOPLM_THREADS"}, read = known;
  add_variables(app, known);
  add_variables(chosen(app), read);
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view whole = *variable;
    const std::string name(whole.substr(0, whole.find('=')));
    if (!name.starts_with("LOOPLM_") || std::ranges::find(known, name) != known.end()) continue;
    const std::string meant = nearest(name, read, edits_between);
    const bool is_short = name.size() <= sizeof("LOOPLM_HOST") - 1;  // HOME is no HOST
    if (meant.empty() || (is_short && edits_between(name, meant) > 1)) continue;
    report(fmt::format("nothing reads {}, which is in the environment; did you mean {}?", name,
                       meant));
  }
}

// The program and the command that the arguments name.
std::string named(const CLI::App& app) {
  const CLI::App* at = &app;
  std::string path = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  return path;
}

// What to say where the arguments name a command or an option that is not there; empty: they do
// not, or ask for help without it.
std::string unknown_name(const CLI::App& app, bool asks_for_help) {
  const CLI::App* at = &chosen(app);
  const std::string path = named(app);
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  if (rest.empty()) return {};
  std::string given = rest[0];
  std::vector<std::string> names;
  if (given.starts_with('-')) {
    if (asks_for_help) return {};
    given = given.substr(0, given.find('='));
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    const std::string meant = nearest(given, names);
    return "'" + path + "' has no option " + given + "; " +
           (meant.empty() ? path + " --help lists them" : "did you mean " + meant + "?");
  }
  for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (names.empty()) return {};
  const std::string meant = nearest(given, names);
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  return "there is no command '" + path + " " + given + "'; " +
         (meant.empty() ? "expected one of " + known : "did you mean '" + meant + "'?");
}

// Short output is written here at the latest, and a disk may be full.
int end_of_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  return report("standard output: not all of it could be written");
}

}  // namespace

int run_program(const ProgramText& text, int argc, char** argv,
                const std::function<void(Program&)>& add_commands) {
  // Who closes these would have other files of ours take their numbers, and get what is printed.
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) == -1) (void)::open("/dev/null", O_RDWR);
  }
  // A file that may not grow further is an error of its writer, who then tidies up.
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app(text.about, text.name);
  app.set_version_flag("--version", "looplm " LOOPLM_VERSION);
  app.require_subcommand(1);
  app.formatter(std::make_shared<HelpFormatter>());
  Program program(app);
  add_commands(program);
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const std::string first = arguments.empty() ? "" : arguments[0];
  if (first == "help" || first == "--help" || first == "-h") {  // as git has it
    if (arguments.size() == 2 && arguments[1] == "help") arguments.pop_back();
    std::rotate(arguments.begin(), arguments.begin() + 1, arguments.end());
    arguments.back() = "--help";
  }
  if (first == "--version") arguments.resize(1);
  std::ranges::reverse(arguments);  // as CLI11 takes them
  try {
    try {
      app.parse(std::vector(arguments));
    } catch (const CLI::ParseError& error) {
      const std::string unknown = unknown_name(app, error.get_exit_code() == 0);
      if (!unknown.empty()) {
        report(unknown);
      } else if (error.get_name() == "RequiredError" && lacks_command(app)) {
        std::fputs(app.help().c_str(), stderr);  // that name alone asks what it can do
      } else if (error.get_exit_code() == 0) {   // --help
        app.exit(error);
        return end_of_output();
      } else {
        std::string message = error.what();
        for (const CLI::Option* option : chosen(app).get_options()) {
          message = with_kind(*option, message);
        }
        report(fmt::format("{}; {} --help lists the options",
                           with_variable(app, std::move(message), arguments), named(app)));
      }
      return kExitUsage;
    }
    warn_of_mistyped_variables(app);
    const Status status = program.run();
    if (!status.ok()) return report(with_variable(app, status.message(), arguments));
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::system_error& error) {
    // fmt::print on a full disk or a closed pipe; else a thread that the system refuses
    const char* where = std::ferror(stdout) != 0 ? "standard output: " : "";
    return report(std::string(where) + error.what());
  } catch (const std::exception& error) {
    return report(std::string("internal error: ") + error.what());
  }
  return end_of_output();
}

}  // namespace looplm::cli
