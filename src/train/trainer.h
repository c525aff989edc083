// Training as an object: one model, its data and its optimiser, a step at a time.
//
// What is trained is a set of tensors: all of the model's, the gate alone (Stage II), or what
// stands beside the model: an adapter or guess maps. Gradients, moments and checkpoints hold that
// set and nothing else; the rest is kept packed for the forward pass only.
#ifndef LOOPLM_TRAIN_TRAINER_H_
#define LOOPLM_TRAIN_TRAINER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "looplm/train.h"

#include "train/batch.h"
#include "train/data_loader.h"
#include "train/optimizer.h"
#include "train/peak_tracker.h"
#include "train/run_config.h"
#include "train/run_needs.h"
#include "train/start_weights.h"
#include "train/train_state.h"

namespace looplm {

struct TrainerOptions {
  int threads = 0;  // 0: the configuration's, else LOOPLM_THREADS, else all processors
  std::optional<StartModel> start{};  // in place of model.from and of a fresh model
  // Training data in place of data.train, mixed in equal shares.
  std::vector<std::shared_ptr<const DocumentStream>> streams{};
};

// Not for use by several threads at once.
class Trainer {
 public:
  static Result<std::unique_ptr<Trainer>> create(const RunConfig& run, TrainerOptions options = {});
  // What such a run takes. Configuration, shapes and data are checked as create() checks them; no
  // weights are read, and none of the run's memory is taken. With a checkpoint, `refusal` says why
  // the run could not go on from there; the frozen weights' hash is not compared.
  static Result<TrainPlan> plan(const RunConfig& run, TrainerOptions options = {},
                                const std::string& checkpoint = {});

  const RunConfig& run() const { return run_; }
  const ModelConfig& model() const { return start_.config(); }
  int64_t steps_done() const { return state_.step; }
  // The current values of all parameters, valid until the next step or restore. Model::create and
  // Model::update_weights take them. Beside an adapter or guess maps these are the frozen ones.
  TensorSource weights() const;
  // What the run is, to be shown at its beginning.
  TrainStart describe() const;

  // One optimiser step. A step whose rows have no token to learn changes no weight. Fails when loss
  // or gradient are not finite; the trainer is then of no more use.
  Result<StepReport> step();
  // One report for each set of data.validation.
  Result<std::vector<ValidationReport>> validate();
  // The best of the validations so far by the mean loss over all sets; part of what save() keeps.
  const TrainState::Best& best() const { return state_.best; }

  // A checkpoint to go on from, exactly: it appears whole or not at all.
  Status save(const std::string& directory) const;
  // Goes on from a checkpoint of a run with the same settings and data; see run_differences.
  Status restore(const std::string& directory);
  // The model as a checkpoint in Hugging Face's layout, as compute.save_dtype says; the adapter
  // alone, in PEFT's; or guess maps alone.
  Status save_model(const std::string& directory) const;

 private:
  Trainer(RunConfig run, std::unique_ptr<Device> device, StartWeights start)
      : run_(std::move(run)), device_(std::move(device)), start_(std::move(start)) {}

  // Without weights and what is computed with them.
  static Result<std::unique_ptr<Trainer>> open(const RunConfig& run, TrainerOptions options,
                                               bool shapes_only);
  Status check_model();
  Status check_memory() const;
  Status prepare_model();
  // Takes the current values into the forms that products read.
  void repack();
  // What the model that the run started from scores a batch's pairs; empty for other objectives.
  std::vector<PairScores> reference_scores(const Batch& batch);
  // Whether data of this kind is what the objective learns from.
  Status check_kind(const TokenDataset& dataset, const char* key) const;
  uint64_t dropout_key(int64_t step, int64_t micro_batch) const;
  Status prepare_data(const std::vector<std::shared_ptr<const DocumentStream>>& streams);
  Status check_vocabularies() const;
  // Finds the template of the data's chats, and whether the model's files have it already.
  Status take_chat_templates();
  // What is saved beside the weights.
  SaveOptions save_options() const;
  Status check_resumable(const TrainState& state, const std::string& directory);
  Status check_same_run(const TrainState& state, const std::string& directory) const;
  Status check_same_data(const TrainState& state, const std::string& directory) const;
  LoaderOptions loader_options() const;
  // With its teachers, where the objective reads them.
  Result<TokenDataset> open_dataset(const std::string& path, const char* key) const;
  Result<DataLoader> validation_loader(const std::string& path) const;
  Result<ValidationReport> validate_on(const TokenDataset& validation);

  RunConfig run_;
  std::unique_ptr<Device> device_;
  StartWeights start_;
  std::unique_ptr<Objective> objective_;
  std::optional<ParameterSet> trained_;
  std::optional<ParameterSet> gradients_;
  std::optional<Optimizer> optimizer_;
  std::optional<ModelWeights> weights_;
  std::optional<BackwardWeights> backward_weights_;
  std::optional<AdapterWeights> adapter_;
  std::optional<GuessMaps> guesses_;
  std::optional<ModelWeights> reference_;  // of a preference run that changes its matrices
  std::optional<BatchPass> pass_;
  std::optional<DataLoader> loader_;
  std::vector<TokenDataset> validation_;
  std::optional<PeakTracker> peak_;
  std::string_view chat_template_;     // of the data's chats; empty: there are none
  bool saves_chat_template_ = false;   // the model's files have another one, or none
  std::vector<int32_t> ends_of_turn_;  // of that template
  TrainState state_;
  std::vector<std::string> notes_;
  double seconds_ = 0;  // of the steps done in this process
  int64_t steps_timed_ = 0;
};

// The run loop over a trainer: run.out holds its log, its checkpoints and at the end its model.
// `options` as for the public function, but for its run file and overrides.
Status train(const RunConfig& run, const TrainOptions& options, TrainObserver& observer);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_TRAINER_H_
