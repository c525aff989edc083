// Stopping long commands in good order.
#ifndef LOOPLM_COMMON_INTERRUPT_H_
#define LOOPLM_COMMON_INTERRUPT_H_

#include <atomic>

namespace looplm::cli {

// A flag that the first SIGINT or SIGTERM sets, asking the work to save and stop; a second one ends
// the program at once.
const std::atomic<bool>& stop_on_interrupt();

}  // namespace looplm::cli

#endif  // LOOPLM_COMMON_INTERRUPT_H_
