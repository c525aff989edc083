#include "eval/data_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "eval/category_order.h"
#include "eval/task_report.h"

namespace looplm {
namespace {

// The metrics of data_task().
enum : size_t { kNll, kAccuracy, kExact };

bool has_thresholds(const OutcomeTable& table) { return !table.rows.back().setting.fixed(); }

TableCells data_cells(const OutcomeTable& table) {
  // Where each text has one scored token, exact match is accuracy.
  const bool exact = table.tokens > table.questions;
  const bool gains = has_thresholds(table);
  TableCells rows = {{"exit", "mean loops", "nll (nats)", "accuracy"}};
  if (exact) rows[0].emplace_back("exact match");
  if (gains) rows[0].insert(rows[0].end(), {"nll gain", "accuracy gain (points)"});
  for (const OutcomeRow& row : table.rows) {
    std::vector<std::string> cells = {row_name(table, row), fmt::format("{:.2f}", row.mean_loops)};
    for (const size_t m : {kNll, kAccuracy, kExact}) {
      if (m != kExact || exact) cells.push_back(estimate_text(table.metrics[m], row.values[m]));
    }
    const auto& nll = row.gains[kNll];
    const auto& accuracy = row.gains[kAccuracy];
    if (gains) {
      cells.push_back(nll ? estimate_text(table.metrics[kNll], *nll) : "");
      cells.push_back(accuracy ? gain_text(table.metrics[kAccuracy], *accuracy) : "");
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

TableCells group_cells(const TaskResult& result) {
  TableCells rows = {{result.category, "examples"}};
  for (const OutcomeRow& row : result.table.rows) {
    rows[0].push_back(row.setting.fixed() ? fmt::to_string(row.setting.exit.max_loops)
                                          : "mean loops, " + row.setting.name());
  }
  for (const OutcomeCategory& group : in_order_of_names(result.categories)) {
    std::vector<std::string> cells = {group.name, fmt::to_string(group.table.questions)};
    for (const OutcomeRow& row : group.table.rows) {
      cells.push_back(row.setting.fixed()
                          ? fmt::format("{:.1f}%", 100 * row.values[kAccuracy].value)
                          : fmt::format("{:.2f}", row.mean_loops));
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

OrderedJson table_json(const OutcomeTable& table) {
  OrderedJson json;
  json["examples"] = table.questions;
  json["tokens"] = table.tokens;
  json["trained_loops"] = table.trained_loops;
  json["rows"] = OrderedJson::array();
  for (const OutcomeRow& row : table.rows) {
    OrderedJson entry = setting_json(row);
    entry["nll"] = interval_json(row.values[kNll]);
    entry["accuracy"] = interval_json(row.values[kAccuracy]);
    entry["exact_match"] = interval_json(row.values[kExact]);
    if (row.gains[kNll]) entry["nll_gain"] = interval_json(*row.gains[kNll]);
    if (row.gains[kAccuracy]) entry["accuracy_gain"] = interval_json(*row.gains[kAccuracy]);
    json["rows"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

Task data_task(const std::string& path, const std::string& by) {
  Task task;
  task.name = path;
  task.kind = TaskKind::kPerplexity;
  task.category = by;
  task.metrics = {TaskMetric::kChoiceNll, TaskMetric::kTokenAccuracy, TaskMetric::kExactMatch};
  return task;
}

Result<TaskQuestions> data_questions(const Task& task, std::vector<EvalExample> examples) {
  TaskQuestions result;
  for (EvalExample& example : examples) {
    TaskQuestion& question = result.questions.emplace_back();
    if (!task.category.empty()) {
      const auto value = example.fields.find(task.category);
      if (value == example.fields.end() || !(value->is_number() || value->is_string())) {
        return invalid_argument(
            fmt::format("--by {}: example {} has no number or string of this name", task.category,
                        result.questions.size()));
      }
      question.category = value->is_string() ? value->get<std::string>() : dump_json(*value);
    }
    question.texts.push_back({.example = std::move(example)});
  }
  return result;
}

std::string data_text(const TaskResult& result, TableFormat format, size_t width) {
  std::string text = text_table(data_cells(result.table), format, width);
  if (has_thresholds(result.table)) {
    text +=
        "\nq: exit at the first loop where the exit probabilities sum to the threshold. Gain: over "
        "a fixed depth of the same\nmean cost, linearly between whole loops; above 0 is better.\n";
  }
  if (!result.categories.empty()) {
    text += fmt::format("\nAccuracy after each loop, by {}:\n\n{}", result.category,
                        text_table(group_cells(result), format, width));
  }
  return text;
}

OrderedJson data_json(const TaskResult& result) {
  OrderedJson json = table_json(result.table);
  if (result.categories.empty()) return json;
  json["by"] = result.category;
  for (const OutcomeCategory& group : in_order_of_names(result.categories)) {
    json["groups"][group.name] = table_json(group.table);
  }
  return json;
}

}  // namespace looplm
