// A thread that runs small pieces of work in order: it turns tokens into text for clients while the
// engine computes the next ones.
#ifndef LOOPLM_SERVE_WORKER_H_
#define LOOPLM_SERVE_WORKER_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace looplm {

class Worker {
 public:
  using Clock = std::chrono::steady_clock;

  Worker() : thread_([this] { run(); }) {}
  // Runs what is queued, drops what waits for its time, then ends.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // From any thread.
  void post(std::function<void()> work);
  void post_at(Clock::time_point time, std::function<void()> work);
  void post_after(std::chrono::milliseconds delay, std::function<void()> work) {
    post_at(Clock::now() + delay, std::move(work));
  }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable news_;
  std::deque<std::function<void()>> queue_;                            // guarded by mutex_
  std::multimap<Clock::time_point, std::function<void()>> timetable_;  // guarded by mutex_
  bool stop_ = false;                                                  // guarded by mutex_
  std::thread thread_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_WORKER_H_
