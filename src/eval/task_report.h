// Results of tasks for people and for programs.
#ifndef LOOPLM_EVAL_TASK_REPORT_H_
#define LOOPLM_EVAL_TASK_REPORT_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/task_run.h"
#include "eval/text_table.h"

namespace looplm {

// A row per depth and exit rule: mean loops, each metric with its interval, and the gain of the
// first metric over fixed depths of the same mean cost.
TableCells outcome_cells(const OutcomeTable& table);

// The first metric of each category after each loop up to the trained depth, and the relative gain
// from the first loop to it, most gained first.
TableCells category_cells(const TaskResult& result);
std::string category_caption(const TaskResult& result);

// The first metric of several tasks at every fixed depth; a row per depth.
TableCells summary_cells(const std::vector<TaskResult>& results);

// Everything of one task, with a line above that says what it is and lines below that say what was
// measured.
std::string task_text(const TaskResult& result, TableFormat format, size_t width = 0);

// A list of everything, and the same flat: one line per task, category, setting and metric.
OrderedJson task_json(const TaskResult& result);
std::string tasks_csv(const std::vector<TaskResult>& results);

// Parts of these. "3 loops, as trained".
std::string row_name(const OutcomeTable& table, const OutcomeRow& row);
// "+1.2 [+0.4, +2.0]", points of a share.
std::string gain_text(const MetricColumn& metric, const Estimate& estimate);
// {value, low, high}
OrderedJson interval_json(const Estimate& estimate);
// How the row exits, and its mean loops.
OrderedJson setting_json(const OutcomeRow& row);

// "68.2% [65.1, 71.0]", "1.031 [0.994, 1.070]"; the interval is left out where it is a point.
std::string estimate_text(const MetricColumn& metric, const Estimate& estimate);

// Notes below a task's table, a sentence each.
std::vector<std::string> task_notes(const TaskResult& result);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TASK_REPORT_H_
