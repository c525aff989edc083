// What a run saves besides the model, so that it can go on bit for bit.
#ifndef LOOPLM_TRAIN_TRAIN_STATE_H_
#define LOOPLM_TRAIN_TRAIN_STATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "kernels/device.h"
#include "model/checkpoint.h"
#include "model/parameter_set.h"
#include "train/data_loader.h"
#include "train/optimizer.h"
#include "train/run_config.h"

namespace looplm {

struct TrainState {
  int64_t step = 0;             // steps done
  int64_t optimizer_steps = 0;  // of them that changed weights
  LoaderState loader;
  RunConfig run;
  std::vector<uint64_t> data_hashes;
  uint64_t frozen_hash = 0;  // of the weights that are not trained; 0: all are

  // The validation with the lowest loss so far.
  struct Best {
    int64_t step = 0;  // 0: none yet
    double loss = 0;
    int64_t since = 0;  // validations after it
  } best;
};

// Writes DIRECTORY with optimizer.safetensors, train_state.json, and the trained parameters: where
// these are all, config.json and model.safetensors in fp32 (a model like any other, with the
// companions that `options` names), else trained.safetensors. It appears whole or not at all.
Status save_train_checkpoint(const std::string& directory, const ModelConfig& config,
                             const ParameterSet& parameters, const Optimizer& optimizer,
                             const TrainState& state, SaveOptions options, Device& device);

Result<TrainState> read_train_state(const std::string& directory);
// Reads such a directory's weights and moments into a set and optimiser of the same config.
Status load_train_checkpoint(const std::string& directory, const ModelConfig& config,
                             ParameterSet& parameters, Optimizer& optimizer);

// RUN/checkpoints/step-00000100
std::string train_checkpoint_path(const std::string& run_directory, int64_t step);
// The steps of the complete checkpoints of a run, ascending; empty when there are none.
Result<std::vector<int64_t>> list_train_checkpoints(const std::string& run_directory);
// Removes those that a killed run had begun to write.
void remove_abandoned_checkpoints(const std::string& run_directory);

// The parameters of a set for save_checkpoint.
ParameterFill parameter_fill(const ParameterSet& parameters);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TRAIN_STATE_H_
