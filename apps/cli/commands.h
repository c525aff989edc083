// The subcommands of looplm; each stands in a file of its own.
#ifndef LOOPLM_CLI_COMMANDS_H_
#define LOOPLM_CLI_COMMANDS_H_

#include "common/command.h"

namespace looplm::cli {

void add_run_command(Program& program);
void add_chat_command(Program& program);
void add_serve_command(Program& program);
void add_pull_command(Program& program);
void add_list_command(Program& program);
void add_rm_command(Program& program);
void add_trace_command(Program& program);
void add_info_command(Program& program);
void add_init_command(Program& program);
void add_quantize_command(Program& program);
void add_merge_command(Program& program);
void add_export_command(Program& program);
void add_compare_command(Program& program);
void add_data_command(Program& program);
void add_tokenizer_command(Program& program);
void add_train_command(Program& program);
void add_eval_command(Program& program);
void add_tune_command(Program& program);
void add_bench_command(Program& program);
void add_experiment_command(Program& program);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_COMMANDS_H_
