// A page about training runs: their curves side by side, from what they logged.
#ifndef LOOPLM_EVAL_RUN_REPORT_H_
#define LOOPLM_EVAL_RUN_REPORT_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "eval/document.h"

namespace looplm {

// Of the directories of runs (run.out), each with its log.jsonl. Errors name the file and the line.
Result<Document> run_report(const std::vector<std::string>& runs);

}  // namespace looplm

#endif  // LOOPLM_EVAL_RUN_REPORT_H_
