// Results of tasks as a page with plots.
#ifndef LOOPLM_EVAL_TASK_DOCUMENT_H_
#define LOOPLM_EVAL_TASK_DOCUMENT_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "eval/document.h"
#include "eval/task_run.h"

namespace looplm {

// For each task: its first metric over the mean number of loops, fixed depths as a curve and exit
// rules as points, and its tables; a summary where there are several.
Document tasks_document(const std::string& model, const std::vector<TaskResult>& results);

// One self-contained HTML file.
Status write_html(const Document& document, const std::string& path);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_DOCUMENT_H_
