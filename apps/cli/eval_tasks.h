// What looplm eval does, once its options are read.
#ifndef LOOPLM_CLI_EVAL_TASKS_H_
#define LOOPLM_CLI_EVAL_TASKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "cli/model_choice.h"

namespace looplm::cli {

struct EvalOptions {
  ModelChoice model;
  std::vector<std::string> tasks;  // names of shipped ones, or files
  std::string data;                // instead of tasks, a file of texts, with
  std::vector<double> thresholds = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};  // of q-exit
  std::string by;                                                                  // a field
  std::string data_folder;
  int64_t loops = 0;                    // 0: twice as many as trained
  std::vector<int64_t> generate_loops;  // empty: 1 .. loops
  std::vector<std::string> exits;       // "margin:0.5,0.9", "difference:auto"
  std::vector<std::string> generate_exits;
  int64_t limit = 0;
  int64_t resamples = 1000;
  bool json = false;
  bool csv = false;
  bool markdown = false;
  std::string html;  // file
  std::string save;  // folder
};

// The file of a shipped task, or the file that is named.
Result<std::string> locate_task(const std::string& task);
// For a model's positional argument, before that of tasks: a task's name is no model unless there
// is a file or folder of that name.
Check not_a_task();

Status eval_tasks(const EvalOptions& options);
Status eval_data(const EvalOptions& options);
Status list_tasks();

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_EVAL_TASKS_H_
