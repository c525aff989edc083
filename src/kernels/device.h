// Where kernels run: a thread pool, the kernels of one instruction set, and scratch memory.
#ifndef LOOPLM_KERNELS_DEVICE_H_
#define LOOPLM_KERNELS_DEVICE_H_

#include <memory>
#include <vector>

#include "looplm/status.h"

#include "base/thread_pool.h"
#include "kernels/cpu/kernel_table.h"
#include "tensor/buffer.h"

namespace looplm {

// One thread at a time may use a Device; its results do not depend on the number of threads in the
// pool.
class Device {
 public:
  // threads: 0 takes LOOPLM_THREADS or all processors. The instruction set is LOOPLM_ISA's or the
  // best available.
  static Result<std::unique_ptr<Device>> create(int threads = 0);

  Device(int threads, const cpu::KernelTable& kernels);
  // With or without products by two panels.
  Device(int threads, const cpu::KernelTable& kernels, bool two_panels);

  ThreadPool& pool() { return pool_; }
  const cpu::KernelTable& kernels() const { return kernels_; }
  // Whether products of many rows take two panels at a time, where there are kernels for it: the
  // same numbers with fewer loads. Where there are none, fp32 products do not prefetch: fewer
  // instructions. So on Intel's processors, which multiply twice a cycle and load once or
  // twice; nobody has measured others.
  bool two_panels() const { return two_panels_; }

  // Calls task(begin, end, thread) over [0, count) in pieces of at most `piece`. Pieces have fixed
  // borders, so a task may reduce within its piece.
  template <typename Task>
  void for_pieces(int64_t count, int64_t piece, Task&& task) {
    pool_.parallel_for((count + piece - 1) / piece, [&](int64_t index, int thread) {
      const int64_t begin = index * piece;
      task(begin, begin + piece < count ? begin + piece : count, thread);
    });
  }

  // Scratch memory of one kernel call, at least `floats` long and cache-line aligned; contents are
  // undefined. The next request for the same scratch may move it. Shared scratch is for the calling
  // thread to hand to its tasks.
  float* thread_scratch(int thread, size_t floats) {
    return grown(thread_scratch_[thread], floats);
  }
  float* shared_scratch(size_t floats) { return grown(shared_scratch_, floats); }
  // A second shared area, for kernels that are made of others.
  float* outer_scratch(size_t floats) { return grown(outer_scratch_, floats); }

  // For a task of a region that calls kernels: a device of that thread alone, with scratch of its
  // own.
  Device& alone(int thread) {
    std::unique_ptr<Device>& own = alone_[static_cast<size_t>(thread)];
    if (own == nullptr) own = std::make_unique<Device>(1, kernels_, two_panels_);
    return *own;
  }

 private:
  static float* grown(Buffer<float>& buffer, size_t floats);

  ThreadPool pool_;
  const cpu::KernelTable& kernels_;
  bool two_panels_;
  std::vector<Buffer<float>> thread_scratch_;
  Buffer<float> shared_scratch_;
  Buffer<float> outer_scratch_;
  std::vector<std::unique_ptr<Device>> alone_;  // of each thread, made by it
};

}  // namespace looplm

#endif  // LOOPLM_KERNELS_DEVICE_H_
