#include "eval/run_report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"

namespace looplm {
namespace {

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

// What a log says of one quantity, step by step.
struct Curve {
  std::vector<double> steps;
  std::vector<double> values;

  void add(double step, double value) {
    steps.push_back(step);
    values.push_back(value);
  }
  bool any() const {
    return std::any_of(values.begin(), values.end(), [](double v) { return !std::isnan(v); });
  }
};

// The curves of a run; those of validations are means over its sets, weighted by their tokens.
struct RunLog {
  std::string name;
  Curve loss, exit, gradient_norm, speed, validation_loss;
  std::vector<Curve> nll, validation_nll;  // per loop
  double steps = 0;
};

// Null is what was not measured.
double number(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : kGap;
}

std::vector<double> numbers(const Json& json, const char* key) {
  std::vector<double> values;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return values;
  for (const Json& value : *found) values.push_back(value.is_number() ? value.get<double>() : kGap);
  return values;
}

void add_each(double step, const std::vector<double>& values, std::vector<Curve>& curves) {
  if (curves.size() < values.size()) curves.resize(values.size());
  for (size_t t = 0; t < values.size(); ++t) curves[t].add(step, values[t]);
}

// Sums over a step's validation sets.
struct Validation {
  double tokens = 0;
  double loss = 0;
  std::vector<double> nll;

