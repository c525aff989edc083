// A run from its file to its last checkpoint.
#include <filesystem>

#include <fmt/format.h>

#include "looplm/train.h"

#include "base/file.h"
#include "base/file_lock.h"
#include "base/temporary.h"
#include "model/adapter.h"
#include "model/atomic_directory.h"
#include "model/checkpoint.h"
#include "model/guess_maps.h"
#include "train/train_log.h"
#include "train/trainer.h"

namespace looplm {
namespace {

// Whether a run's model would be refused by what is there.
Status check_model_place(const RunConfig& run, const std::string& directory) {
  return AtomicDirectory::check(directory, run.lora.any() ? is_adapter_file
                                           : run.objective.kind == ObjectiveKind::kGuess
                                               ? is_guess_file
                                               : is_checkpoint_file);
}

std::string model_place(const std::string& out) { return out + "/model"; }
std::string best_place(const std::string& out) { return out + "/best"; }

Result<FileLock> lock_directory(const std::string& out) {
  LOOPLM_ASSIGN_OR_RETURN(std::optional<FileLock> lock, FileLock::try_lock_directory(out));
  if (lock) return std::move(*lock);
  return invalid_argument(
      fmt::format("another run is writing into '{}'; wait for it, or choose another run.out", out));
}

// Whether run.out holds nothing that the run would have to refuse. What would refuse its model at
// the end refuses it now.
Status check_contents(const RunConfig& run, bool resume) {
  const std::string& out = run.run.out;
  if (file_exists(out + "/config.json")) {
    return invalid_argument(fmt::format(
        "run.out is '{}', which holds a model; expected a directory of the run's own", out));
  }
  LOOPLM_RETURN_IF_ERROR(check_model_place(run, model_place(out)));
  if (run.run.keep_best) LOOPLM_RETURN_IF_ERROR(check_model_place(run, best_place(out)));
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> saved, list_train_checkpoints(out));
  if (saved.empty() || resume) return {};
  return invalid_argument(
      fmt::format("'{}' already holds a run at step {}; pass --resume to go on with it, or "
                  "choose another run.out",
                  out, saved.back()));
}

// Whether a run may begin to write into its run.out, as far as can be said without writing.
Status check_place(const RunConfig& run, bool resume) {
  const std::string& out = run.run.out;
  if (out.empty()) return invalid_argument("run.out is missing");
  LOOPLM_RETURN_IF_ERROR(check_writable_directory(out).with_context("run.out"));
  if (is_directory(out)) LOOPLM_RETURN_IF_ERROR(lock_directory(out).status());
  return check_contents(run, resume);
}

// The newest checkpoint of a run that goes on; empty if there is none.
Result<std::string> newest_checkpoint(const std::string& out) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int64_t> saved, list_train_checkpoints(out));
  return saved.empty() ? std::string() : train_checkpoint_path(out, saved.back());
}

class Run {
 public:
  Run(Trainer& trainer, const TrainOptions& options, TrainObserver& observer)
      : trainer_(trainer), options_(options), observer_(observer) {}

  Status execute() {
    const std::string& out = settings().out;
    LOOPLM_RETURN_IF_ERROR(make_directories(out));
    LOOPLM_ASSIGN_OR_RETURN(const FileLock alone, lock_directory(out));
    // Again, since another run may have ended meanwhile.
    LOOPLM_RETURN_IF_ERROR(check_contents(trainer_.run(), options_.resume));
    remove_abandoned_files();
    LOOPLM_ASSIGN_OR_RETURN(const std::string checkpoint, newest_checkpoint(out));
    if (!checkpoint.empty()) LOOPLM_RETURN_IF_ERROR(trainer_.restore(checkpoint));
    LOOPLM_ASSIGN_OR_RETURN(log_,
                            TrainLog::open(settings().out + "/log.jsonl", trainer_.steps_done()));
    observer_.on_start(trainer_.describe());
    bool saved = true;
    while (trainer_.steps_done() < settings().steps && !is_over()) {
      if (options_.stop != nullptr && options_.stop->load()) {
        if (!saved) LOOPLM_RETURN_IF_ERROR(save());
        return {StatusCode::kCancelled,
                fmt::format("stopped at step {} of {}; --resume goes on from there",
                            trainer_.steps_done(), settings().steps)};
      }
      LOOPLM_RETURN_IF_ERROR(step());
      if (is_due(settings().validate_every)) LOOPLM_RETURN_IF_ERROR(validate());
      saved = is_due(settings().checkpoint_every) || is_over();
      if (saved) LOOPLM_RETURN_IF_ERROR(save());
    }
    return finish();
  }

