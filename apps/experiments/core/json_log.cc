#include "experiments/core/json_log.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"

namespace looplm {
namespace {

Status failed(const char* what, const std::string& path) {
  return io_error(fmt::format("cannot {} '{}': {}", what, path, std::strerror(errno)));
}

}  // namespace

Result<std::unique_ptr<JsonLog>> JsonLog::open(const std::string& path,
                                               const std::function<Status(const Json&)>& each) {
  size_t whole = 0;
  if (file_exists(path)) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
    int line = 0;
    for (size_t end; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1) {
      const std::string where = fmt::format("{} line {}", path, ++line);
      LOOPLM_ASSIGN_OR_RETURN(const Json record,
                              parse_json(std::string_view(text).substr(whole, end - whole), where));
      LOOPLM_RETURN_IF_ERROR(each(record).with_context(where));
    }
  }
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) return failed("write", path);
  std::unique_ptr<JsonLog> log(new JsonLog(path, descriptor));
  if (::ftruncate(descriptor, static_cast<off_t>(whole)) != 0) return failed("shorten", path);
  return log;
}

JsonLog::~JsonLog() { ::close(descriptor_); }

Status JsonLog::append(const OrderedJson& record) {
  const std::string line = dump_json(record) + "\n";
  const std::lock_guard lock(mutex_);
  for (size_t done = 0; done < line.size();) {
    const ssize_t wrote = ::write(descriptor_, line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return failed("write", path_);
    done += static_cast<size_t>(wrote);
  }
  if (::fdatasync(descriptor_) != 0) return failed("write", path_);
  return {};
}

}  // namespace looplm
