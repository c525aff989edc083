#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstddef>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

#include <fmt/format.h>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace looplm {
namespace {

using Clock = std::chrono::steady_clock;

// Longer than the serial gaps between the kernels of one pass, short enough that an idle program
// uses no processor.
constexpr auto kSpinTime = std::chrono::microseconds(60);
constexpr int kLowerHalf = 32;
// In a word on which threads sleep: some do, so whoever changes it wakes them.
constexpr uint32_t kAsleep = uint32_t{1} << 31;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Asks the system to run this thread in short turns: it gets no more of the processor, but more
// often. On a busy machine a region waits for whoever was put off inside a task, and a turn of
// the usual 3 ms is as long as a hundred regions. Linux follows this from 6.12 on. Where the
// system does not know it or forbids it, nothing changes.
void ask_for_short_turns() {
#if defined(__linux__) && defined(SYS_sched_setattr)
  struct Attributes {  // struct sched_attr of the kernel, which glibc 2.36 lacks
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t least_utilization, most_utilization;
  };
  constexpr uint32_t kOther = 0;
  constexpr uint64_t kResetOnFork = 1;
  constexpr uint64_t kTurnNanoseconds = 100'000;
  Attributes now{};
  if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0 || now.policy != kOther) return;
  now.runtime = kTurnNanoseconds;
  now.flags &= kResetOnFork;
  syscall(SYS_sched_setattr, 0, &now, 0);
#endif
}

// On a busy machine Linux takes a processor from a thread at the processor's next tick. A worker
// that began a task just before is put off inside it, and its region waits for milliseconds. So
// workers let ticks pass before they begin short tasks. Each processor has its ticks at times of
// its own; a thread that gave way learns them, since it is let in again at one.
class TickWatch {
 public:
  void gave_way(Clock::time_point from, Clock::time_point back) {
#if defined(__linux__)
    if (back - from < kTurn) return;
    tick_ = back;
    processor_ = sched_getcpu();
#endif
  }

  // Begins a region. False where nobody else has wanted the processor lately.
  bool is_busy() {
    began_ = {};
    return processor_ >= 0 && Clock::now() - tick_ < kStaysBusy;
  }

  void before_task() {
    auto now = Clock::now();
    if (began_ != Clock::time_point{} && now - began_ < kLongest) {
      task_ += (now - began_ - task_) / 16;
    }
    while (is_near(now)) {
      for (int i = 0; i < 16; ++i) pause_briefly();
      now = Clock::now();
    }
    began_ = now;
  }

 private:
  static constexpr auto kTurn = std::chrono::microseconds(300);  // away at least so long
  static constexpr auto kStaysBusy = std::chrono::milliseconds(50);
  static constexpr auto kLongest = std::chrono::milliseconds(1);  // else it was put off
  static constexpr auto kShort = std::chrono::microseconds(60);
  static constexpr auto kAlmost = std::chrono::microseconds(5);

  bool is_near(Clock::time_point now) const {
#if defined(__linux__)
    if (task_ > kShort) return false;
    const auto left = period() - (now - tick_) % period();
    return left < task_ + task_ / 2 + kAlmost && sched_getcpu() == processor_;
#else
    return false;
#endif
  }

#if defined(__linux__)
  static Clock::duration period() {
    static const Clock::duration ticks = [] {
      timespec t = {0, 4'000'000};
      clock_getres(CLOCK_MONOTONIC_COARSE, &t);
      return std::chrono::nanoseconds(std::max(t.tv_nsec, 1L));
    }();
    return ticks;
  }
#endif

  Clock::time_point tick_{};
  int processor_ = -1;
  Clock::time_point began_{};
  Clock::duration task_ = std::chrono::microseconds(20);
};
thread_local TickWatch tick_watch;

// Sleeps while the word has this value; may return early. std::atomic's wait() gives its turn away
// four times before it sleeps (libstdc++ 12). On a busy machine each takes milliseconds, and nobody
// wakes a thread that is not asleep.
void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr);
#else
  word.wait(value, std::memory_order_relaxed);
#endif
}

void wake_all(std::atomic<uint32_t>& word) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX);
#else
  word.notify_all();
#endif
}

