// The run's log: one JSON object per line in OUT/log.jsonl.
#ifndef LOOPLM_TRAIN_TRAIN_LOG_H_
#define LOOPLM_TRAIN_TRAIN_LOG_H_

#include <cstdint>
#include <fstream>
#include <string>

#include "looplm/train.h"

namespace looplm {

class TrainLog {
 public:
  // Opens the log for a run that has done `step` steps: lines of later steps, left by a run that
  // was killed after its last checkpoint, are dropped. step 0 starts afresh.
  static Result<TrainLog> open(const std::string& path, int64_t step);

  Status write(const StepReport& report);
  Status write(const ValidationReport& report);

 private:
  TrainLog(std::string path, std::ofstream file) : path_(std::move(path)), file_(std::move(file)) {}
  Status write_line(const std::string& line);

  std::string path_;
  std::ofstream file_;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TRAIN_LOG_H_
