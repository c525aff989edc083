// The least mean depth that costs a task almost nothing: a rule's threshold is chosen on one half
// of the questions, and what it costs is measured on the other.
#ifndef LOOPLM_EVAL_TUNE_DEPTH_H_
#define LOOPLM_EVAL_TUNE_DEPTH_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "looplm/model.h"
#include "looplm/status.h"

#include "eval/bootstrap.h"
#include "eval/task.h"
#include "eval/task_questions.h"
#include "infer/tuned_depth.h"

namespace looplm {

struct TuneOptions {
  ExitKind kind = ExitKind::kGate;
  double allowed = 0.5;   // loss against all loops: points of a share, else the metric's own unit
  Resampling resampling;  // whose seed also cuts the questions in two
  QuestionLimits limits;
  std::function<void(double share)> progress{};
};

struct TuneResult {
  int64_t questions = 0;  // that the threshold was chosen on
  int64_t held_out = 0;
  Estimate chosen_loss;    // of the threshold, where it was chosen
  double full = 0;         // the metric of all loops, held out
  double tuned_value = 0;  // and under the rule
  // None where every depth below the model's lost too much. A threshold counts only if the whole
  // interval of its loss stays within what is allowed.
  std::optional<TunedDepth> tuned;
};

// For tasks that score texts; fails for others, and with fewer than 20 questions.
Result<TuneResult> tune_depth(Model& model, const Task& task, const TuneOptions& options);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TUNE_DEPTH_H_
