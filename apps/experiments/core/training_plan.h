// How a study trains a small model: from which start, and in which phases. Short examples first is
// what makes small looped models learn (docs/notebook.md).
#ifndef LOOPLM_EXPERIMENTS_CORE_TRAINING_PLAN_H_
#define LOOPLM_EXPERIMENTS_CORE_TRAINING_PLAN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "looplm/train.h"

#include "experiments/core/study.h"
#include "experiments/core/training.h"
#include "train/run_config.h"
#include "train/toml_reader.h"

namespace looplm {

struct TrainingPhase {
  int longest = 1;  // of its examples, in the task's own unit
  int64_t steps = 100;
  double learning_rate = 2e-3;  // at its peak; then along a cosine to 0
};

struct TrainingPlan {
  std::string start;  // a checkpoint directory to go on from; empty: a fresh model
  RunConfig run;      // of every phase; Stage I unless a study says otherwise
  std::vector<TrainingPhase> phases;

  TrainingPlan();
  // The keys of a settings table, and its [[phases]], of which there must be one at least.
  void read(TomlReader& settings);
};

struct PhaseRun {
  std::string from;        // the checkpoint that the phase starts from; empty: a fresh model
  int64_t vocab_size = 0;  // of a fresh model
  std::string validation;  // shard; empty: none
  uint64_t seed = 1;       // of fresh weights and of the order of the data
};
RunConfig phase_run_config(const TrainingPlan& plan, const TrainingPhase& phase,
                           const PhaseRun& run);

// The stream that a phase learns from.
using PhaseStream =
    std::function<std::shared_ptr<const DocumentStream>(const TrainingPhase& phase, size_t index)>;

// Trains all phases, each from the model of the one before, and returns the last one's model with
// the validations of all, steps counted through. `run.from` is where the first starts, in place of
// plan.start where it is not empty.
Result<TrainedModel> train_phases(const CellContext& context, const TrainingPlan& plan,
                                  PhaseRun run, const PhaseStream& stream, double progress_from,
                                  double progress_to);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_TRAINING_PLAN_H_
