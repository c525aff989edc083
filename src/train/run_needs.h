// What a run needs, known before anything is allocated: memory and arithmetic.
#ifndef LOOPLM_TRAIN_RUN_NEEDS_H_
#define LOOPLM_TRAIN_RUN_NEEDS_H_

#include <cstdint>
#include <vector>

#include "looplm/config.h"
#include "looplm/train.h"

#include "model/parameters.h"
#include "model/trunk.h"
#include "model/weights.h"
#include "tensor/memory_plan.h"
#include "train/batch.h"
#include "train/objective.h"
#include "train/run_config.h"

namespace looplm {

int64_t run_loops(const RunConfig& run, const ModelConfig& model);
TrunkShape trunk_shape(const RunConfig& run, const ModelConfig& model, bool backward);

// A run's adapter; with per_loop it has as many as the run has loops.
AdapterSettings run_adapter(const RunConfig& run, const ModelConfig& model);

// Whether a run changes its model's matrices, and not the gate or an adapter alone.
bool trains_matrices(const RunConfig& run, const Objective& objective);
// The parameters that a run trains: the adapter's, guess maps, or the objective's in the order of
// parameter_specs.
std::vector<ParameterSpec> trained_parameters(const RunConfig& run, const ModelConfig& model,
                                              const Objective& objective);
int64_t count_of(const std::vector<ParameterSpec>& specs);
// How a run packs the matrices of a model that is stored in that format.
MatrixFormat run_format(const RunConfig& run, const Objective& objective,
                        const MatrixFormat& stored);

// The buffers of a run by name.
MemoryPlan training_memory(const RunConfig& run, const ModelConfig& model,
                           const MatrixFormat& stored, int threads);

// What each memory policy takes, and how much of it fits.
std::vector<TrainPlan::Choice> memory_choices(const RunConfig& run, const ModelConfig& model,
                                              const MatrixFormat& stored, int threads,
                                              uint64_t usable);

// Arithmetic of a step over these batches. What a memory policy computes again does not count.
double step_flops(const RunConfig& run, const ModelConfig& model,
                  const std::vector<Batch>& batches);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_RUN_NEEDS_H_
