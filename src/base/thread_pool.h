// A fixed set of threads that run short parallel regions.
//
// A forward pass opens hundreds of regions of tens of microseconds, so idle workers spin briefly
// before they sleep: waking a sleeping thread costs about as much as such a region. Tasks are
// handed out one at a time from an atomic counter, which evens out noise on shared machines;
// nothing computed may depend on which thread runs a task.
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
  void work_on_tasks(int thread);
  void worker_main(int thread);
  uint64_t wait_for_region(uint64_t seen);

  std::vector<std::thread> workers_;

  // The region in progress. Written by run() before region_ advances (release), read by workers
  // after (acquire).
  Trampoline call_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;

  alignas(64) std::atomic<uint64_t> region_{0};  // number of regions opened; kStop ends the workers
  alignas(64) std::atomic<int64_t> next_task_{0};  // relaxed: only distributes indices
  alignas(64) std::atomic<int> workers_busy_{
      0};                            // workers that have not finished the region; acq_rel
  std::atomic<bool> failed_{false};  // relaxed: only skips remaining tasks
  std::mutex error_mutex_;
  std::exception_ptr error_;  // guarded by error_mutex_
};

}  // namespace looplm

#endif  // LOOPLM_BASE_THREAD_POOL_H_
