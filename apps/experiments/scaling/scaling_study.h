// The study of scaling: its settings, its trainings and its report.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/looped_recipe.h"
#include "experiments/core/study.h"
#include "experiments/scaling/scaling_law.h"

namespace looplm {

struct ScalingSettings {
  // Text files, a document per line.
  std::vector<std::string> text;
  int64_t vocab_size = 512;
  int64_t hold_out_every = 200;  // documents, for the measurements along the runs

  std::vector<ModelSize> sizes;
  std::vector<int> loops = {1, 2, 4};
  // Plain models with these multiples of the layers, to compare with as many loops.
  std::vector<int> dense = {2, 4};
  std::vector<uint64_t> seeds = {1};
  int points = 8;  // measurements along a run, evenly spaced

  RunConfig run;  // but for the model's size and seed

  ScalingFitOptions fit;
  double rise = 0.01;                                   // of stepwise_points, nats
  int kept_sizes = 3;                                   // fitted on when sizes are left out
  int kept_loops = 2;                                   // the same of loops
  std::vector<double> kept_tokens = {0.25, 0.5, 0.75};  // shares fitted on

  ScalingSettings();
  double tokens_per_step() const {
    return static_cast<double>(run.data.sequence_length * run.batch.sequences);
  }
};

Status read_scaling_settings(TomlReader& reader, ScalingSettings& settings);

// One model to train: looped with Stage I, or a plain one of `layers_times` the layers.
struct ScalingRun {
  ModelSize size;
  int loops = 1;
  int layers_times = 1;
  uint64_t seed = 1;

  std::string id() const;
  // Proportional to the time it takes.
  double cost(const ScalingSettings& settings) const;
};

// Looped ones and plain ones; a plain model of one times the layers is the looped one of one loop.
std::vector<ScalingRun> scaling_runs(const ScalingSettings& settings);

// With shards train.tokens and validation.tokens in `data`.
RunConfig scaling_run_config(const ScalingSettings& settings, const ScalingRun& run,
                             const std::string& data);

Result<StudyReport> scaling_report(const ScalingSettings& settings, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_STUDY_H_
