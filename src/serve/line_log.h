// Lines for a reader that may be slow, or for a disk that may be full.
#ifndef LOOPLM_SERVE_LINE_LOG_H_
#define LOOPLM_SERVE_LINE_LOG_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace looplm {

// Writes lines, from any thread. One that cannot be written within a second is lost, and so are
// those of the next minute for which there is no room at once, and any that is longer than 4 KiB.
// When there is room, a line of JSON says how many were lost before:
// {"time": SECONDS SINCE 1970, "lost_lines": COUNT}.
class LineLog {
 public:
  explicit LineLog(int descriptor) : descriptor_(descriptor) {}

  // False where the line is lost.
  bool write(const std::string& line);

 private:
  bool has_room() const;
  // How many bytes were written.
  size_t put(const std::string& text);

  const int descriptor_;
  std::mutex mutex_;  // of all below
  int64_t lost_ = 0;  // since the last line
  bool cut_ = false;  // the last line has no end
  std::chrono::steady_clock::time_point patient_from_;
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_LINE_LOG_H_
