#include "serve/engine_runner.h"

#include <utility>

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

EngineStatistics EngineRunner::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void EngineRunner::take(Arrival& arrival) {
  const std::function<void(Generation)> done = arrival.request.done;
  const Result<int64_t> number = engine_->submit(std::move(arrival.request));
  if (!number.ok()) {
    arrival.request.done = done;
    // It would never run, here or later: the client's to change.
    return refuse(arrival.request, FinishReason::kError,
                  invalid_argument(number.status().message()));
  }
  arrival.ticket->number_ = number.value();
  if (arrival.ticket->cancelled_.load()) engine_->cancel(number.value());
}

void EngineRunner::run() {
  lane_budget_.store(engine_->lane_budget(), std::memory_order_relaxed);
  while (true) {
    std::vector<Arrival> arrivals;
    std::vector<std::shared_ptr<Ticket>> cancellations;
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      arrivals.swap(arrivals_);
      cancellations.swap(cancellations_);
    }
    for (Arrival& arrival : arrivals) take(arrival);
    for (const auto& ticket : cancellations) engine_->cancel(ticket->number_);
    const bool busy = engine_->step();
    std::unique_lock lock(mutex_);
    statistics_ = engine_->statistics();
    if (busy) continue;
    news_.wait(lock, [this] { return stop_ || !arrivals_.empty() || !cancellations_.empty(); });
  }
}

}  // namespace looplm
