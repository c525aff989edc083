// Records of a task's data files, and where these are looked for.
#ifndef LOOPLM_EVAL_TASK_DATA_H_
#define LOOPLM_EVAL_TASK_DATA_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"
#include "eval/task.h"

namespace looplm {

struct TaskRecord {
  Json fields;        // and `file`, the file's name without its ending, unless the record has one
  std::string where;  // file and line
};

// Where a file that a task names may lie: in the folder that the user gave, else beside the task.
struct DataFolder {
  std::string directory;  // empty: none given
};

// The files of a pattern with * and ?, in the order of their names; at least one, or an error that
// says where it was looked for and how to get the data.
Result<std::vector<std::string>> find_data(const Task& task, const std::string& pattern,
                                           const DataFolder& folder);

// One JSON object per line, or one list of objects. Filters of the task apply.
Result<std::vector<TaskRecord>> read_records(const Task& task,
                                             const std::vector<std::string>& patterns,
                                             const DataFolder& folder);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_DATA_H_
