#include "eval/task_document.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "eval/category_order.h"
#include "eval/task_report.h"
#include "infer/exit_rule.h"

namespace looplm {
namespace {

constexpr size_t kMostCategories = 12;  // in a plot

Table table_of(const TableCells& cells, std::string caption = {}) {
  Table table;
  table.columns = cells.front();
  table.rows.assign(cells.begin() + 1, cells.end());
  table.caption = std::move(caption);
  return table;
}

std::string figure_name(const std::string& task, const char* what) {
  std::string name = task + "-" + what;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') c = '-';
  }
  return name;
}

double shown(const MetricColumn& metric, double value) {
  return metric.share ? 100 * value : value;
}

std::string axis(const MetricColumn& metric) {
  return metric.share ? metric.name + " (%)" : metric.name;
}

void add(Series& series, const OutcomeTable& table, const OutcomeRow& row) {
  const MetricColumn& metric = table.metrics[0];
  series.x.push_back(row.mean_loops);
  series.y.push_back(shown(metric, row.values[0].value));
  series.low.push_back(shown(metric, row.values[0].low));
  series.high.push_back(shown(metric, row.values[0].high));
}

// All depths, with room for the outermost points.
std::pair<double, double> depth_range(const OutcomeTable& table) {
  double most = 1;
  for (const OutcomeRow& row : table.rows) most = std::max(most, row.mean_loops);
  return {0.75, most + 0.25};
}

Figure depth_figure(const TaskResult& r) {
  std::map<ExitKind, Series> series;  // fixed depths first
  for (const OutcomeRow& row : r.table.rows) {
    add(series[row.setting.exit.kind], r.table, row);
  }
  Figure figure;
  figure.name = figure_name(r.name, "depth");
  figure.title = r.name;
  figure.x_label = "mean loops per token";
  figure.y_label = axis(r.table.metrics[0]);
  for (auto& [kind, s] : series) {
    s.name = exit_rule_info(kind).title;
    s.style = kind == ExitKind::kFixed ? Series::Style::kLinePoints : Series::Style::kPoints;
    figure.series.push_back(std::move(s));
  }
  figure.markers.push_back({static_cast<double>(r.table.trained_loops), "trained depth"});
  figure.x_range = depth_range(r.table);
  return figure;
}

// Accuracy after each loop of the categories that gain most, or of all where there are few.
Figure category_figure(const TaskResult& r) {
  Figure figure;
  figure.name = figure_name(r.name, "categories");
  figure.title = r.categories.size() > kMostCategories
                     ? fmt::format("{}: the {} categories that gain most", r.name, kMostCategories)
                     : fmt::format("{} by {}", r.name, r.category);
  figure.x_label = "loops";
  figure.y_label = axis(r.table.metrics[0]);
  std::vector<OutcomeCategory> shown_categories = r.categories;
  shown_categories.resize(std::min(kMostCategories, shown_categories.size()));
  for (const OutcomeCategory& category : in_order_of_names(std::move(shown_categories))) {
    Series s;
    s.name = category.name;
    for (const OutcomeRow& row : category.table.rows) {
      if (!row.setting.fixed()) continue;
      s.x.push_back(row.mean_loops);
      s.y.push_back(shown(r.table.metrics[0], row.values[0].value));
    }
    figure.series.push_back(std::move(s));
  }
  figure.markers.push_back({static_cast<double>(r.table.trained_loops), "trained depth"});
  figure.x_range = depth_range(r.table);
  return figure;
}

// A folder for drawing that goes away again.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::error_code error;
    std::filesystem::path place = std::filesystem::temp_directory_path(error);
    if (error) place = "/tmp";  // TMPDIR is no folder
    std::string name = (place / "looplm.XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

Document tasks_document(const std::string& model, const std::vector<TaskResult>& results) {
  Document document;
  document.title = fmt::format("{}, at every depth", model);
  if (results.size() > 1) {
    document.heading("All tasks");
    document.table(table_of(summary_cells(results)));
  }
  for (const TaskResult& r : results) {
    document.heading(r.name);
    std::string text = r.about;
    if (!text.empty()) text += ". ";
    for (const std::string& note : task_notes(r)) text += note + " ";
    document.paragraph(text);
    if (r.table.metrics.empty()) continue;
    document.figure(depth_figure(r));
    document.table(table_of(outcome_cells(r.table)));
    if (r.categories.empty()) continue;
    document.figure(category_figure(r));
    document.table(table_of(category_cells(r), category_caption(r)));
  }
  return document;
}

Status write_html(const Document& document, const std::string& path) {
  const ScratchDirectory scratch;
  if (scratch.path().empty()) return io_error("cannot make a folder for drawing");
  LOOPLM_RETURN_IF_ERROR(write_document(document, scratch.path(), "report"));
  LOOPLM_ASSIGN_OR_RETURN(const std::string page, read_text_file(scratch.path() + "/report.html"));
  return write_text_file(path, page);
}

}  // namespace looplm
