// A fixed set of threads that run short parallel regions.
//
// A forward pass opens hundreds of regions of tens of microseconds, so idle workers spin briefly
// before they sleep: waking a sleeping thread costs about as much as such a region. Tasks are
// handed out one at a time to whoever is free, and a region ends with its last task. So a worker
// that the system has taken off its processor delays nobody unless it is inside a task. Threads
// that wait give their processor to others that want it. Nothing computed may depend on which
// thread runs a task.
#ifndef LOOPLM_BASE_THREAD_POOL_H_
#define LOOPLM_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace looplm {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 1 starts no workers.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(index, thread) for every index in [0, count) and returns when all are done. thread
  // is in [0, size()). The first exception a task throws is thrown again here. Regions do not nest,
  // and one thread at a time may open them.
  template <typename Task>
  void parallel_for(int64_t count, Task&& task) {
    using Function = std::remove_reference_t<Task>;
    run(
        count,
        [](void* context, int64_t index, int thread) {
          (*static_cast<Function*>(context))(index, thread);
        },
        const_cast<std::remove_const_t<Function>*>(&task));
  }

 private:
  using Trampoline = void (*)(void* context, int64_t index, int thread);

  void run(int64_t count, Trampoline call, void* context);
  bool claim(int64_t* index);
  void work_on_tasks(int thread);
  void worker_main(int thread, int threads);  // size() grows while the first workers start

  std::vector<std::thread> workers_;

  // The region in progress. Written by run() before unclaimed_ (release), read by who has claimed
  // one of its tasks (acquire): until that task is finished, there is no other region.
  Trampoline call_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;

  // The region's number in the upper half, its tasks that nobody has claimed in the lower one.
  alignas(64) std::atomic<uint64_t> unclaimed_{0};
  // Unfinished tasks. A thread subtracts all of its own at once (release); at 0 run() continues
  // (acquire). 32 bits, like region_, because threads sleep on such words; the highest says so.
  alignas(64) std::atomic<uint32_t> unfinished_{0};
  alignas(64) std::atomic<uint32_t> region_{0};  // its number; only wakes workers
  std::atomic<bool> stop_{false};                // written before region_ (release)
  std::atomic<bool> failed_{false};              // relaxed: only skips remaining tasks
  std::mutex error_mutex_;
  std::exception_ptr error_;  // guarded by error_mutex_
};

}  // namespace looplm

#endif  // LOOPLM_BASE_THREAD_POOL_H_
