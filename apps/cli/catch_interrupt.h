// Ctrl-C while an answer is written ends the answer.
#ifndef LOOPLM_CLI_CATCH_INTERRUPT_H_
#define LOOPLM_CLI_CATCH_INTERRUPT_H_

#include <csignal>

namespace looplm::cli {

// While it lives, the first SIGINT only makes interrupted() true and ends a read that waits. They
// nest; each begins without an interrupt.
class CatchInterrupt {
 public:
  // What the second SIGINT does.
  enum class Second { kEndsProgram, kIsIgnored };
  explicit CatchInterrupt(Second second = Second::kEndsProgram);
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  CatchInterrupt& operator=(const CatchInterrupt&) = delete;

  static bool interrupted();
  // A file descriptor that can be read once interrupted() is true: poll() it beside what is waited
  // for, since a signal that comes just before a read would not end that read.
  static int descriptor();

 private:
  struct sigaction before_ {};
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_CATCH_INTERRUPT_H_
