// Wall time in seconds from a monotonic clock.
#ifndef LOOPLM_BASE_TIMER_H_
#define LOOPLM_BASE_TIMER_H_

#include <chrono>

namespace looplm {

class Timer {
 public:
  Timer() : start_(Clock::now()) {}
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

}  // namespace looplm

#endif  // LOOPLM_BASE_TIMER_H_
