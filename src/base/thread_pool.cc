#include "base/thread_pool.h"

#include <chrono>
#include <cstddef>
#include <limits>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace looplm {
namespace {

// Longer than the serial gaps between the kernels of one pass, short enough that an idle program
// uses no processor.
constexpr auto kSpinTime = std::chrono::microseconds(60);
constexpr int kLowerHalf = 32;

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

// Waits briefly for done() and says whether it came true. To give way costs a turn when the
// processor is shared, and the work of a region is then late by as much; so only threads that
// outnumber the processors do, since one of them may be the very thread that is waited for.
template <typename Done>
bool spin_until(int threads, Done done) {
  static const auto processors = static_cast<int>(std::thread::hardware_concurrency());
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  while (true) {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause_briefly();
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (threads > processors) std::this_thread::yield();
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  LOOPLM_CHECK(threads >= 1, "thread count {}", threads);
  workers_.reserve(threads - 1);
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i, threads] { worker_main(i, threads); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, Trampoline call, void* context) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) call(context, i, 0);
    return;
  }
  LOOPLM_CHECK(count <= std::numeric_limits<uint32_t>::max(), "{} tasks", count);
  thread_local const bool asked = (ask_for_short_turns(), true);
  static_cast<void>(asked);
  const auto tasks = static_cast<uint32_t>(count);
  call_ = call;
  context_ = context;
  count_ = count;
  failed_.store(false, std::memory_order_relaxed);
  unfinished_.store(tasks, std::memory_order_relaxed);
  const uint32_t region = region_.load(std::memory_order_relaxed) + 1;
  unclaimed_.store(uint64_t{region} << kLowerHalf | tasks, std::memory_order_release);
  region_.store(region, std::memory_order_release);
  region_.notify_all();
  work_on_tasks(0);
  const auto all_finished = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  while (!spin_until(size(), all_finished)) {
    const uint32_t unfinished = unfinished_.load(std::memory_order_acquire);
    if (unfinished != 0) unfinished_.wait(unfinished, std::memory_order_acquire);
  }
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
  for (int64_t index = 0; claim(&index); ++claimed) {
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
  const bool last = unfinished_.fetch_sub(claimed, std::memory_order_acq_rel) == claimed;
  if (last && thread != 0) unfinished_.notify_one();
}

void ThreadPool::worker_main(int thread, int threads) {
  ask_for_short_turns();
  uint32_t seen = 0;
  while (true) {
    const auto changed = [&] { return region_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(threads, changed)) region_.wait(seen, std::memory_order_acquire);
    seen = region_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    work_on_tasks(thread);
  }
}

}  // namespace looplm
