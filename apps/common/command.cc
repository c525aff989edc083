#include "common/command.h"

#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

namespace looplm::cli {
namespace {

constexpr int kExitFailure = 1;

int report(const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "looplm: %s\n", message.c_str());
  return kExitFailure;
}

}  // namespace

int run_program(const ProgramText& text, int argc, char** argv,
                const std::function<void(Program&)>& add_commands) {
  CLI::App app(text.about, text.name);
  app.set_version_flag("--version", "looplm " LOOPLM_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Program program(app);
  add_commands(program);
  try {
    CLI11_PARSE(app, argc, argv);
    const Status status = program.run();
    if (!status.ok()) return report(status.message());
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::system_error& error) {  // fmt::print on a full disk or a closed pipe
    return report(std::string("standard output: ") + error.what());
  } catch (const std::exception& error) {
    return report(std::string("internal error: ") + error.what());
  }
  return 0;
}

}  // namespace looplm::cli
