#include "base/thread_pool.h"

#include <chrono>
#include <utility>

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace looplm {
namespace {

constexpr uint64_t kStop = ~uint64_t{0};
// Longer than the serial gaps between the kernels of one pass, short enough that an idle program
// uses no processor.
constexpr auto kSpinTime = std::chrono::microseconds(60);

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Spins until done() or the spin time is over; says which.
template <typename Done>
bool spin_until(Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  while (true) {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause_briefly();
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  LOOPLM_CHECK(threads >= 1, "thread count {}", threads);
  workers_.reserve(threads - 1);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker_main(i); });
}

ThreadPool::~ThreadPool() {
  region_.store(kStop, std::memory_order_release);
  region_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, Trampoline call, void* context) {
  if (count <= 0) return;
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) call(context, i, 0);
    return;
  }
  call_ = call;
  context_ = context;
  count_ = count;
  next_task_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  workers_busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
  work_on_tasks(0);
  const auto all_finished = [this] { return workers_busy_.load(std::memory_order_acquire) == 0; };
  while (!spin_until(all_finished)) {
    const int busy = workers_busy_.load(std::memory_order_acquire);
    if (busy != 0) workers_busy_.wait(busy, std::memory_order_acquire);
  }
  if (failed_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(error_mutex_);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void ThreadPool::work_on_tasks(int thread) {
  while (true) {
    const int64_t index = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    if (failed_.load(std::memory_order_relaxed)) continue;
    try {
      call_(context_, index, thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }
}

uint64_t ThreadPool::wait_for_region(uint64_t seen) {
  const auto changed = [this, seen] { return region_.load(std::memory_order_acquire) != seen; };
  if (!spin_until(changed)) region_.wait(seen, std::memory_order_acquire);
  return region_.load(std::memory_order_acquire);
}

void ThreadPool::worker_main(int thread) {
  uint64_t seen = 0;
  while (true) {
    const uint64_t region = wait_for_region(seen);
    if (region == kStop) return;
    if (region == seen) continue;
    seen = region;
    work_on_tasks(thread);
    if (workers_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) workers_busy_.notify_one();
  }
}

}  // namespace looplm
