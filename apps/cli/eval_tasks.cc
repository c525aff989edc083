#include "cli/eval_tasks.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "base/count_text.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/token_text.h"
#include "common/project_files.h"
#include "common/terminal.h"
#include "eval/data_report.h"
#include "eval/figure.h"
#include "eval/task.h"
#include "eval/task_document.h"
#include "eval/task_report.h"
#include "eval/task_run.h"
#include "infer/exit_rule.h"
#include "model/chat_model.h"

namespace looplm::cli {
namespace {

// "q:0.1,0.5", "difference:auto"
Result<ExitRequest> parse_exit(const std::string& option, const std::string& text) {
  const auto bad = [&](const std::string& what) {
    return invalid_argument(fmt::format(
        "{} {}: {}; after the rule stand a colon and thresholds with commas, or 'auto' for "
        "thresholds from the model's own figures",
        option, text, what));
  };
  const size_t colon = text.find(':');
  Result<ExitKind> kind = exit_kind_from_name(text.substr(0, colon));
  if (!kind.ok()) return kind.status().with_context(option);
  if (*kind == ExitKind::kFixed)
    return bad("a fixed depth is not a rule; --loops gives the depths");
  if (colon == std::string::npos) return bad("no threshold");
  ExitRequest request;
  request.kind = *kind;
  std::string rest = text.substr(colon + 1);
  if (rest == "auto") {
    if (request.kind == ExitKind::kGate) return bad("q takes no 'auto'");
    request.automatic = true;
    return request;
  }
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    double threshold = 0;
    const auto [stop, error] = std::from_chars(rest.data(), rest.data() + comma, threshold);
    if (error != std::errc() || stop != rest.data() + comma || !(threshold >= 0) ||
        threshold > exit_rule_info(request.kind).most_threshold) {
      return bad(fmt::format("'{}' is not a threshold for it", rest.substr(0, comma)));
    }
    request.thresholds.push_back(threshold);
    if (comma == rest.size()) return request;
    rest.erase(0, comma + 1);
  }
}

Result<std::vector<ExitRequest>> parse_exits(const std::string& option,
                                             const std::vector<std::string>& texts,
                                             const ModelConfig& config) {
  std::vector<ExitRequest> exits;
  std::set<std::pair<ExitKind, double>> seen;
  for (const std::string& text : texts) {
    LOOPLM_ASSIGN_OR_RETURN(ExitRequest request, parse_exit(option, text));
    // A model of one loop has nothing to leave out; one without a gate has no exit distribution.
    if (config.loops == 1) continue;
    if (request.kind == ExitKind::kGate && !config.exit_gate) continue;
    for (const double threshold : request.thresholds) {
      if (!seen.emplace(request.kind, threshold).second) {
        return invalid_argument(
            fmt::format("{} {}: the threshold {} is given twice", option, text, threshold));
      }
    }
    exits.push_back(std::move(request));
  }
  return exits;
}

// Shows how far a task is, where somebody looks.
class ProgressLine {
 public:
  ProgressLine() {
    if (isatty(STDERR_FILENO) == 0) return;
    show = [](const std::string& what, double share) {
      fmt::print(stderr, "\r\x1b[K{} {:3.0f}%", what, 100 * share);
      std::fflush(stderr);
    };
  }
  void clear() const {
    if (show) fmt::print(stderr, "\r\x1b[K");
  }
  std::function<void(const std::string& what, double share)> show;  // empty: nobody looks
};

Result<std::unique_ptr<Model>> load(const ModelChoice& choice) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string directory, locate_model(choice.directory));
  return Model::load(directory, choice.options());
}

// Of both kinds of run.
TaskRunOptions run_options(const EvalOptions& options, const ModelConfig& config,
                           const ProgressLine& line) {
  TaskRunOptions run;
  run.loops = options.loops == 0 ? std::min(2 * config.loops, kMaxLoops) : options.loops;
  run.limits.questions = options.limit;
  run.limits.folder.directory = options.data_folder;
  run.table.resamples = options.resamples;
  run.category_intervals = options.json || options.csv;
  run.progress = line.show;
  return run;
}

