// A file of texts as a task of its own (looplm eval --data): questions and reports. What is
// measured and how is that of every perplexity task.
#ifndef LOOPLM_EVAL_DATA_REPORT_H_
#define LOOPLM_EVAL_DATA_REPORT_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/examples.h"
#include "eval/task_run.h"
#include "eval/text_table.h"

namespace looplm {

// `by` is the field to group by, or empty.
Task data_task(const std::string& path, const std::string& by);

// Fails where an example has no number or string in the field to group by.
Result<TaskQuestions> data_questions(const Task& task, std::vector<EvalExample> examples);

// A row per depth and threshold. The accuracy of each group after each loop stands below, with the
// mean loops of each threshold.
std::string data_text(const TaskResult& result, TableFormat format, size_t width = 0);
OrderedJson data_json(const TaskResult& result);

}  // namespace looplm

#endif  // LOOPLM_EVAL_DATA_REPORT_H_