  void add(const Json& json) {
    const double count = number(json, "tokens");
    if (std::isnan(count) || count <= 0) return;
    tokens += count;
    loss += count * number(json, "loss");
    const std::vector<double> each = numbers(json, "nll");
    nll.resize(std::max(nll.size(), each.size()), 0.0);
    for (size_t t = 0; t < each.size(); ++t) nll[t] += count * each[t];
  }
};

Result<RunLog> read_log(const std::string& run) {
  const std::string path = run + "/log.jsonl";
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, read_text_file(path));
  RunLog log;
  log.name = std::filesystem::path(run).lexically_normal().filename().string();
  if (log.name.empty()) log.name = run;
  std::map<double, Validation> validations;
  std::istringstream lines(text);
  std::string line;
  for (int64_t at = 1; std::getline(lines, line); ++at) {
    // A line that is being written has no end yet.
    if (line.empty() || lines.eof()) continue;
    LOOPLM_ASSIGN_OR_RETURN(const Json json, parse_json(line, fmt::format("{}:{}", path, at)));
    const double step = json.is_object() ? number(json, "step") : kGap;
    if (std::isnan(step)) {
      return invalid_argument(
          fmt::format("{}:{}: no 'step'; expected the log of a training run", path, at));
    }
    log.steps = std::max(log.steps, step);
    if (json.contains("validation")) {
      validations[step].add(json);
      continue;
    }
    log.loss.add(step, number(json, "loss"));
    log.exit.add(step, number(json, "mean_exit"));
    log.gradient_norm.add(step, number(json, "gradient_norm"));
    log.speed.add(step, number(json, "tokens_per_second"));
    add_each(step, numbers(json, "nll"), log.nll);
  }
  if (log.loss.steps.empty()) {
    return invalid_argument(fmt::format("'{}' holds no step of a training run", path));
  }
  for (const auto& [step, sums] : validations) {
    if (sums.tokens == 0) continue;
    log.validation_loss.add(step, sums.loss / sums.tokens);
    std::vector<double> nll = sums.nll;
    for (double& value : nll) value /= sums.tokens;
    add_each(step, nll, log.validation_nll);
  }
  return log;
}

Series series(const std::string& name, const Curve& curve,
              Series::Style style = Series::Style::kLine) {
  return series_of(name, curve.steps, curve.values, style);
}

void add_figure(Figure figure, Document& page) {
  if (!figure.series.empty()) page.figure(std::move(figure));
}

// A figure over the steps of all runs. Where some are much shorter, the axis is logarithmic, so
// that their curves are no strokes at its left end.
Figure over_steps(const std::vector<RunLog>& runs, std::string name, std::string title,
                  std::string y_label) {
  constexpr double kMuchShorter = 4;
  double shortest = INFINITY, longest = 0;
  for (const RunLog& run : runs) {
    shortest = std::min(shortest, run.steps);
    longest = std::max(longest, run.steps);
  }
  const bool log_x = longest > kMuchShorter * shortest;
  Figure figure = figure_of(std::move(name), std::move(title), log_x ? "step, logarithmic" : "step",
                            std::move(y_label));
  figure.log_x = log_x;
  return figure;
}

// One line for each run. A run alone needs no name.
Figure compared(const std::vector<RunLog>& runs, Figure figure, Curve RunLog::*curve) {
  for (const RunLog& run : runs) {
    if (!(run.*curve).any()) continue;
    figure.series.push_back(series(runs.size() == 1 ? "" : run.name, run.*curve));
  }
  return figure;
}

// Validations come last: a run then has the same colour in every figure.
Figure losses(const std::vector<RunLog>& runs) {
  Figure figure =
      compared(runs, over_steps(runs, "loss", "Loss of the objective", "nats"), &RunLog::loss);
  for (const RunLog& run : runs) {
    if (!run.validation_loss.any()) continue;
    figure.series.push_back(series(runs.size() == 1 ? "validation" : run.name + ", validation",
                                   run.validation_loss, Series::Style::kLinePoints));
  }
  return figure;
}

Figure loops(const RunLog& run, size_t number) {
  const bool validated = !run.validation_nll.empty();
  Figure figure =
      figure_of(fmt::format("loops-{}", number + 1),
                fmt::format("{}: nll after each loop{}", run.name, validated ? ", validation" : ""),
                "step", "nats per token");
  const std::vector<Curve>& curves = validated ? run.validation_nll : run.nll;
  for (size_t t = 0; t < curves.size(); ++t) {
    if (curves[t].any()) {
      figure.series.push_back(
          series(fmt::format("loop {}", t + 1), curves[t],
                 validated ? Series::Style::kLinePoints : Series::Style::kLine));
    }
  }
  return figure;
}

std::string text_of(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return kGap;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Table summary(const std::vector<RunLog>& runs) {
  Table table;
  table.columns = {"Run",
                   "Steps",
                   "Last loss",
                   "Lowest validation loss",
                   "at step",
                   "Mean exit at the end",
                   "Tokens/s (median)"};
  for (const RunLog& run : runs) {
    double least = kGap, at = kGap;
    for (size_t i = 0; i < run.validation_loss.values.size(); ++i) {
      const double value = run.validation_loss.values[i];
      if (std::isnan(value) || value >= least) continue;
      least = value;
      at = run.validation_loss.steps[i];
    }
    table.rows.push_back({run.name, text_of(run.steps, 0), text_of(run.loss.values.back(), 4),
                          text_of(least, 4), text_of(at, 0), text_of(run.exit.values.back(), 2),
                          text_of(median(run.speed.values), 0)});
  }
  return table;
}

// Runs of the same last name are told apart by their paths.
void tell_apart(const std::vector<std::string>& paths, std::vector<RunLog>& runs) {
  std::map<std::string, int> counts;
  for (const RunLog& run : runs) ++counts[run.name];
  for (size_t i = 0; i < runs.size(); ++i) {
    if (counts[runs[i].name] > 1) runs[i].name = paths[i];
  }
}

}  // namespace

Result<Document> run_report(const std::vector<std::string>& runs) {
  if (runs.empty()) return invalid_argument("no runs given; expected directories of runs");
  std::vector<RunLog> logs;
  for (const std::string& run : runs) {
    LOOPLM_ASSIGN_OR_RETURN(RunLog log, read_log(run));
    logs.push_back(std::move(log));
  }
  tell_apart(runs, logs);
  Document page;
  page.title = logs.size() == 1 ? "Training run " + runs.front() : "Training runs";
  page.table(summary(logs));
  add_figure(losses(logs), page);
  for (size_t i = 0; i < logs.size(); ++i) add_figure(loops(logs[i], i), page);
  add_figure(
      compared(logs, over_steps(logs, "exit", "Mean exit of the gate", "loops"), &RunLog::exit),
      page);
  Figure norms = over_steps(logs, "gradient-norm", "Gradient norm before clipping", "norm");
  norms.log_y = true;
  add_figure(compared(logs, std::move(norms), &RunLog::gradient_norm), page);
  add_figure(
      compared(logs, over_steps(logs, "speed", "Speed", "tokens per second"), &RunLog::speed),
      page);
  return page;
}

}  // namespace looplm
