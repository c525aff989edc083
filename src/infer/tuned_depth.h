// How deep a model needs to think, as `looplm tune` measured it on a task, in a file beside the
// model. A threshold that is chosen from it is a function of the file and the request alone, so the
// same request still gives the same tokens whatever else runs.
#ifndef LOOPLM_INFER_TUNED_DEPTH_H_
#define LOOPLM_INFER_TUNED_DEPTH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/generate.h"
#include "looplm/status.h"

namespace looplm {

struct TunedDepth {
  struct Point {
    double threshold = 0;
    double mean_loops = 0;
  };

  std::string task;
  ExitKind kind = ExitKind::kGate;
  int64_t loops = 0;  // of the model
  // The least mean depth that lost no more than `allowed` of the metric on half of the questions.
  // What follows was measured on the other half: points of a share, else the metric's own unit.
  double threshold = 0;
  double mean_loops = 0;
  std::string metric;
  double allowed = 0;
  double loss = 0;
  double loss_low = 0;
  double loss_high = 0;
  std::vector<Point> curve;  // ascending in mean_loops; at least one

  ExitOptions exit() const { return {.kind = kind, .threshold = threshold}; }
  // With the threshold that gave this mean depth on the task, linearly between those that were
  // measured. Fails on a depth outside them.
  Result<ExitOptions> exit_at(double mean_loops) const;
};

// looplm-depth.json in a directory, NAME.depth.json beside NAME.gguf.
std::string tuned_depth_file(const std::string& model_path);

// One per task, the newest first; none where there is no file. Fails on a file that is not for a
// model of these loops.
Result<std::vector<TunedDepth>> read_tuned_depths(const std::string& model_path,
                                                  const ModelConfig& config);
// Puts it first, in place of an older one for the task.
Status add_tuned_depth(const std::string& model_path, const ModelConfig& config,
                       const TunedDepth& tuned);

}  // namespace looplm

#endif  // LOOPLM_INFER_TUNED_DEPTH_H_
