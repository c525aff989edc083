// Ctrl-C while an answer is written ends the answer.
#ifndef LOOPLM_CLI_CATCH_INTERRUPT_H_
#define LOOPLM_CLI_CATCH_INTERRUPT_H_

namespace looplm::cli {

// While it lives, the first SIGINT only makes interrupted() true and ends a read that waits.
class CatchInterrupt {
 public:
  // What the second SIGINT does.
  enum class Second { kEndsProgram, kIsIgnored };
  explicit CatchInterrupt(Second second = Second::kEndsProgram);
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  CatchInterrupt& operator=(const CatchInterrupt&) = delete;

  static bool interrupted();
};

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_CATCH_INTERRUPT_H_
