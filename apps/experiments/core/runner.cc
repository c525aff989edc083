#include "experiments/core/runner.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/check.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/timer.h"
#include "experiments/core/settings.h"
#include "experiments/core/study_report.h"

namespace looplm {
namespace {

std::string cell_directory(const std::string& out, const std::string& id) {
  return out + "/cells/" + id;
}

// A finished cell's result; none where there is no whole file of it.
std::optional<Json> read_result(const std::string& out, const std::string& id) {
  Result<Json> file = read_json_file(cell_directory(out, id) + "/result.json");
  if (!file.ok() || !file->is_object() || !file->contains("result")) return std::nullopt;
  return file->at("result");
}

Status check_cells(const std::vector<Cell>& cells) {
  std::set<std::string> ids;
  for (const Cell& cell : cells) {
    LOOPLM_CHECK(!cell.id.empty() && cell.id.find_first_of("/ \n") == std::string::npos,
                 "cell id '{}'", cell.id);
    for (const std::string& need : cell.needs) {
      LOOPLM_CHECK(ids.contains(need), "cell '{}' needs '{}', which does not come before it",
                   cell.id, need);
    }
    LOOPLM_CHECK(ids.insert(cell.id).second, "two cells are named '{}'", cell.id);
  }
  if (cells.empty()) return invalid_argument("the settings leave nothing to run");
  return {};
}

// A run goes on only with the settings it was begun with.
Status claim_directory(const std::string& out, const std::string& settings) {
  const std::string path = out + "/settings.toml";
  if (!file_exists(path)) {
    LOOPLM_RETURN_IF_ERROR(make_directories(out));
    return write_text_file(path, settings);
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string there, read_text_file(path));
  if (there == settings) return {};
  return invalid_argument(
      fmt::format("'{}' holds a run with other settings; choose another --out, or delete it to "
                  "start again. It was begun with:\n{}",
                  out, there));
}

// The cells of one run, handed to threads as what they need is done.
class Run {
 public:
  Run(std::vector<Cell> cells, const StudyRunOptions& options, int threads_per_cell)
      : cells_(std::move(cells)),
        options_(options),
        threads_(threads_per_cell),
        states_(cells_.size(), State::kWaiting),
        shares_(cells_.size(), 0.0) {}

  Status execute() {
    for (size_t i = 0; i < cells_.size(); ++i) {
      std::optional<Json> found = read_result(options_.out, cells_[i].id);
      if (!found) continue;
      results_[cells_[i].id] = std::move(*found);
      states_[i] = State::kDone;
      shares_[i] = 1;
    }
    share_at_start_ = share();
    {
      std::vector<std::jthread> workers;
      for (int j = 0; j < options_.jobs; ++j) workers.emplace_back([this] { work(); });
    }
    if (!failure_.ok()) return failure_;
    if (stopped()) {
      return {StatusCode::kCancelled,
              fmt::format("stopped; the same command goes on from there ('{}')", options_.out)};
    }
    return {};
  }

  const CellResults& results() const { return results_; }

