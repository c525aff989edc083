// Runs a study's cells and writes its report.
//
//   OUT/settings.toml            the settings with all changes: a run goes on only with the same.
//                                In its strings {root} stands for the project's folder (or
//                                share/looplm) and {study} for the study's in it
//   OUT/cells/ID/result.json     of each finished cell, with the seconds it took
//   OUT/results.json             settings, machine, all results and claims
//   OUT/report.html, report.md   and the figures as .svg and .png
#ifndef LOOPLM_EXPERIMENTS_CORE_RUNNER_H_
#define LOOPLM_EXPERIMENTS_CORE_RUNNER_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "experiments/core/study.h"

namespace looplm {

struct StudyProgress {
  int cells_done = 0;
  int cells = 0;
  double share = 0;         // 0 to 1, by cost
  double seconds_left = 0;  // estimate; 0 while unknown
  std::string cell;         // that spoke
  std::string note;
  bool cell_finished = false;
};

struct StudyRunOptions {
  std::string settings_file;           // TOML
  std::vector<std::string> overrides;  // "key=value"
  std::string root;                    // what {root} in settings stands for; empty: not known
  std::string out;
  int jobs = 1;     // cells at once
  int threads = 0;  // of all cells together; 0: all processors
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const StudyProgress&)> progress;  // from one thread at a time
};

// Runs the cells that have no result yet, then writes the report. kCancelled when stopped; what is
// done is kept, and a cell's error ends the run once the others have stopped.
Status run_study(Study& study, const StudyRunOptions& options);

// The report again from the results in OUT, without running anything: a run's folder, or one that
// holds only the results.json of a finished run. Cells without a result are an error that names
// them.
Status report_study(Study& study, const std::string& out, const std::string& root);

// The Markdown of that report, which is neither written nor drawn.
Result<std::string> report_markdown(Study& study, const std::string& out, const std::string& root);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_RUNNER_H_
