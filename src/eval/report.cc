#include "eval/report.h"

#include <fmt/format.h>

#include "eval/outcomes.h"

namespace looplm {
namespace {

// Without resamples.
bool is_point(const Estimate& e) { return e.low == e.value && e.high == e.value; }

std::string number(const Estimate& e, int digits) {
  if (is_point(e)) return fmt::format("{:.{}f}", e.value, digits);
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", e.value, digits, e.low, digits, e.high, digits);
}
std::string percent(const Estimate& e) {
  if (is_point(e)) return fmt::format("{:.1f}%", 100 * e.value);
  return fmt::format("{:.1f}% [{:.1f}, {:.1f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}
std::string points(const Estimate& e) {
  if (is_point(e)) return fmt::format("{:+.1f}", 100 * e.value);
  return fmt::format("{:+.1f} [{:+.1f}, {:+.1f}]", 100 * e.value, 100 * e.low, 100 * e.high);
}

std::string row_name(const DepthTable& table, size_t index) {
  const DepthRow& row = table.rows[index];
  if (row.threshold) {
    return DepthSetting{{.kind = ExitKind::kGate, .threshold = *row.threshold}}.name();
  }
  const auto loops = static_cast<int64_t>(index) + 1;
  const char* const mark = loops == table.trained_loops ? ", as trained" : "";
  return fmt::format("{} loop{}{}", loops, loops == 1 ? "" : "s", mark);
}

// Whether texts hold several tokens each, so that exact match says more than accuracy.
bool is_long(const DepthTable& table) { return table.tokens > table.examples; }

TableCells cells_of(const DepthTable& table) {
  const bool thresholds = table.rows.back().threshold.has_value();
  std::vector<std::string> titles = {"exit", "mean loops", "nll (nats)", "accuracy"};
  if (is_long(table)) titles.push_back("exact match");
  if (thresholds) {
    titles.push_back("nll gain");
    titles.push_back("accuracy gain (points)");
  }
  TableCells rows = {titles};
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const DepthRow& row = table.rows[i];
    std::vector<std::string> cells = {row_name(table, i), fmt::format("{:.2f}", row.mean_loops),
                                      number(row.nll, 3), percent(row.accuracy)};
    if (is_long(table)) cells.push_back(percent(row.exact));
    if (thresholds) {
      cells.push_back(row.nll_gain ? number(*row.nll_gain, 3) : "");
      cells.push_back(row.accuracy_gain ? points(*row.accuracy_gain) : "");
    }
    rows.push_back(cells);
  }
  return rows;
}

OrderedJson to_json(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

}  // namespace

std::string depth_table_text(const DepthTable& table) {
  return text_table(cells_of(table), TableFormat::kText);
}
std::string depth_table_markdown(const DepthTable& table) {
  return text_table(cells_of(table), TableFormat::kMarkdown);
}

OrderedJson depth_table_json(const DepthTable& table) {
  OrderedJson json;
  json["examples"] = table.examples;
  json["tokens"] = table.tokens;
  json["trained_loops"] = table.trained_loops;
  json["rows"] = OrderedJson::array();
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const DepthRow& row = table.rows[i];
    OrderedJson entry;
    if (row.threshold) {
      entry["exit"] = "q";
      entry["threshold"] = *row.threshold;
    } else {
      entry["exit"] = "fixed";
      entry["loops"] = i + 1;
    }
    entry["mean_loops"] = row.mean_loops;
    entry["nll"] = to_json(row.nll);
    entry["accuracy"] = to_json(row.accuracy);
    entry["exact_match"] = to_json(row.exact);
    if (row.nll_gain) entry["nll_gain"] = to_json(*row.nll_gain);
    if (row.accuracy_gain) entry["accuracy_gain"] = to_json(*row.accuracy_gain);
    json["rows"].push_back(entry);
  }
  return json;
}

std::string group_table_text(const std::string& field, const std::vector<EvalGroup>& groups,
                             TableFormat format) {
  std::vector<std::string> titles = {field, "examples"};
  const DepthTable& first = groups.front().table;
  for (size_t i = 0; i < first.rows.size(); ++i) {
    const DepthRow& row = first.rows[i];
    titles.push_back(row.threshold ? "mean loops, " + row_name(first, i)
                                   : fmt::format("{}", i + 1));
  }
  TableCells rows = {titles};
  for (const EvalGroup& group : groups) {
    std::vector<std::string> cells = {group.value, std::to_string(group.table.examples)};
    for (const DepthRow& row : group.table.rows) {
      cells.push_back(row.threshold ? fmt::format("{:.2f}", row.mean_loops)
                                    : fmt::format("{:.1f}%", 100 * row.accuracy.value));
    }
    rows.push_back(cells);
  }
  return text_table(rows, format);
}

}  // namespace looplm