 private:
  enum class State { kWaiting, kRunning, kDone };

  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  // The next cell all of whose needs are done; none while others may still make one ready.
  std::optional<size_t> take(std::unique_lock<std::mutex>& lock) {
    while (true) {
      bool waiting = false;
      if (stopped() || !failure_.ok()) return std::nullopt;
      for (size_t i = 0; i < cells_.size(); ++i) {
        if (states_[i] != State::kWaiting) continue;
        waiting = true;
        const auto& needs = cells_[i].needs;
        if (std::all_of(needs.begin(), needs.end(),
                        [&](const std::string& id) { return results_.contains(id); })) {
          states_[i] = State::kRunning;
          return i;
        }
      }
      if (!waiting) return std::nullopt;
      // Woken by the end of any cell; the time-out lets a stop be seen.
      changed_.wait_for(lock, std::chrono::milliseconds(200));
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (const std::optional<size_t> index = take(lock)) {
      CellContext context = context_of(*index);
      lock.unlock();
      const Timer timer;
      Result<OrderedJson> result = run_cell(*index, context);
      Status status = result.status();
      if (status.ok()) status = keep(*index, result.value(), timer.seconds());
      lock.lock();
      if (status.ok()) {
        states_[*index] = State::kDone;
        shares_[*index] = 1;
        results_[cells_[*index].id] =
            parse_json(dump_json(result.value()), cells_[*index].id).value();
        report(*index, fmt::format("done in {:.0f} s", timer.seconds()), Finished::kYes);
      } else if (status.code() != StatusCode::kCancelled && failure_.ok()) {
        failure_ = status.with_context("cell " + cells_[*index].id);
      }
      changed_.notify_all();
    }
  }

  CellContext context_of(size_t index) {
    const Cell& cell = cells_[index];
    CellContext context;
    context.directory = cell_directory(options_.out, cell.id);
    for (const std::string& id : cell.needs) {
      context.needed_directories[id] = cell_directory(options_.out, id);
      context.needed[id] = results_.at(id);
    }
    context.threads = threads_;
    context.stop = options_.stop;
    context.progress = [this, index](double share, const std::string& note) {
      const std::lock_guard lock(mutex_);
      shares_[index] = std::clamp(share, 0.0, 1.0);
      report(index, note, Finished::kNo);
    };
    return context;
  }

  Result<OrderedJson> run_cell(size_t index, const CellContext& context) {
    LOOPLM_RETURN_IF_ERROR(make_directories(context.directory));
    try {
      return cells_[index].run(context);
    } catch (const std::exception& error) {  // must not leave the thread
      return Status(StatusCode::kResourceExhausted, error.what());
    }
  }

  Status keep(size_t index, const OrderedJson& result, double seconds) const {
    OrderedJson json;
    json["cell"] = cells_[index].id;
    json["seconds"] = seconds;
    json["result"] = result;
    return write_text_file(cell_directory(options_.out, cells_[index].id) + "/result.json",
                           dump_json(json, 1) + "\n");
  }

  double share() const {
    double done = 0, all = 0;
    for (size_t i = 0; i < cells_.size(); ++i) {
      done += cells_[i].cost * shares_[i];
      all += cells_[i].cost;
    }
    return done / all;
  }

  enum class Finished { kNo, kYes };
  // mutex_ is held.
  void report(size_t index, const std::string& note, Finished finished) {
    if (!options_.progress) return;
    StudyProgress p;
    p.cells = static_cast<int>(cells_.size());
    p.cells_done = static_cast<int>(std::count(states_.begin(), states_.end(), State::kDone));
    p.share = share();
    const double gained = p.share - share_at_start_;
    p.seconds_left = gained > 0 ? timer_.seconds() * (1 - p.share) / gained : 0;
    p.cell = cells_[index].id;
    p.note = note;
    p.cell_finished = finished == Finished::kYes;
    options_.progress(p);
  }

  const std::vector<Cell> cells_;
  const StudyRunOptions& options_;
  const int threads_;
  const Timer timer_;
  double share_at_start_ = 0;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<State> states_;
  std::vector<double> shares_;
  CellResults results_;
  Status failure_;
};

}  // namespace

Status run_study(Study& study, const StudyRunOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string settings,
                          effective_settings(options.settings_file, options.overrides));
  LOOPLM_RETURN_IF_ERROR(configure_study(study, settings, options.root, options.settings_file));
  std::vector<Cell> cells = study.cells();
  LOOPLM_RETURN_IF_ERROR(check_cells(cells));
  LOOPLM_ASSIGN_OR_RETURN(const int threads, choose_thread_count(options.threads));
  LOOPLM_RETURN_IF_ERROR(claim_directory(options.out, settings));
  Run run(std::move(cells), options, std::max(1, threads / std::max(1, options.jobs)));
  LOOPLM_RETURN_IF_ERROR(run.execute());
  return write_study_report(study, {settings, processor_name(), run.results()}, options.out);
}

namespace {

// From a run's folder; or from results.json alone, as it is kept of finished runs.
Result<StudyRecord> read_record(Study& study, const std::string& out, const std::string& root) {
  StudyRecord record;
  record.processor = processor_name();
  Json kept = Json::object();
  const std::string results = out + "/results.json";
  if (file_exists(results)) {
    LOOPLM_ASSIGN_OR_RETURN(kept, read_json_file(results));
    LOOPLM_ASSIGN_OR_RETURN(record.processor, json_string(kept, "processor", record.processor));
  }
  std::string source = out + "/settings.toml";
  if (file_exists(source)) {
    LOOPLM_ASSIGN_OR_RETURN(record.settings, read_text_file(source));
  } else if (kept.contains("settings")) {
    source = results;
    LOOPLM_ASSIGN_OR_RETURN(record.settings, json_string(kept, "settings", ""));
  } else {
    return not_found(
        fmt::format("'{}' holds no run: there is neither a settings.toml nor a results.json", out));
  }
  LOOPLM_RETURN_IF_ERROR(configure_study(study, record.settings, root, source));
  const Json cells = kept.contains("cells") ? kept.at("cells") : Json::object();
  std::string missing;
  for (const Cell& cell : study.cells()) {
    std::optional<Json> found = read_result(out, cell.id);
    if (!found && cells.contains(cell.id)) found = cells.at(cell.id);
    if (found) {
      record.results[cell.id] = std::move(*found);
    } else {
      missing += (missing.empty() ? "" : ", ") + cell.id;
    }
  }
  if (missing.empty()) return record;
  return not_found(
      fmt::format("'{}' has no results of the cells {}; `looplm experiment run {} --out {}` goes "
                  "on with it",
                  out, missing, study.name(), out));
}

}  // namespace

Status report_study(Study& study, const std::string& out, const std::string& root) {
  LOOPLM_ASSIGN_OR_RETURN(const StudyRecord record, read_record(study, out, root));
  return write_study_report(study, record, out);
}

Result<std::string> report_markdown(Study& study, const std::string& out, const std::string& root) {
  LOOPLM_ASSIGN_OR_RETURN(const StudyRecord record, read_record(study, out, root));
  LOOPLM_ASSIGN_OR_RETURN(const Document page, study_page(study, record));
  return document_markdown(page);
}

}  // namespace looplm
