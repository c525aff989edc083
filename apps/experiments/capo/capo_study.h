// The study of knowledge capacity: its settings, its trainings and its report.
#ifndef LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_
#define LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/core/looped_recipe.h"
#include "experiments/core/study.h"

namespace looplm {

struct CapoSize : ModelSize {
  std::vector<int64_t> people{};  // that models of this size learn
};

struct CapoSettings {
  std::vector<int64_t> people = {1000};  // of sizes that name none
  std::vector<int> loops = {1, 4};
  std::vector<CapoSize> sizes;
  std::vector<uint64_t> seeds = {1};  // of weights
  uint64_t world = 1;                 // of the people
  int exposures = 200;                // biographies of each person, all different
  RunConfig run;                      // but for size, loops, seed and steps
  double final_share = 0.1;           // of the learning rate at the end of the cosine
  int curve_points = 10;              // measurements along a run

  CapoSettings();
};

Status read_capo_settings(TomlReader& reader, CapoSettings& settings);

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

// `validation`: the shard of the learning curve.
RunConfig capo_run_config(const CapoSettings& settings, const CapoRun& run, int64_t steps,
                          const std::string& validation);

Result<StudyReport> capo_report(const CapoSettings& settings, const CellResults& results);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CAPO_CAPO_STUDY_H_
