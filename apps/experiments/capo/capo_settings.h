// Settings of the study of knowledge capacity, and the run files that they make.
#ifndef LOOPLM_EXPERIMENTS_CAPO_CAPO_SETTINGS_H_
#define LOOPLM_EXPERIMENTS_CAPO_CAPO_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "train/toml_reader.h"

namespace looplm {

struct CapoSize {
  int hidden = 0;
  int layers = 0;
  int heads = 0;
  int intermediate = 0;
  std::vector<int64_t> people{};  // that models of this size learn
};

struct CapoSettings {
  std::vector<int64_t> people = {1000};  // of sizes that name none
  std::vector<int> loops = {1, 4};
  std::vector<CapoSize> sizes;
  std::vector<uint64_t> seeds = {1};  // of weights
  uint64_t world = 1;                 // of the people
  int exposures = 200;                // biographies of each person, all different

  std::string norm_placement = "pre";
  bool tie_embeddings = true;
  double initializer_range = 0.08;
  double embedding_initializer_range = 0.08;

  int64_t sequence_length = 512;
  int64_t sequences = 4;
  double learning_rate = 1e-2;
  double final_share = 0.1;  // of the learning rate at the end of the cosine
  double beta2 = 0.98;
  double epsilon = 1e-6;
  double weight_decay = 0.02;
  int64_t warmup = 100;
  std::string dtype = "f32";
  int curve_points = 10;  // measurements along a run
};

// Errors are kept by the reader.
void read_capo_settings(TomlReader& reader, CapoSettings& settings);

// One model to train.
struct CapoRun {
  int64_t people = 0;
  CapoSize size;
  int loops = 1;
  uint64_t seed = 1;

  std::string id() const;
  // Proportional to the time it takes.
  double cost(const CapoSettings& settings) const;
};

// The smallest first, so that the first results come soon.
std::vector<CapoRun> capo_runs(const CapoSettings& settings);

// Steps in which everybody is seen `exposures` times, by packing one exposure (or as many as make
// ten thousand biographies) as training does.
int64_t capo_steps(const CapoSettings& settings, int64_t people);

// For train_in_cell. `validation`: the shard of the learning curve.
std::string capo_run_file(const CapoSettings& settings, const CapoRun& run, int64_t steps,
                          const std::string& validation);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_CAPO_SETTINGS_H_
