// Subcommands of looplm bench that live in files of their own.
#ifndef LOOPLM_CLI_BENCH_H_
#define LOOPLM_CLI_BENCH_H_

#include "cli/commands.h"

namespace looplm::cli {

void add_bench_tokenizer(Program& program, Command& bench);
void add_bench_decode(Program& program, Command& bench);
void add_bench_speculate(Program& program, Command& bench);
void add_bench_support(Program& program, Command& bench);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_BENCH_H_
