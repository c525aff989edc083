#include "serve/line_log.h"

#include <cerrno>
#include <string_view>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "serve/api.h"

namespace looplm {

bool LineLog::write(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (has_room()) {
    const bool told =
        lost_ == 0 || put(fmt::format(R"({{"time":{},"lost_lines":{}}})", now_seconds(), lost_));
    if (told) lost_ = 0;
    if (told && put(line)) return true;
  }
  ++lost_;
  return false;
}

// A pipe with room takes 4 KiB without waiting. Files always have room, until they are written.
bool LineLog::has_room() const {
  constexpr int kPatience = 1'000;  // milliseconds
  pollfd wanted = {descriptor_, POLLOUT, 0};
  return ::poll(&wanted, 1, lost_ == 0 ? kPatience : 0) == 1 && (wanted.revents & POLLOUT) != 0;
}

bool LineLog::put(std::string line) {
  if (cut_) line.insert(0, "\n");
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    rest.remove_prefix(static_cast<size_t>(count));
    cut_ = !rest.empty();
  }
  return true;
}

}  // namespace looplm