// Waits briefly for done() and says whether it came true. To give way costs a turn when the
// processor is shared, and the work of a region is then late by as much; so only threads that
// outnumber the processors do, since one of them may be the very thread that is waited for.
template <typename Done>
bool spin_until(int threads, Done done) {
  static const auto processors = static_cast<int>(std::thread::hardware_concurrency());
  const auto deadline = Clock::now() + kSpinTime;
  while (true) {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause_briefly();
    }
    if (Clock::now() > deadline) return false;
    if (threads > processors) std::this_thread::yield();
  }
}

// Returns when done(the word without kAsleep), which sees what happened before. A thread gives way
// once before it sleeps. On a busy machine it is then back when it has earned a turn, and keeps
// what it has earned in its sleep. Who sleeps at once has often used up more than its share, and is
// not let in when it wakes.
template <typename Done>
void wait(std::atomic<uint32_t>& word, int threads, Done done) {
  const auto is_done = [&] { return done(word.load(std::memory_order_acquire) & ~kAsleep); };
  while (!spin_until(threads, is_done)) {
    const auto before = Clock::now();
    std::this_thread::yield();
    tick_watch.gave_way(before, Clock::now());
    uint32_t value = word.load(std::memory_order_acquire);
    if (done(value & ~kAsleep)) return;
    if (word.compare_exchange_strong(value, value | kAsleep, std::memory_order_relaxed)) {
      sleep_while(word, value | kAsleep);
    }
  }
}

void end_workers(std::atomic<bool>& stop, std::atomic<uint32_t>& region,
                 std::vector<std::thread>& workers) {
  stop.store(true, std::memory_order_relaxed);
  region.fetch_add(1, std::memory_order_release);
  wake_all(region);
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  LOOPLM_CHECK(threads >= 1, "thread count {}", threads);
  workers_.reserve(threads - 1);
  try {
    for (int i = 1; i < threads; ++i) {
      workers_.emplace_back([this, i, threads] { worker_main(i, threads); });
    }
  } catch (const std::system_error& error) {  // a limit of processes or of memory
    end_workers(stop_, region_, workers_);
    throw std::system_error(error.code(), fmt::format("cannot start {} threads", threads));
  }
}

ThreadPool::~ThreadPool() { end_workers(stop_, region_, workers_); }

void ThreadPool::run(int64_t count, Trampoline call, void* context) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) call(context, i, 0);
    return;
  }
  LOOPLM_CHECK(count < int64_t{kAsleep}, "{} tasks", count);
  thread_local const bool asked = (ask_for_short_turns(), true);
  static_cast<void>(asked);
  const auto tasks = static_cast<uint32_t>(count);
  call_ = call;
  context_ = context;
  count_ = count;
  failed_.store(false, std::memory_order_relaxed);
  unfinished_.store(tasks, std::memory_order_relaxed);
  const uint32_t region = (region_.load(std::memory_order_relaxed) + 1) & ~kAsleep;
  unclaimed_.store(uint64_t{region} << kLowerHalf | tasks, std::memory_order_release);
  if ((region_.exchange(region, std::memory_order_release) & kAsleep) != 0) wake_all(region_);
  work_on_tasks(0);
  wait(unfinished_, size(), [](uint32_t unfinished) { return unfinished == 0; });
  if (failed_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(error_mutex_);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

bool ThreadPool::claim(int64_t* index) {
  uint64_t now = unclaimed_.load(std::memory_order_relaxed);
  while (static_cast<uint32_t>(now) != 0) {
    if (unclaimed_.compare_exchange_weak(now, now - 1, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
      *index = count_ - static_cast<uint32_t>(now);
      return true;
    }
  }
  return false;
}

void ThreadPool::work_on_tasks(int thread) {
  uint32_t claimed = 0;
  const bool watches = thread != 0 && tick_watch.is_busy();
  for (int64_t index = 0;; ++claimed) {
    if (watches) tick_watch.before_task();
    if (!claim(&index)) break;
    if (failed_.load(std::memory_order_relaxed)) continue;
    try {
      call_(context_, index, thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }
  if (claimed == 0) return;
  const uint32_t before = unfinished_.fetch_sub(claimed, std::memory_order_acq_rel);
  if (before == (claimed | kAsleep)) wake_all(unfinished_);
}

void ThreadPool::worker_main(int thread, int threads) {
  ask_for_short_turns();
  uint32_t seen = 0;
  while (true) {
    wait(region_, threads, [seen](uint32_t region) { return region != seen; });
    seen = region_.load(std::memory_order_acquire) & ~kAsleep;
    if (stop_.load(std::memory_order_relaxed)) return;
    work_on_tasks(thread);
  }
}

}  // namespace looplm
