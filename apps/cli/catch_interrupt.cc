#include "cli/catch_interrupt.h"

#include <array>
#include <atomic>

#include <fcntl.h>
#include <unistd.h>

namespace looplm::cli {
namespace {

std::atomic<bool> caught{false};
std::array<int, 2> wake_pipe = {-1, -1};

void on_any(int /*signal*/) {
  caught = true;
  [[maybe_unused]] const ssize_t written = ::write(wake_pipe[1], "!", 1);
}
void on_first(int signal) {
  if (caught.load()) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  on_any(signal);
}

}  // namespace

CatchInterrupt::CatchInterrupt(Second second) {
  if (wake_pipe[0] < 0 && ::pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    wake_pipe = {-1, -1};
  }
  char old = 0;
  while (::read(wake_pipe[0], &old, 1) == 1) {
  }
  caught = false;
  struct sigaction action {};
  action.sa_handler = second == Second::kEndsProgram ? on_first : on_any;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // without SA_RESTART: a read that waits ends with EINTR
  sigaction(SIGINT, &action, &before_);
}

CatchInterrupt::~CatchInterrupt() { sigaction(SIGINT, &before_, nullptr); }

bool CatchInterrupt::interrupted() { return caught.load(); }

int CatchInterrupt::descriptor() { return wake_pipe[0]; }

}  // namespace looplm::cli
