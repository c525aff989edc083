// The engine on a thread of its own. Everybody else hands it requests and hears from their
// callbacks; nobody waits for it.
#ifndef LOOPLM_SERVE_ENGINE_RUNNER_H_
#define LOOPLM_SERVE_ENGINE_RUNNER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "looplm/engine.h"
#include "looplm/status.h"

namespace looplm {

class EngineRunner {
 public:
  // A request that was handed over.
  class Ticket {
    friend class EngineRunner;
    int64_t number_ = 0;  // the engine's; its thread alone
    std::atomic<bool> cancelled_{false};
  };

  // Runs the model from now on; nothing else may. `request_limit` counts requests that run or wait.
  EngineRunner(Model& model, const EngineOptions& options, int64_t request_limit);
  // Ends all requests with kCancelled.
  ~EngineRunner();
  EngineRunner(const EngineRunner&) = delete;
  EngineRunner& operator=(const EngineRunner&) = delete;

  // From any thread. All requests of `requests` are taken, or none while as many as the limit run
  // or wait: then nothing is returned. The callbacks come from the engine's thread; a request that
  // the engine refuses ends with done() and kError, and so do all once the engine has failed.
  std::vector<std::shared_ptr<Ticket>> submit(std::vector<Request> requests);

  // From any thread: the request ends after the pass that runs now.
  void cancel(const std::shared_ptr<Ticket>& ticket);

  // From any thread but the engine's: runs `change` between two passes, and returns after it.
  void between_passes(std::function<void()> change);

  // Why the engine cannot go on; ok while it can. It is not made again: its memory may be short, or
  // its state wrong.
  Status failure() const;

  int64_t requests() const { return open_.load(std::memory_order_relaxed); }
  EngineStatistics statistics() const;  // as of the last pass
  int64_t lane_budget() const { return lane_budget_.load(std::memory_order_relaxed); }

 private:
  struct Arrival {
    std::shared_ptr<Ticket> ticket;
    Request request;
  };

  void run();
  void work();                   // until the end
  void fail(const char* cause);  // ends all requests
  void refuse_until_the_end();   // after fail()
  bool has_news() const;         // asked under mutex_
  void take(Arrival& arrival);

  std::unique_ptr<Engine> engine_;  // the thread's alone, while it runs
  const int64_t request_limit_;
  std::atomic<int64_t> open_{0};         // relaxed: a count
  std::atomic<int64_t> lane_budget_{0};  // relaxed
  mutable std::mutex mutex_;
  std::condition_variable news_;  // arrivals_, cancellations_, changes_ or stop_ changed
  std::deque<Arrival> taken_;     // of arrivals_, on their way to the engine; the thread's alone
  std::deque<Arrival> arrivals_;  // guarded by mutex_
  std::vector<std::shared_ptr<Ticket>> cancellations_;  // guarded by mutex_
  std::vector<std::packaged_task<void()>> changes_;     // guarded by mutex_
  EngineStatistics statistics_;                         // guarded by mutex_
  Status failure_;                                      // guarded by mutex_
  bool stop_ = false;                                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_ENGINE_RUNNER_H_
