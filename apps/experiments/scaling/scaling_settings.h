// Settings of the study of scaling, and the run files that they make.
#ifndef LOOPLM_EXPERIMENTS_SCALING_SCALING_SETTINGS_H_
#define LOOPLM_EXPERIMENTS_SCALING_SCALING_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/scaling/scaling_law.h"
#include "train/toml_reader.h"

namespace looplm {

struct ScalingSize {
  int hidden = 0;
  int layers = 0;
  int heads = 0;
  int intermediate = 0;
};

struct ScalingSettings {
  // Text files, a document per line.
  std::vector<std::string> text;
  int64_t vocab_size = 512;
  int64_t hold_out_every = 200;  // documents, for the measurements along the runs

  std::vector<ScalingSize> sizes;
  std::vector<int> loops = {1, 2, 4};
  // Plain models with so many times the layers, to compare with as many loops.
  std::vector<int> dense = {2, 4};
  std::vector<uint64_t> seeds = {1};
  int points = 8;  // measurements along a run, evenly spaced

  double beta = 0.05;
  int64_t steps = 1000;
  int64_t sequence_length = 256;
  int64_t sequences = 8;
  double learning_rate = 2e-3;
  double weight_decay = 0.1;
  int64_t warmup = 100;
  double initializer_range = 0.08;
  double embedding_initializer_range = 1;
  std::string dtype = "f32";

  ScalingFitOptions fit;
  double rise = 0.01;                                   // of stepwise_points, nats
  int kept_sizes = 3;                                   // fitted on when sizes are left out
  int kept_loops = 2;                                   // the same of loops
  std::vector<double> kept_tokens = {0.25, 0.5, 0.75};  // shares fitted on

  double tokens_per_step() const { return static_cast<double>(sequence_length * sequences); }
};

// Errors are kept by the reader.
void read_scaling_settings(TomlReader& reader, ScalingSettings& settings);

// One model to train: looped with Stage I, or a plain one of `layers_times` the layers.
struct ScalingRun {
  ScalingSize size;
  int loops = 1;
  int layers_times = 1;
  uint64_t seed = 1;

  std::string id() const;
  // Proportional to the time it takes.
  double cost(const ScalingSettings& settings) const;
};

// Looped ones and plain ones; a plain model of one times the layers is the looped one of one loop.
std::vector<ScalingRun> scaling_runs(const ScalingSettings& settings);

// For train_in_cell, with shards train.tokens and validation.tokens in `data`.
std::string scaling_run_file(const ScalingSettings& settings, const ScalingRun& run,
                             const std::string& data);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_SCALING_SCALING_SETTINGS_H_