std::string file_word(const std::string& text) {
  std::string word;
  for (char c : text)
    word += (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.') ? c : '-';
  return word;
}

// A file per generating task and setting, a line per text.
Status save_texts(const std::string& folder, const TaskResult& result) {
  if (result.saved.empty()) return {};
  LOOPLM_RETURN_IF_ERROR(make_directories(folder));
  for (size_t s = 0; s < result.saved.size(); ++s) {
    std::string lines;
    for (const SavedText& text : result.saved[s]) lines += dump_json(text.fields) + "\n";
    const std::string name = fmt::format("{}/{}.{}.jsonl", folder, file_word(result.name),
                                         file_word(result.table.rows[s].setting.name()));
    LOOPLM_RETURN_IF_ERROR(write_text_file(name, lines));
  }
  return {};
}

// What is known before the model runs: that files and folders of results can be written.
Status check_targets(const EvalOptions& options) {
  if (!options.html.empty()) {
    const std::filesystem::path path(options.html);
    const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
    if (is_directory(options.html) || !is_directory(folder) || access(folder.c_str(), W_OK) != 0) {
      return invalid_argument(
          fmt::format("--html {}: cannot be written; expected a file's name in a folder that is "
                      "there and that may be written to",
                      options.html));
    }
    LOOPLM_RETURN_IF_ERROR(check_gnuplot().with_context("--html"));
  }
  if (options.save.empty()) return {};
  LOOPLM_RETURN_IF_ERROR(make_directories(options.save).with_context("--save"));
  if (access(options.save.c_str(), W_OK) != 0) {
    return invalid_argument(fmt::format("--save {}: cannot be written to", options.save));
  }
  return {};
}

// Files and rows are told apart by names.
Status check_names(const std::vector<Task>& tasks) {
  std::map<std::string, std::string> files;
  for (const Task& task : tasks) {
    const auto [known, added] = files.emplace(file_word(task.name), task.file);
    if (!added) {
      return invalid_argument(
          fmt::format("'{}' and '{}' are both called '{}'; expected one of them", known->second,
                      task.file, task.name));
    }
  }
  return {};
}

// Text appears task by task; what is one document, at the end.
class ResultPrinter {
 public:
  ResultPrinter(const EvalOptions& options, const Model& model)
      : options_(options),
        model_(model),
        format_(options.markdown ? TableFormat::kMarkdown : TableFormat::kText) {}

  void finished(const TaskResult& result) const {
    if (options_.json || options_.csv) return;
    const size_t width = options_.markdown ? 0 : terminal_width();
    fmt::print("{}\n", fold_long_lines(task_text(result, format_, width), width));
    std::fflush(stdout);
  }

  void end(const std::vector<TaskResult>& results) const {
    if (options_.json) {
      OrderedJson json;
      json["model"] = model_.name();
      json["tasks"] = OrderedJson::array();
      for (const TaskResult& r : results) json["tasks"].push_back(task_json(r));
      fmt::print("{}\n", dump_json(json));
    } else if (options_.csv) {
      fmt::print("{}", tasks_csv(results));
    } else if (results.size() > 1) {
      fmt::print("{}\n\n{}", options_.markdown ? "## All tasks" : "All tasks",
                 text_table(summary_cells(results), format_, terminal_width()));
    }
    std::fflush(stdout);
  }

 private:
  const EvalOptions& options_;
  const Model& model_;
  TableFormat format_;
};

bool is_task_file(const std::filesystem::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

}  // namespace

Result<std::string> locate_task(const std::string& task) {
  const std::filesystem::path path(task);
  if (path.has_parent_path() || is_task_file(path)) return task;
  const std::vector<std::string> places = project_places("tasks/" + task + ".yaml");
  for (const std::string& place : places) {
    if (file_exists(place)) return place;
  }
  return not_found(fmt::format(
      "no task is called '{}'; looplm eval --list names those there are, and a file's name ends in "
      ".yaml",
      task));
}

Check not_a_task() {
  return read_by(
      [](const std::string& given) -> Status {
        const std::filesystem::path path(given);
        const bool is_name = !given.empty() && !path.has_parent_path() && !name_exists(given);
        if (!is_task_file(path) && (!is_name || !locate_task(given).ok())) return {};
        return invalid_argument(fmt::format("'{}' is a task; expected a model", given));
      },
      "");
}

Status eval_tasks(const EvalOptions& options) {
  // Everything that can be wrong is read before the model runs.
  std::vector<Task> tasks;
  for (const std::string& name : options.tasks) {
    LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_task(name));
    LOOPLM_ASSIGN_OR_RETURN(Task task, read_task(path));
    tasks.push_back(std::move(task));
  }
  LOOPLM_RETURN_IF_ERROR(check_names(tasks));
  LOOPLM_RETURN_IF_ERROR(check_targets(options));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, load(options.model));
  const ModelConfig& config = model->config();
  const ProgressLine line;
  TaskRunOptions run = run_options(options, config, line);
  run.generate_loops = options.generate_loops;
  if (run.generate_loops.empty()) run.generate_loops = depths_to(run.loops);
  for (const int64_t loops : run.generate_loops) {
    if (std::count(run.generate_loops.begin(), run.generate_loops.end(), loops) > 1) {
      return invalid_argument(fmt::format("--generate-loops: {} is given twice", loops));
    }
  }
  LOOPLM_ASSIGN_OR_RETURN(run.exits, parse_exits("--exit", options.exits, config));
  LOOPLM_ASSIGN_OR_RETURN(run.generate_exits,
                          parse_exits("--generate-exit", options.generate_exits, config));
  std::vector<TaskQuestions> questions;
  for (const Task& task : tasks) {
    if (run.progress) run.progress(task.name + ": reading", 0);
    Result<TaskQuestions> read = task_questions(task, *model, run.limits);
    if (!read.ok()) {
      line.clear();
      return read.status();
    }
    questions.push_back(std::move(*read));
  }
  // What has been measured is printed, whatever fails later.
  const ResultPrinter printer(options, *model);
  std::vector<TaskResult> results;
  Status status;
  for (size_t i = 0; i < tasks.size() && status.ok(); ++i) {
    Result<TaskResult> result = run_task(*model, tasks[i], std::move(questions[i]), run);
    line.clear();
    status = result.status();
    if (!status.ok()) break;
    results.push_back(std::move(*result));
    printer.finished(results.back());
    if (!options.save.empty()) status = save_texts(options.save, results.back());
  }
  if (!results.empty()) printer.end(results);
  if (!options.html.empty() && !results.empty()) {
    const Status written = write_html(tasks_document(model->name(), results), options.html);
    if (status.ok()) status = written;
  }
  return status;
}

