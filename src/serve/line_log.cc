#include "serve/line_log.h"

#include <cerrno>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "serve/api.h"

namespace looplm {
namespace {

// A pipe with room takes so much without waiting (PIPE_BUF).
constexpr size_t kAtOnce = 4'096;
constexpr int kPatience = 1'000;  // milliseconds
constexpr std::chrono::minutes kUntilPatientAgain{1};

}  // namespace

bool LineLog::write(const std::string& line) {
  const std::lock_guard lock(mutex_);
  std::string text = cut_ ? "\n" : "";
  if (lost_ > 0) {
    text += fmt::format("{{\"time\":{},\"lost_lines\":{}}}\n", now_seconds(), lost_);
  }
  const size_t told = text.size();
  text += line + '\n';
  const size_t done = text.size() <= kAtOnce && has_room() ? put(text) : 0;
  if (done >= told && done > 0) lost_ = 0;
  if (done == text.size()) return true;
  ++lost_;
  patient_from_ = std::chrono::steady_clock::now() + kUntilPatientAgain;
  return false;
}

// Files always have room, until they are written.
bool LineLog::has_room() const {
  pollfd wanted = {descriptor_, POLLOUT, 0};
  const int patience = std::chrono::steady_clock::now() < patient_from_ ? 0 : kPatience;
  return ::poll(&wanted, 1, patience) == 1 && (wanted.revents & POLLOUT) != 0;
}

size_t LineLog::put(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  if (done > 0) cut_ = text[done - 1] != '\n';
  return done;
}

}  // namespace looplm
