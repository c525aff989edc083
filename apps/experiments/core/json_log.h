// Records that are kept one by one as they come, so that work that was paid for is not lost when a
// run is interrupted: a file of JSON lines that only grows.
#ifndef LOOPLM_EXPERIMENTS_CORE_JSON_LOG_H_
#define LOOPLM_EXPERIMENTS_CORE_JSON_LOG_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

class JsonLog {
 public:
  // Calls `each` for every record that is there, in order, then stands ready for more. The end of a
  // record that was being written when the machine stopped is cut off; other damage is an error
  // that names file and line.
  static Result<std::unique_ptr<JsonLog>> open(const std::string& path,
                                               const std::function<Status(const Json&)>& each);
  ~JsonLog();
  JsonLog(const JsonLog&) = delete;
  JsonLog& operator=(const JsonLog&) = delete;

  // Writes the record through to the disk. By any thread.
  Status append(const OrderedJson& record);

 private:
  JsonLog(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  std::mutex mutex_;  // of the descriptor
  int descriptor_;
};

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_JSON_LOG_H_
