// Training a model inside a cell of a study.
#ifndef LOOPLM_EXPERIMENTS_CORE_TRAINING_H_
#define LOOPLM_EXPERIMENTS_CORE_TRAINING_H_

#include <memory>
#include <string>
#include <vector>

#include "looplm/train.h"

#include "experiments/core/study.h"
#include "train/run_config.h"

namespace looplm {

// What trainings of small models share: a cosine over the run, documents kept whole, everything
// kept in memory, one checkpoint, a fresh model without a gate but for what `kind` needs.
RunConfig study_run(ObjectiveKind kind);
// Sets the length of a run, with 20 lines of log and `measurements` validations, evenly spaced, and
// a warm-up of at most half of the run.
void set_steps(RunConfig& run, int64_t steps, int64_t measurements);

struct CellTraining {
  RunConfig run;  // without run.out, data.train where there are streams, and compute.threads
  std::vector<std::shared_ptr<const DocumentStream>> streams;  // instead of data.train
  // Share of the cell's progress at the start and the end of the training, and what it is called.
  double progress_from = 0;
  double progress_to = 1;
  std::string note = "training";
  std::string name = "run";  // of its folder in the cell's
};

struct TrainedModel {
  std::string directory;                      // the final model, fp32
  std::vector<ValidationReport> validations;  // the learning curve, also of resumed stretches
  int64_t parameters = 0;
};

// Trains to the end, or goes on from the checkpoint that an interrupted run left in the cell's
// folder, to the same bits; a finished run is only read. Checkpoints are removed at the end. The
// run file written beside names everything, so `looplm train` could run it where no streams are
// used.
Result<TrainedModel> train_in_cell(const CellContext& context, const CellTraining& training);

// What a cell says of the model that it trained: {"parameters": .., "model": its directory in the
// cell's}; and the directory that another cell finds there.
OrderedJson trained_model_json(const TrainedModel& model, const CellContext& context);
std::string trained_model_of(const CellContext& context, const std::string& cell);

// As the run's log has them, and the results of cells.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ValidationReport, step, set, tokens, loss, nll, accuracy, exit,
                                   mean_exit, exit_entropy)

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_TRAINING_H_
