// How much memory this machine has for a process.
#ifndef LOOPLM_BASE_MEMORY_H_
#define LOOPLM_BASE_MEMORY_H_

#include <cstdint>
#include <string>

#include "looplm/status.h"

namespace looplm {

struct MachineMemory {
  uint64_t total = 0;  // or the limit of the container, if that is less
  uint64_t free = 0;   // without swapping; caches that the system can drop count as free
  uint64_t swap = 0;   // of the whole machine; a container is not counted as having any
  // A tenth is left to the system and to what else runs.
  uint64_t usable() const { return total / 10 * 9; }
};

// Reads /proc/meminfo and the control group's memory.max. An error where the system has no such
// files.
Result<MachineMemory> machine_memory();

// The same from the texts of /proc/meminfo, memory.max and memory.current; the latter two are empty
// where there is no control group, and memory.max may be "max".
Result<MachineMemory> machine_memory_of(const std::string& meminfo, const std::string& limit,
                                        const std::string& used);

}  // namespace looplm

#endif  // LOOPLM_BASE_MEMORY_H_
