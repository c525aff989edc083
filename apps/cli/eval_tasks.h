// The part of looplm eval that asks tasks' questions.
#ifndef LOOPLM_CLI_EVAL_TASKS_H_
#define LOOPLM_CLI_EVAL_TASKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "cli/model_choice.h"

namespace looplm::cli {

struct EvalTasksOptions {
  ModelChoice model;
  std::vector<std::string> tasks;  // names of shipped ones, or files
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

Status eval_tasks(const EvalTasksOptions& options);
Status list_tasks();

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_EVAL_TASKS_H_
