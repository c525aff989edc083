#ifndef LOOPLM_CLI_CHAT_COMMAND_H_
#define LOOPLM_CLI_CHAT_COMMAND_H_

#include "common/command.h"

namespace looplm::cli {

void add_chat_command(Program& program);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_CHAT_COMMAND_H_
