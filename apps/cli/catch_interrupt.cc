#include "cli/catch_interrupt.h"

#include <atomic>
#include <csignal>

namespace looplm::cli {
namespace {

std::atomic<bool> caught{false};
struct sigaction before {};

void on_first(int signal) {
  if (caught.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}
void on_any(int) { caught = true; }

}  // namespace

CatchInterrupt::CatchInterrupt(Second second) {
  caught = false;
  struct sigaction action {};
  action.sa_handler = second == Second::kEndsProgram ? on_first : on_any;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // without SA_RESTART: a read that waits ends with EINTR
  sigaction(SIGINT, &action, &before);
}

CatchInterrupt::~CatchInterrupt() { sigaction(SIGINT, &before, nullptr); }

bool CatchInterrupt::interrupted() { return caught.load(); }

}  // namespace looplm::cli
