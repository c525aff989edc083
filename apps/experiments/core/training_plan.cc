#include "experiments/core/training_plan.h"

#include <fmt/format.h>

#include "base/json.h"

namespace looplm {

void TrainingPlan::read(TomlReader& s) {
  constexpr int64_t kMany = int64_t{1} << 30;
  s.read("start", start);
  s.read("hidden_size", hidden_size, 1, kMany);
  s.read("layers", layers, 1, kMany);
  s.read("heads", heads, 1, kMany);
  s.read("intermediate_size", intermediate_size, 1, kMany);
  s.read("loops", loops, 1, 256);
  s.read("initializer_range", initializer_range, 0, 10);
  s.read("embedding_initializer_range", embedding_initializer_range, 0, 10);
  s.read("sequences", sequences, 1, kMany);
  s.read("sequence_length", sequence_length, 8, kMany);
  s.read("weight_decay", weight_decay, 0, 10);
  s.read("warmup", warmup, 0, kMany);
  s.read("validate_every", validate_every, 0, kMany);
  s.read("dtype", dtype);
  for (TomlReader& table : s.tables("phases")) {
    TrainingPhase phase;
    table.require("longest");
    table.require("steps");
    table.read("longest", phase.longest, 1, 1000);
    table.read("steps", phase.steps, 1, kMany);
    table.read("learning_rate", phase.learning_rate, 0, 1);
    table.finish();
    phases.push_back(phase);
  }
  if (phases.empty()) s.fail(s.full_name("phases") + ": expected one phase at least");
}

std::string phase_run_toml(const TrainingPlan& plan, const TrainingPhase& phase,
                           const PhaseRun& run) {
  std::string toml = "[model]\n";
  if (!run.from.empty()) {
    toml += fmt::format("from = {}\n", Json(run.from).dump());
  } else {
    toml += fmt::format(
        "vocab_size = {}\nhidden_size = {}\nlayers = {}\nheads = {}\nintermediate_size = {}\n"
        "loops = {}\nmax_positions = {}\ninitializer_range = {}\nembedding_initializer_range = {}\n"
        "seed = {}\n",
        run.vocab_size, plan.hidden_size, plan.layers, plan.heads, plan.intermediate_size,
        plan.loops, plan.sequence_length, plan.initializer_range, plan.embedding_initializer_range,
        run.seed);
    if (!run.tokenizer.empty()) {
      toml += fmt::format("tokenizer = {}\n", Json(run.tokenizer).dump());
    }
  }
  toml +=
      fmt::format("[data]\nsequence_length = {}\nsplit_documents = false\n", plan.sequence_length);
  if (!run.validation.empty()) {
    toml += fmt::format("validation = {}\n", Json(run.validation).dump());
  }
  toml += fmt::format(
      "[batch]\nsequences = {}\n"
      "[objective]\n{}\n"
      "[optimizer]\nlearning_rate = {}\nweight_decay = {}\n"
      "[schedule]\nkind = \"cosine\"\nwarmup = {}\n"
      "[run]\nsteps = {}\nseed = {}\nlog_every = 20\nvalidate_every = {}\ncheckpoint_every = 500\n"
      "[compute]\nmemory = \"keep_all\"\ndtype = \"{}\"\n",
      plan.sequences, run.objective, phase.learning_rate, plan.weight_decay,
      std::min(plan.warmup, phase.steps / 2), phase.steps, run.seed, plan.validate_every,
      plan.dtype);
  return toml;
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
    training.run_toml = phase_run_toml(plan, phase, run);
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
