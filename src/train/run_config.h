// A run file, read and checked.
#ifndef LOOPLM_TRAIN_RUN_CONFIG_H_
#define LOOPLM_TRAIN_RUN_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "model/trunk.h"
#include "tensor/dtype.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace looplm {

struct RunConfig {
  // [model]
  std::string from;    // checkpoint to start from; empty: a fresh model of `config`
  ModelConfig config;  // of a fresh model
  std::string
      tokenizer;  // directory whose tokenizer files go into checkpoints; empty: `from`'s, if any
  uint64_t model_seed = 1;

  // [data]
  struct DataSource {
    std::string path;
    double weight = 1;
  };
  std::vector<DataSource> data;  // empty: streams of TrainOptions
  std::vector<std::string> validation;
  int64_t sequence_length = 512;
  bool split_documents = true;

  // [batch]: a step sees accumulate * sequences * sequence_length rows
  int64_t sequences = 8;
  int64_t accumulate = 1;

  // [objective]
  std::string objective = "stage1";
  int64_t loops = 0;  // 0: the model's
  double beta = 0.1;
  ExitPrior prior;
  StageTwoObjective::Settings stage_two;

  // [optimizer], [schedule]
  OptimizerSettings optimizer;
  Schedule schedule;

  // [run]
  std::string out;
  int64_t steps = 0;
  uint64_t seed = 1;
  int64_t log_every = 10;
  int64_t validate_every = 0;    // 0: only at the end
  int64_t validate_batches = 0;  // 0: the whole validation set
  int64_t checkpoint_every = 0;  // 0: only at the end
  int64_t keep = 2;              // checkpoints to keep

  // [compute]
  DType dtype = DType::kF32;
  MemoryPolicy memory = MemoryPolicy::kBlockInputs;
  int threads = 0;
  DType save_dtype = DType::kBf16;  // of the final model
};

// Errors name the key ("batch.sequences"), the value and what was expected; unknown keys are errors
// too. `overrides` are "key=value" with dotted keys and TOML values, applied before checking.
// `what` names the source.
Result<RunConfig> parse_run_config(const std::string& toml_text, const std::string& what,
                                   const std::vector<std::string>& overrides);
Result<RunConfig> read_run_config(const std::string& path,
                                  const std::vector<std::string>& overrides);

// What of the configuration decides the numbers of a run: a resumed run must have the same.
std::string run_fingerprint(const RunConfig& config);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_RUN_CONFIG_H_
