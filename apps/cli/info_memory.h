// What `looplm info` says about memory.
#ifndef LOOPLM_CLI_INFO_MEMORY_H_
#define LOOPLM_CLI_INFO_MEMORY_H_

#include <cstdint>

#include "base/json.h"
#include "model/checkpoint.h"

namespace looplm::cli {

// `context`: tokens of a stream.
void print_memory(const Checkpoint& checkpoint, int64_t context);
// Adds the keys weight_bytes, kv_bytes and machine.
void add_memory(const Checkpoint& checkpoint, int64_t context, OrderedJson& json);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_INFO_MEMORY_H_
