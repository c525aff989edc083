#include "experiments/core/training_plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace looplm {

TrainingPlan::TrainingPlan() : run(study_run(ObjectiveKind::kStageOne)) {
  ModelConfig& model = run.model.config;
  model.hidden_size = 128;
  model.layers = 2;
  model.heads = 4;
  model.intermediate_size = 384;
  model.loops = 4;
  model.initializer_range = 0.08;
  model.embedding_initializer_range = 1;
  run.data.sequence_length = 256;
  run.optimizer.weight_decay = 0.05;
  run.schedule.warmup_steps = 50;
  run.run.log_every = 20;
  run.run.checkpoint_every = 500;
  run.run.keep = 2;
}

void TrainingPlan::read(TomlReader& s) {
  constexpr int64_t kMany = int64_t{1} << 30;
  s.read("start", start);
  read_run_keys(s, run,
                {"model.hidden_size", "model.layers", "model.heads", "model.intermediate_size",
                 "model.loops", "model.initializer_range", "model.embedding_initializer_range",
                 "data.sequence_length", "batch.sequences", "optimizer.weight_decay",
                 "schedule.warmup", "run.validate_every", "compute.dtype"});
  for (TomlReader& table : s.tables("phases")) {
    TrainingPhase phase;
    table.require("longest");
    table.require("steps");
    table.read("longest", phase.longest, 1, 1000);
    table.read("steps", phase.steps, 1, kMany);
    table.read("learning_rate", phase.learning_rate, 0, 1);
    phases.push_back(phase);
  }
  if (phases.empty()) s.fail(s.full_name("phases") + ": expected one phase at least");
}

RunConfig phase_run_config(const TrainingPlan& plan, const TrainingPhase& phase,
                           const PhaseRun& run) {
  RunConfig c = plan.run;
  c.model.from = run.from;
  c.model.config.vocab_size = run.vocab_size;
  c.model.config.max_positions = c.data.sequence_length;
  c.model.seed = c.run.seed = run.seed;
  if (!run.validation.empty()) c.data.validation = {run.validation};
  c.schedule.peak = phase.learning_rate;
  c.schedule.warmup_steps = std::min(c.schedule.warmup_steps, phase.steps / 2);
  c.run.steps = phase.steps;
  return c;
}

Result<TrainedModel> train_phases(const CellContext& context, const TrainingPlan& plan,
                                  PhaseRun run, const PhaseStream& stream, double progress_from,
                                  double progress_to) {
  int64_t all_steps = 0;
  for (const TrainingPhase& phase : plan.phases) all_steps += phase.steps;
  if (run.from.empty()) run.from = plan.start;
  TrainedModel model;
  std::vector<ValidationReport> validations;
  int64_t steps = 0;
  for (size_t i = 0; i < plan.phases.size(); ++i) {
    const TrainingPhase& phase = plan.phases[i];
    const auto progress = [&](int64_t done) {
      return progress_from + (progress_to - progress_from) * static_cast<double>(done) /
                                 static_cast<double>(all_steps);
    };
    CellTraining training;
    training.run = phase_run_config(plan, phase, run);
    training.streams = {stream(phase, i)};
    training.progress_from = progress(steps);
    training.progress_to = progress(steps + phase.steps);
    training.note = fmt::format("phase {} of {}", i + 1, plan.phases.size());
    training.name = fmt::format("phase{}", i + 1);
    LOOPLM_ASSIGN_OR_RETURN(model, train_in_cell(context, training));
    for (ValidationReport& r : model.validations) {
      r.step += steps;
      validations.push_back(std::move(r));
    }
    steps += phase.steps;
    run.from = model.directory;
    ++run.seed;  // other examples
  }
  model.validations = std::move(validations);
  return model;
}

}  // namespace looplm
