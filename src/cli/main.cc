// looplm: one program for looped language models. Each subcommand is a file of its own.
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "cli/command.h"

namespace {

constexpr int kExitFailure = 1;

int report(const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "looplm: %s\n", message.c_str());
  return kExitFailure;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs, trains and studies looped language models.", "looplm");
  app.set_version_flag("--version", "looplm " LOOPLM_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  looplm::cli::Program program(app);
  looplm::cli::add_run_command(program);
  looplm::cli::add_trace_command(program);
  looplm::cli::add_info_command(program);
  looplm::cli::add_init_command(program);
  looplm::cli::add_quantize_command(program);
  looplm::cli::add_compare_command(program);
  looplm::cli::add_data_command(program);
  looplm::cli::add_tokenizer_command(program);
  looplm::cli::add_train_command(program);
  looplm::cli::add_eval_command(program);
  looplm::cli::add_bench_command(program);
  looplm::cli::add_experiment_command(program);
  try {
    CLI11_PARSE(app, argc, argv);
    const looplm::Status status = program.run();
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
