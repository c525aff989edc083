#include "serve/engine_runner.h"

#include <exception>
#include <new>
#include <utility>

#include <fmt/format.h>

namespace looplm {

namespace {

void refuse(Request& request, FinishReason reason, Status status) {
  Generation generation;
  generation.finish_reason = reason;
  generation.status = std::move(status);
  request.done(std::move(generation));
}

}  // namespace

EngineRunner::EngineRunner(Model& model, const EngineOptions& options, int64_t request_limit)
    : engine_(std::make_unique<Engine>(model, options)),
      request_limit_(request_limit),
      thread_([this] { run(); }) {}

EngineRunner::~EngineRunner() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  news_.notify_one();
  thread_.join();
  engine_.reset();  // its requests end here
  for (Arrival& arrival : arrivals_) refuse(arrival.request, FinishReason::kCancelled, {});
}

std::vector<std::shared_ptr<EngineRunner::Ticket>> EngineRunner::submit(
    std::vector<Request> requests) {
  std::vector<std::shared_ptr<Ticket>> tickets;
  const auto count = static_cast<int64_t>(requests.size());
  if (open_.fetch_add(count, std::memory_order_relaxed) >= request_limit_) {
    open_.fetch_sub(count, std::memory_order_relaxed);
    return tickets;
  }
  {
    const std::lock_guard lock(mutex_);
    for (Request& request : requests) {
      auto ticket = std::make_shared<Ticket>();
      request.done = [this, done = std::move(request.done)](Generation generation) {
        open_.fetch_sub(1, std::memory_order_relaxed);
        const Status failed = failure();
        if (!failed.ok() && generation.finish_reason == FinishReason::kCancelled) {
          generation.finish_reason = FinishReason::kError;
          generation.status = failed;
        }
        if (done) done(std::move(generation));
      };
      tickets.push_back(ticket);
      arrivals_.push_back({std::move(ticket), std::move(request)});
    }
  }
  news_.notify_one();
  return tickets;
}

void EngineRunner::cancel(const std::shared_ptr<Ticket>& ticket) {
  if (ticket->cancelled_.exchange(true)) return;
  {
    const std::lock_guard lock(mutex_);
    cancellations_.push_back(ticket);
  }
  news_.notify_one();
}

void EngineRunner::between_passes(std::function<void()> change) {
  std::packaged_task<void()> task(std::move(change));
  std::future<void> done = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    changes_.push_back(std::move(task));
  }
  news_.notify_one();
  done.get();
}

EngineStatistics EngineRunner::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void EngineRunner::take(Arrival& arrival) {
  const std::function<void(Generation)> done = arrival.request.done;
  const Result<int64_t> number = [&] {
    try {
      return engine_->submit(std::move(arrival.request));
    } catch (...) {
      arrival.request.done = done;  // for fail()
      throw;
    }
  }();
  if (!number.ok()) {
    arrival.request.done = done;
    // It would never run, here or later: the client's to change.
    return refuse(arrival.request, FinishReason::kError,
                  invalid_argument(number.status().message()));
  }
  arrival.ticket->number_ = number.value();
  if (arrival.ticket->cancelled_.load()) engine_->cancel(number.value());
}

Status EngineRunner::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

bool EngineRunner::has_news() const {
  return stop_ || !arrivals_.empty() || !cancellations_.empty() || !changes_.empty();
}

void EngineRunner::run() {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    fail("out of memory");
  } catch (const std::exception& error) {
    fail(error.what());
  } catch (...) {
    fail("something was thrown that is not a std::exception");
  }
  refuse_until_the_end();
}

void EngineRunner::work() {
  constexpr uint64_t kNowAndThen = 64;  // steps
  for (uint64_t step = 0;; ++step) {
    std::vector<std::shared_ptr<Ticket>> cancellations;
    std::vector<std::packaged_task<void()>> changes;
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      taken_.swap(arrivals_);
      cancellations.swap(cancellations_);
      changes.swap(changes_);
    }
    for (auto& change : changes) change();
    for (; !taken_.empty(); taken_.pop_front()) take(taken_.front());
    for (const auto& ticket : cancellations) engine_->cancel(ticket->number_);
    const bool busy = engine_->step();
    if (!busy || step % kNowAndThen == 0) {
      lane_budget_.store(engine_->lane_budget(), std::memory_order_relaxed);
    }
    std::unique_lock lock(mutex_);
    statistics_ = engine_->statistics();
    if (busy) continue;
    news_.wait(lock, [this] { return has_news(); });
  }
}

void EngineRunner::fail(const char* cause) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = internal_error(
        fmt::format("the engine has failed and the server must be started again: {}", cause));
    statistics_.running = 0;
    statistics_.waiting = 0;
  }
  engine_.reset();  // its requests end here
  for (; !taken_.empty(); taken_.pop_front()) {
    refuse(taken_.front().request, FinishReason::kCancelled, {});
  }
}

void EngineRunner::refuse_until_the_end() {
  std::unique_lock lock(mutex_);
  for (;;) {
    news_.wait(lock, [this] { return has_news(); });
    if (stop_) return;
    taken_.swap(arrivals_);
    cancellations_.clear();
    auto changes = std::exchange(changes_, {});
    lock.unlock();
    for (auto& change : changes) change();
    for (; !taken_.empty(); taken_.pop_front()) {
      refuse(taken_.front().request, FinishReason::kCancelled, {});
    }
    lock.lock();
  }
}

}  // namespace looplm