Status eval_data(const EvalOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string path, locate_model(options.model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(path, options.model.options()));
  const ModelConfig& config = model->config();
  std::optional<Result<ChatTemplate>> chat;  // why there is none matters to chats alone
  if (model->tokenizer() != nullptr) {
    chat = load_chat_template(path, *model->tokenizer(), options.model.adapter);
  }
  LOOPLM_ASSIGN_OR_RETURN(std::vector<EvalExample> examples,
                          read_examples(options.data, model->tokenizer(),
                                        {.vocab_size = config.vocab_size,
                                         .max_positions = config.max_positions,
                                         .examples = options.limit},
                                        chat ? &*chat : nullptr));
  const Task task = data_task(options.data, options.by);
  LOOPLM_ASSIGN_OR_RETURN(TaskQuestions questions, data_questions(task, std::move(examples)));
  const ProgressLine line;
  TaskRunOptions run = run_options(options, config, line);
  run.loops = std::max(run.loops, config.loops);
  if (config.exit_gate && config.loops > 1) run.exits = {{ExitKind::kGate, options.thresholds}};
  Result<TaskResult> result = run_task(*model, task, std::move(questions), run);
  line.clear();
  LOOPLM_RETURN_IF_ERROR(result.status());
  if (options.json) {
    OrderedJson json = {{"model", model->name()}, {"data", options.data}};
    json.update(data_json(*result));
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  const size_t width = options.markdown ? 0 : terminal_width();
  const std::string text = fmt::format(
      "{} on {}: {}, {}{}\n\n{}", model->name(), options.data,
      count_text(result->table.questions, "example"),
      count_text(result->table.tokens, "scored token"),
      options.resamples > 0 ? "; 95% intervals in brackets" : "",
      data_text(*result, options.markdown ? TableFormat::kMarkdown : TableFormat::kText, width));
  fmt::print("{}", fold_long_lines(text, width));
  return {};
}

Status list_tasks() {
  for (const std::string& place : project_places("tasks")) {
    if (!is_directory(place)) continue;
    LOOPLM_ASSIGN_OR_RETURN(std::vector<std::string> files, list_directory(place));
    std::erase_if(files, [](const std::string& name) { return !name.ends_with(".yaml"); });
    TableCells rows = {{"task", "kind", "data", "about"}};
    for (const std::string& file : files) {
      LOOPLM_ASSIGN_OR_RETURN(const Task task, read_task(place + "/" + file));
      const bool here = find_data(task, task.data.front(), {}).ok();
      rows.push_back({std::filesystem::path(file).stem().string(), task_kind_name(task.kind),
                      here ? "shipped" : "yours", task.about});
    }
    // Titles and texts line up on the left here.
    std::vector<size_t> width(rows[0].size());
    for (const auto& row : rows) {
      for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
    }
    for (const auto& row : rows) {
      const std::string start = fmt::format("{:<{}}  {:<{}}  {:<{}}  ", row[0], width[0], row[1],
                                            width[1], row[2], width[2]);
      fmt::print("{}{}\n", start, folded(row[3], start.size(), terminal_width()));
    }
    return {};
  }
  return not_found("there is no folder 'tasks' beside the program");
}

}  // namespace looplm::cli
