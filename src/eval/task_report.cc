#include "eval/task_report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/count_text.h"

namespace looplm {
namespace {

constexpr size_t kFirst = 0;  // the metric that shorter tables show

bool has_gains(const OutcomeTable& table) {
  return std::any_of(table.rows.begin(), table.rows.end(), [](const OutcomeRow& row) {
    return !row.gains.empty() && row.gains[kFirst].has_value();
  });
}

std::string relative_text(const OutcomeCategory& c) {
  if (!c.gain) return "";
  return std::isfinite(*c.gain) ? fmt::format("{:+.1f}%", 100 * *c.gain) : "from 0";
}

std::string short_value(const MetricColumn& metric, double value) {
  return metric.share ? fmt::format("{:.1f}%", 100 * value) : fmt::format("{:.3f}", value);
}

OrderedJson table_json(const OutcomeTable& table) {
  OrderedJson json;
  json["questions"] = table.questions;
  json["tokens"] = table.tokens;
  json["trained_loops"] = table.trained_loops;
  json["rows"] = OrderedJson::array();
  for (const OutcomeRow& row : table.rows) {
    OrderedJson entry = setting_json(row);
    for (size_t m = 0; m < table.metrics.size(); ++m) {
      entry[table.metrics[m].name] = interval_json(row.values[m]);
      if (row.gains[m]) entry["gain"][table.metrics[m].name] = interval_json(*row.gains[m]);
    }
    json["rows"].push_back(entry);
  }
  return json;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

void add_csv(const std::string& task, const std::string& category, const OutcomeTable& table,
             std::string& csv) {
  for (const OutcomeRow& row : table.rows) {
    const ExitOptions& exit = row.setting.exit;
    for (size_t m = 0; m < table.metrics.size(); ++m) {
      const Estimate& v = row.values[m];
      csv += fmt::format("{},{},{},{},{},{:.6g},{},{},{:.8g},{:.8g},{:.8g}", csv_field(task),
                         csv_field(category), exit_kind_name(exit.kind),
                         row.setting.fixed() ? "" : fmt::format("{:.8g}", exit.threshold),
                         row.setting.fixed() ? fmt::to_string(exit.max_loops) : "", row.mean_loops,
                         table.questions, csv_field(table.metrics[m].name), v.value, v.low, v.high);
      const std::optional<Estimate>& g = row.gains[m];
      csv += g ? fmt::format(",{:.8g},{:.8g},{:.8g}\n", g->value, g->low, g->high) : ",,,\n";
    }
  }
}

}  // namespace

std::string row_name(const OutcomeTable& table, const OutcomeRow& row) {
  const bool trained = row.setting.fixed() && row.setting.exit.max_loops == table.trained_loops;
  return row.setting.name() + (trained ? ", as trained" : "");
}

std::string gain_text(const MetricColumn& metric, const Estimate& e) {
  const double unit = metric.share ? 100 : 1;
  const int digits = metric.share ? 1 : 3;
  if (e.low == e.high) return fmt::format("{:+.{}f}", unit * e.value, digits);
  return fmt::format("{:+.{}f} [{:+.{}f}, {:+.{}f}]", unit * e.value, digits, unit * e.low, digits,
                     unit * e.high, digits);
}

OrderedJson interval_json(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

OrderedJson setting_json(const OutcomeRow& row) {
  OrderedJson json;
  json["exit"] = exit_kind_name(row.setting.exit.kind);
  if (row.setting.fixed()) {
    json["loops"] = row.setting.exit.max_loops;
  } else {
    json["threshold"] = row.setting.exit.threshold;
  }
  json["mean_loops"] = row.mean_loops;
  return json;
}

std::string estimate_text(const MetricColumn& metric, const Estimate& e) {
  const std::string value = short_value(metric, e.value);
  if (e.low == e.value && e.high == e.value) return value;
  if (metric.share) return fmt::format("{} [{:.1f}, {:.1f}]", value, 100 * e.low, 100 * e.high);
  return fmt::format("{} [{:.3f}, {:.3f}]", value, e.low, e.high);
}

TableCells outcome_cells(const OutcomeTable& table) {
  const bool gains = has_gains(table);
  std::vector<std::string> titles = {"exit", "mean loops"};
  for (const MetricColumn& m : table.metrics) titles.push_back(m.name);
  if (gains) {
    titles.push_back(fmt::format("{} gain{}", table.metrics[kFirst].name,
                                 table.metrics[kFirst].share ? " (points)" : ""));
  }
  TableCells rows = {titles};
  for (const OutcomeRow& row : table.rows) {
    std::vector<std::string> cells = {row_name(table, row), fmt::format("{:.2f}", row.mean_loops)};
    for (size_t m = 0; m < table.metrics.size(); ++m) {
      cells.push_back(estimate_text(table.metrics[m], row.values[m]));
    }
    if (gains) {
      cells.push_back(row.gains[kFirst] ? gain_text(table.metrics[kFirst], *row.gains[kFirst])
                                        : "");
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

TableCells category_cells(const TaskResult& result) {
  const OutcomeTable& whole = result.table;
  std::vector<std::string> titles = {result.category, "questions"};
  std::vector<size_t> shown;  // fixed depths up to the trained one, then exit rules' mean loops
  for (size_t r = 0; r < whole.rows.size(); ++r) {
    const DepthSetting& s = whole.rows[r].setting;
    if (!s.fixed() || s.exit.max_loops > whole.trained_loops) continue;
    shown.push_back(r);
    titles.push_back(s.name());
  }
  titles.emplace_back("gain");
  const size_t fixed = shown.size();
  for (size_t r = 0; r < whole.rows.size(); ++r) {
    if (whole.rows[r].setting.exit.kind != ExitKind::kGate) continue;
    shown.push_back(r);
    titles.push_back(whole.rows[r].setting.name());
  }
  TableCells rows = {titles};
  for (const OutcomeCategory& c : result.categories) {
    std::vector<std::string> cells = {c.name, fmt::to_string(c.table.questions)};
    for (size_t i = 0; i < shown.size(); ++i) {
      const OutcomeRow& row = c.table.rows[shown[i]];
      if (i == fixed) cells.push_back(relative_text(c));
      cells.push_back(i < fixed ? short_value(c.table.metrics[kFirst], row.values[kFirst].value)
                                : fmt::format("{:.2f}", row.mean_loops));
    }
    if (shown.size() == fixed) cells.push_back(relative_text(c));
    rows.push_back(std::move(cells));
  }
  return rows;
}

std::string category_caption(const TaskResult& result) {
  std::string text = fmt::format(
      "{} after each loop by {}, most gain first; gain: from one loop to the trained depth",
      result.table.metrics[kFirst].name, result.category);
  const bool gate =
      std::any_of(result.table.rows.begin(), result.table.rows.end(),
                  [](const OutcomeRow& row) { return row.setting.exit.kind == ExitKind::kGate; });
  return gate ? text + "; q: mean loops" : text;
}

TableCells summary_cells(const std::vector<TaskResult>& results) {
  std::vector<std::string> titles = {"loops"};
  std::vector<int64_t> depths;
  for (const TaskResult& r : results) {
    if (r.table.metrics.empty()) continue;
    const std::string shots = r.shots > 0 ? ", " + count_text(r.shots, "shot") : "";
    titles.push_back(fmt::format("{} ({}{})", r.name, r.table.metrics[kFirst].name, shots));
    for (const OutcomeRow& row : r.table.rows) {
      if (row.setting.fixed()) depths.push_back(row.setting.exit.max_loops);
    }
  }
  std::sort(depths.begin(), depths.end());
  depths.erase(std::unique(depths.begin(), depths.end()), depths.end());
  TableCells rows = {titles};
  for (const int64_t loops : depths) {
    const bool trained = !results.empty() && loops == results.front().table.trained_loops;
    std::vector<std::string> cells = {fmt::format("{}{}", loops, trained ? ", as trained" : "")};
    for (const TaskResult& r : results) {
      if (r.table.metrics.empty()) continue;
      const OutcomeRow* row = r.table.fixed(loops);
      cells.push_back(
          row == nullptr ? "" : short_value(r.table.metrics[kFirst], row->values[kFirst].value));
    }
    rows.push_back(std::move(cells));
  }
  return rows;
}

std::vector<std::string> task_notes(const TaskResult& r) {
  std::vector<std::string> notes;
  const bool generates = r.kind == TaskKind::kGenerate;
  const double done = static_cast<double>(r.table.questions) *
                      (generates ? static_cast<double>(r.table.rows.size()) : 1.0);
  notes.push_back(fmt::format(
      "{}, {} {}{}, {:.1f} s, {:.1f} questions/s.", count_text(r.table.questions, "question"),
      count_text(r.texts, "text"),
      generates ? "for each of " + count_text(r.table.rows.size(), "setting") : "scored",
      r.shots > 0 ? fmt::format(", {} before each question", count_text(r.shots, "example")) : "",
      r.seconds, r.seconds > 0 ? done / r.seconds : 0.0));
  if (r.shortened > 0) {
    notes.push_back(fmt::format("{} had fewer examples, for want of positions.",
                                count_text(r.shortened, "question")));
  }
  const bool intervals = std::any_of(r.table.rows.begin(), r.table.rows.end(), [](const auto& row) {
    return std::any_of(row.values.begin(), row.values.end(),
                       [](const Estimate& e) { return e.low != e.high; });
  });
  if (intervals) notes.emplace_back("95% intervals in brackets.");
  if (has_gains(r.table)) {
    notes.emplace_back(
        "Gain: over a fixed depth of the same mean cost, linearly between whole loops; above 0 is "
        "better.");
  }
  return notes;
}

std::string task_text(const TaskResult& r, TableFormat format, size_t width) {
  const bool markdown = format == TableFormat::kMarkdown;
  std::string text = markdown ? fmt::format("## {}\n\n", r.name) : r.name;
  if (!r.about.empty()) text += markdown ? r.about + "\n\n" : ": " + r.about;
  if (!markdown) text += "\n\n";
  if (!r.table.metrics.empty()) text += text_table(outcome_cells(r.table), format, width) + "\n";
  for (const std::string& note : task_notes(r)) text += note + (markdown ? " " : "\n");
  if (markdown) text += "\n";
  if (!r.categories.empty() && !r.table.metrics.empty()) {
    text += fmt::format("\n{}\n\n{}", category_caption(r),
                        text_table(category_cells(r), format, width));
  }
  return text;
}

OrderedJson task_json(const TaskResult& r) {
  OrderedJson json;
  json["task"] = r.name;
  json["kind"] = task_kind_name(r.kind);
  json["shots"] = r.shots;
  json["shortened"] = r.shortened;
  json["texts"] = r.texts;
  json["seconds"] = r.seconds;
  json["metrics"] = OrderedJson::array();
  for (const MetricColumn& m : r.table.metrics) json["metrics"].push_back(m.name);
  json.update(table_json(r.table));
  if (!r.categories.empty()) {
    json["category"] = r.category;
    json["categories"] = OrderedJson::array();
    for (const OutcomeCategory& c : r.categories) {
      OrderedJson entry;
      entry["name"] = c.name;
      if (c.gain && std::isfinite(*c.gain)) entry["relative_gain"] = *c.gain;
      if (c.absolute) entry["absolute_gain"] = *c.absolute;
      entry.update(table_json(c.table));
      json["categories"].push_back(std::move(entry));
    }
  }
  return json;
}

std::string tasks_csv(const std::vector<TaskResult>& results) {
  std::string csv =
      "task,category,exit,threshold,loops,mean_loops,questions,metric,value,low,high,gain,gain_low,"
      "gain_high\n";
  for (const TaskResult& r : results) {
    add_csv(r.name, "", r.table, csv);
    for (const OutcomeCategory& c : r.categories) add_csv(r.name, c.name, c.table, csv);
  }
  return csv;
}

}  // namespace looplm
