#include "serve/worker.h"

namespace looplm {

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  news_.notify_one();
  thread_.join();
}

void Worker::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  news_.notify_one();
}

void Worker::post_at(Clock::time_point time, std::function<void()> work) {
  bool next = false;
  {
    const std::lock_guard lock(mutex_);
    const auto place = timetable_.emplace(time, std::move(work));
    next = place == timetable_.begin();
  }
  if (next) news_.notify_one();
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    while (!timetable_.empty() && timetable_.begin()->first <= Clock::now()) {
      queue_.push_back(std::move(timetable_.begin()->second));
      timetable_.erase(timetable_.begin());
    }
    if (!queue_.empty()) {
      const std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    } else if (stop_) {
      return;
    } else if (timetable_.empty()) {
      news_.wait(lock);
    } else {
      news_.wait_until(lock, timetable_.begin()->first);
    }
  }
}

}  // namespace looplm
