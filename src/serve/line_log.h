// Lines for a reader that may be slow, or for a disk that may be full.
#ifndef LOOPLM_SERVE_LINE_LOG_H_
#define LOOPLM_SERVE_LINE_LOG_H_

#include <cstdint>
#include <mutex>
#include <string>

namespace looplm {

// Writes lines of at most 4 KiB, from any thread. Where one cannot be written within a second it is
// lost, and so are the next ones, at once, until there is room. Then a line of JSON says how many
// were lost: {"time": SECONDS SINCE 1970, "lost_lines": COUNT}.
class LineLog {
 public:
  explicit LineLog(int descriptor) : descriptor_(descriptor) {}

  // False where the line is lost.
  bool write(const std::string& line);

 private:
  bool has_room() const;
  bool put(std::string line);

  const int descriptor_;
  std::mutex mutex_;  // of all below
  int64_t lost_ = 0;  // since the last line
  bool cut_ = false;  // the last line has no end
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_LINE_LOG_H_
