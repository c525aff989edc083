// looplm: one program for looped language models. Each subcommand is a file of its own.
#include "cli/commands.h"

int main(int argc, char** argv) {
  using namespace looplm::cli;  // NOLINT(google-build-using-namespace): this file is the program
  return run_program(
      {.name = "looplm", .about = "Runs, serves, trains and studies looped language models."}, argc,
      argv, [](Program& program) {
        program.app().heading("Run a model");
        add_run_command(program);
        add_chat_command(program);
        add_serve_command(program);
        add_trace_command(program);
        program.app().heading("Get, inspect and convert models");
        add_pull_command(program);
        add_list_command(program);
        add_rm_command(program);
        add_info_command(program);
        add_quantize_command(program);
        add_export_command(program);
        program.app().heading("Train");
        add_data_command(program);
        add_tokenizer_command(program);
        add_init_command(program);
        add_train_command(program);
        add_merge_command(program);
        program.app().heading("Measure");
        add_eval_command(program);
        add_tune_command(program);
        add_compare_command(program);
        add_bench_command(program);
        add_experiment_command(program);
      });
}