 private:
  const RunConfig::Run& settings() const { return trainer_.run().run; }
  // Whether the step just done is the last one, or one of every `every`.
  bool is_due(int64_t every) const {
    const int64_t step = trainer_.steps_done();
    return step == settings().steps || (every > 0 && step % every == 0);
  }

  // Whether the validation loss has not fallen for as long as is allowed.
  bool is_over() const {
    return settings().patience > 0 && trainer_.best().since >= settings().patience;
  }

  // What a run that was killed had begun to write.
  void remove_abandoned_files() const {
    for (const char* name : {"log.jsonl", "model", "best"}) remove_abandoned(settings().out, name);
    remove_abandoned_checkpoints(settings().out);
  }

  Status step() {
    LOOPLM_ASSIGN_OR_RETURN(const StepReport report, trainer_.step());
    const bool empty = report.targets == 0;
    if (empty && ++empty_steps_ == 1) {
      observer_.on_note(fmt::format(
          "step {} has no token to learn, so it changes nothing; rows of prompts alone are those "
          "of documents longer than a row: a larger data.sequence_length or batch.sequences helps",
          report.step));
    }
    ++steps_;
    if (steps_ == 1 || empty || is_due(settings().log_every)) {
      LOOPLM_RETURN_IF_ERROR(log_->write(report));
      observer_.on_step(report);
    }
    return {};
  }

  Status validate() {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<ValidationReport> reports, trainer_.validate());
    for (const ValidationReport& report : reports) {
      LOOPLM_RETURN_IF_ERROR(log_->write(report));
      observer_.on_validation(report);
    }
    if (!settings().keep_best || trainer_.best().step != trainer_.steps_done()) return {};
    LOOPLM_RETURN_IF_ERROR(trainer_.save_model(best_place(settings().out)));
    observer_.on_checkpoint(best_place(settings().out));
    return {};
  }

  Status save() {
    const std::string directory = train_checkpoint_path(settings().out, trainer_.steps_done());
    LOOPLM_RETURN_IF_ERROR(trainer_.save(directory));
    remove_old_checkpoints();
    observer_.on_checkpoint(directory);
    return {};
  }

  void remove_old_checkpoints() const {
    // A checkpoint that cannot be found or removed does no harm.
    Result<std::vector<int64_t>> steps = list_train_checkpoints(settings().out);
    const auto keep = static_cast<size_t>(settings().keep);
    for (size_t i = 0; steps.ok() && i + keep < steps->size(); ++i) {
      std::error_code ignored;
      std::filesystem::remove_all(train_checkpoint_path(settings().out, (*steps)[i]), ignored);
    }
  }

  Status finish() {
    if (is_over()) {
      observer_.on_note(fmt::format(
          "stopped at step {} of {}: the validation loss was lowest at step {} ({:.4f}), and "
          "run.patience is {}",
          trainer_.steps_done(), settings().steps, trainer_.best().step, trainer_.best().loss,
          settings().patience));
    }
    if (empty_steps_ > 0) {
      observer_.on_note(fmt::format("{} of {} steps had no token to learn", empty_steps_, steps_));
    }
    LOOPLM_RETURN_IF_ERROR(trainer_.save_model(model_place(settings().out)));
    observer_.on_checkpoint(model_place(settings().out));
    return {};
  }

  Trainer& trainer_;
  const TrainOptions& options_;
  TrainObserver& observer_;
  std::optional<TrainLog> log_;
  int64_t steps_ = 0;  // done in this process
  int64_t empty_steps_ = 0;
};

}  // namespace

Status train(const RunConfig& run, const TrainOptions& options, TrainObserver& observer) {
  LOOPLM_RETURN_IF_ERROR(check_place(run, options.resume));
  LOOPLM_ASSIGN_OR_RETURN(
      const std::unique_ptr<Trainer> trainer,
      Trainer::create(run, {.threads = options.threads, .streams = options.streams}));
  return Run(*trainer, options, observer).execute();
}

Status train(const TrainOptions& options, TrainObserver& observer) {
  LOOPLM_ASSIGN_OR_RETURN(const RunConfig run,
                          read_run_config(options.run_file, options.overrides));
  return train(run, options, observer);
}

Result<TrainPlan> plan_training(const TrainOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const RunConfig run,
                          read_run_config(options.run_file, options.overrides));
  const Status place = check_place(run, options.resume);
  std::string checkpoint;
  if (place.ok() && options.resume) {
    LOOPLM_ASSIGN_OR_RETURN(checkpoint, newest_checkpoint(run.run.out));
  }
  LOOPLM_ASSIGN_OR_RETURN(
      TrainPlan plan,
      Trainer::plan(run, {.threads = options.threads, .streams = options.streams}, checkpoint));
  if (!place.ok()) plan.refusal = place;
  return plan;
}

}  // namespace looplm
