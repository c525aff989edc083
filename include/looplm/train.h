// Training a looped model from a run file (TOML): see docs/training.md for its keys.
#ifndef LOOPLM_TRAIN_H_
#define LOOPLM_TRAIN_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "looplm/status.h"

namespace looplm {

// A named buffer of the run and its size, as planned before anything is allocated.
struct PlannedMemory {
  std::string name;
  uint64_t bytes = 0;
  std::string note;
};

struct TrainStart {
  int64_t parameters = 0;
  int64_t trained_parameters = 0;
  int64_t first_step = 1;  // above 1 after a resume
  int64_t steps = 0;
  int64_t tokens_per_step = 0;  // in all rows, also those without a target
  int64_t data_tokens = 0;      // in the training sets
  int64_t data_targets = 0;     // of these, tokens to learn
  std::string machine;          // processor, threads, instruction set
  double peak_flops = 0;        // measured arithmetic rate in the run's precision
  std::vector<PlannedMemory> memory;
  std::vector<std::string> notes;  // what the user should know, in sentences
};

// What a run takes, found out without starting it.
struct TrainPlan {
  TrainStart start;       // as on_start() would show it
  double step_flops = 0;  // model arithmetic of the first step; start.peak_flops is the peak rate
  int64_t sequences = 0;  // batch.sequences
  // 90% of the machine's memory, or of the container's limit; 0 where the system does not say.
  uint64_t usable_bytes = 0;
  struct Choice {
    std::string memory;  // a value of compute.memory
    bool chosen = false;
    uint64_t bytes = 0;          // at this batch.sequences
    int64_t most_sequences = 0;  // the largest batch.sequences that fits
  };
  std::vector<Choice> choices;  // from the fastest to the smallest
  // Why train() would refuse to start all the same: what stands in run.out, that it cannot be
  // written, or a run that is larger than the machine's memory. OK if it would not.
  Status refusal;
};

// What was not measured is NaN here, null in the log and "-" on the terminal.
struct StepReport {
  int64_t step = 0;
  int64_t steps = 0;
  int64_t targets = 0;  // tokens to learn; in a step without one nothing changes
  double loss = 0;      // the objective's, mean per target token, nats
  // Per loop, nats per target token; not measured where the objective does not look.
  std::vector<double> nll;
  double mean_exit = 0;     // of the gate's exit distribution, in loops
  double exit_entropy = 0;  // nats
  // Of preference pairs: how much more the model prefers the chosen answers than its start did, and
  // the share of pairs where it does.
  double margin = 0;
  double preferred = 0;
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double seconds = 0;  // of this step
  double tokens_per_second = 0;
  double peak_share = 0;    // model arithmetic per second over the best rate seen so far, 0 .. 1
  double seconds_left = 0;  // estimate for the rest of the run
};

struct ValidationReport {
  int64_t step = 0;
  int64_t set = 0;     // which of data.validation's, from 0
  int64_t tokens = 0;  // targets
  double loss = 0;
  double margin = 0;  // as in StepReport
  double preferred = 0;
  std::vector<double> nll;       // per loop
  std::vector<double> accuracy;  // per loop: share of targets that are the most likely token
  std::vector<double> exit;      // mean exit probabilities, per loop
  // Where guess maps learn, per loop but the last: share of targets for which the loop's most
  // likely token is the last loop's, with its map and without. Empty otherwise.
  std::vector<double> agreement, unmapped_agreement;
  double mean_exit = 0;
  double exit_entropy = 0;
};

// Hears of a run as it goes. All calls come from the thread that called train().
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void on_start(const TrainStart&) {}
  virtual void on_step(const StepReport&) {}
  virtual void on_validation(const ValidationReport&) {}
  virtual void on_checkpoint(const std::string& /*directory*/) {}
  // Something that the user should know, as a sentence.
  virtual void on_note(const std::string&) {}
};

// Makes documents when they are needed, instead of reading them from shards. Document `index` is a
// function of the index alone. Several threads may call the methods at once.
class DocumentStream {
 public:
  virtual ~DocumentStream() = default;
  virtual int64_t vocab_size() const = 0;  // every id is below it
  // Identifies the documents: a hash of the settings that make them.
  virtual uint64_t hash() const = 0;
  // At least two ids, and for each whether it is learnt. The first one never is.
  virtual void document(uint64_t index, std::vector<int32_t>& ids,
                        std::vector<bool>& learnt) const = 0;
};

struct TrainOptions {
  std::string run_file;  // TOML; relative paths in it are relative to the working directory
  bool resume = false;   // go on from the newest checkpoint of the run's directory
  int threads = 0;       // 0: the run file's, else LOOPLM_THREADS, else all processors
  std::vector<std::string> overrides;  // "batch.sequences=4": dotted key and TOML value
  // Training data in place of the run file's data.train, mixed in equal shares.
  std::vector<std::shared_ptr<const DocumentStream>> streams;
  // When it turns true, the run saves a checkpoint and returns kCancelled.
  const std::atomic<bool>* stop = nullptr;
};

// Runs to the end, or until stopped. A run that was killed at any moment resumes from its last
// checkpoint and then gives the same bits as an uninterrupted one. The final model is in OUT/model.
Status train(const TrainOptions& options, TrainObserver& observer);

// Checks run file, model, data and run.out as train() does, and writes nothing. Of TrainOptions,
// `stop` does not matter.
Result<TrainPlan> plan_training(const TrainOptions& options);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_H_
