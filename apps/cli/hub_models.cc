#include "cli/hub_models.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>

#include <fmt/format.h>
#include <unistd.h>

#include "base/count_text.h"
#include "common/duration_text.h"
#include "common/interrupt.h"
#include "hub/hub_cache.h"
#include "hub/hub_pull.h"
#include "tensor/memory_plan.h"

namespace looplm::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// How far a pull is: a line that is written over at a terminal, else a line per file.
class PullScreen {
 public:
  explicit PullScreen(const PullPlan& plan)
      : plan_(plan), terminal_(::isatty(STDERR_FILENO) == 1), first_(plan.bytes - plan.missing) {}

  void show(const PullProgress& p) {
    const bool ends = p.file_bytes == p.file.size;
    if (p.waiting && waits_for_ != p.file.path) {
      waits_for_ = p.file.path;
      line(fmt::format("{}: another process fetches it; waiting", p.file.path));
      return;
    }
    if (p.waiting) return;
    if (ends) line(fmt::format("{}  {}", p.file.path, bytes_text(p.file.size)));
    if (!terminal_ || ends || seconds_since(shown_) < 0.1) return;
    shown_ = Clock::now();
    const double seconds = seconds_since(begin_);
    // What came, over the time that it took; files that were here already cost none.
    const double rate =
        seconds > 0 && p.bytes > first_ ? static_cast<double>(p.bytes - first_) / seconds : 0;
    const std::string left =
        rate > 0 ? duration_text(static_cast<double>(plan_.bytes - std::min(p.bytes, plan_.bytes)) /
                                 rate)
                 : "?";
    fmt::print(stderr, "\r\033[K{}  {} of {}  {:.0f}%  {}/s  {} left", p.file.path,
               bytes_text(p.bytes), bytes_text(plan_.bytes),
               100.0 * static_cast<double>(p.bytes) / static_cast<double>(plan_.bytes),
               bytes_text(static_cast<uint64_t>(rate)), left);
    std::fflush(stderr);
    open_ = true;
  }

  ~PullScreen() {
    if (open_) std::fputs("\n", stderr);
  }
  PullScreen(const PullScreen&) = delete;
  PullScreen& operator=(const PullScreen&) = delete;

 private:
  void line(const std::string& text) {
    fmt::print(stderr, "{}{}\n", open_ ? "\r\033[K" : "", text);
    open_ = false;
  }

  const PullPlan& plan_;
  const bool terminal_;
  const uint64_t first_;  // bytes that were here before
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point shown_{};
  std::string waits_for_;
  bool open_ = false;  // a line that more may be written over
};

Result<std::string> fetch(const HubSettings& settings, const PullPlan& plan) {
  PullScreen screen(plan);
  PullOptions options;
  options.stop = &stop_on_interrupt();
  options.on_progress = [&screen](const PullProgress& p) { screen.show(p); };
  return pull(settings, plan, options);
}

std::string plan_text(const PullPlan& plan) {
  const bool some = plan.missing < plan.bytes;
  return fmt::format("{}: {}, {}{}", plan.reference.text(), count_text(plan.files.size(), "file"),
                     bytes_text(plan.bytes),
                     some ? fmt::format(", of which {} are missing here", bytes_text(plan.missing))
                          : std::string());
}

}  // namespace

Result<std::string> pull_from_hub(const HubReference& reference) {
  const HubSettings settings = HubSettings::from_environment();
  LOOPLM_ASSIGN_OR_RETURN(const PullPlan plan,
                          plan_pull(settings, reference, &stop_on_interrupt()));
  fmt::print(stderr, "{}\n", plan_text(plan));
  return fetch(settings, plan);
}

Result<std::string> find_or_pull(const HubReference& reference) {
  const HubSettings settings = HubSettings::from_environment();
  const Result<std::string> found = HubCache(settings.cache).find(reference);
  if (found.ok() || found.status().code() != StatusCode::kNotFound) return found;
  const std::string absent = fmt::format(
      "'{}' is not a file or directory here, and '{}' has no complete model of that name",
      reference.text(), settings.cache);
  if (settings.offline || ::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) {
    return not_found(
        fmt::format("{}; to fetch it from the hub: looplm pull {}", absent, reference.text()));
  }
  fmt::print(stderr, "{}.\n", absent);
  LOOPLM_ASSIGN_OR_RETURN(const PullPlan plan,
                          plan_pull(settings, reference, &stop_on_interrupt()));
  fmt::print(stderr, "{} has {}\nDownload? [y/N] ", settings.endpoint, plan_text(plan));
  std::fflush(stderr);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != "y" && answer != "Y" && answer != "yes") {
    return Status(StatusCode::kCancelled, fmt::format("'{}' is not downloaded", reference.text()));
  }
  return fetch(settings, plan);
}

}  // namespace looplm::cli
