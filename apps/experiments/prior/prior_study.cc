#include "experiments/prior/prior_study.h"

#include <fmt/format.h>

#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/exits/exit_curve.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

struct PriorSettings {
  TrainingPlan training;  // phases are of so many operations
  std::vector<int64_t> seeds = {1, 2, 3};
  std::vector<double> geometric = {0.1, 0.3, 0.5, 0.7, 0.9};
  std::vector<double> poisson_means = {1};
  double poisson_sigma = 0.5;
  SumsTask sums = {{.max_operations = 4}, 1000};
  std::vector<double> targets = {1.5, 2, 2.5, 3, 3.5};
};

Status read_prior_settings(TomlReader& settings, PriorSettings& s) {
  TomlReader training = settings.child("training");
  s.training.read(training);
  if (!s.training.start.empty()) training.fail("training.start: expected a fresh model");
  read_run_keys(training, s.training.run, {"objective.beta"});
  training.read("seeds", s.seeds, 0, int64_t{1} << 40);
  TomlReader priors = settings.child("priors");
  priors.read("geometric", s.geometric, 0.001, 0.999);
  priors.read("poisson_means", s.poisson_means, 0.001, 1000);
  priors.read("poisson_sigma", s.poisson_sigma, 0, 10);
  s.sums.read(settings.child("sums"));
  settings.read("targets", s.targets, 1, 256);
  return {};
}

std::vector<PriorArm> arms_of(const PriorSettings& s) {
  std::vector<PriorArm> all = {{"uniform", "uniform", {ExitPrior::Kind::kUniform}}};
  for (const double q : s.geometric) {
    all.push_back({fmt::format("geometric-{:g}", q),
                   fmt::format("geometric {:g}", q),
                   {.kind = ExitPrior::Kind::kGeometric, .parameter = q}});
  }
  for (const double mean : s.poisson_means) {
    all.push_back(
        {fmt::format("poisson-{:g}", mean),
         fmt::format("Poisson-lognormal {:g}", mean),
         {.kind = ExitPrior::Kind::kPoissonLognormal, .mean = mean, .sigma = s.poisson_sigma}});
  }
  return all;
}

Result<OrderedJson> train_arm(const PriorSettings& s, const PriorArm& arm, int64_t seed,
                              const CellContext& context) {
  const TaskText text = TaskText::of_characters(kArithmeticAlphabet);
  const std::vector<EvalExample> held_out = task_examples(
      s.sums.generator(ArithmeticSplit::kHeldOut, s.sums.options.max_operations, s.sums.seed), text,
      s.sums.examples);
  PhaseRun run;
  run.vocab_size = text.vocab_size();
  run.validation = context.directory + "/held-out.tokens";
  run.seed = static_cast<uint64_t>(seed);
  TokenShardWriter writer(run.vocab_size);
  for (const EvalExample& e : held_out) writer.add(e.ids, e.scored);
  LOOPLM_RETURN_IF_ERROR(writer.write(run.validation));
  TrainingPlan plan = s.training;
  plan.run.objective.prior = arm.prior;
  LOOPLM_ASSIGN_OR_RETURN(
      const TrainedModel trained,
      train_phases(context, plan, run, s.sums.stream(text, run.seed * 100), 0, 0.95));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(trained.directory, study_model_options(context.threads)));
  const int64_t loops = model->config().loops;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                          score_depths(*model, held_out, loops));
  // Intervals are over seeds, not over examples.
  const ExitCurveOptions curve = {loops, s.targets, {.resamples = 0}};
  OrderedJson json;
  json["parameters"] = trained.parameters;
  json["validations"] = Json(trained.validations);
  for (const FixedDepth& depth : fixed_depths(scores, curve.resampling)) {
    json["nll"].push_back(depth.nll.value);
    json["accuracy"].push_back(depth.accuracy.value);
  }
  json["gate"] = Json(gate_figures(scores, loops));
  json["curve"] = Json(exit_curve(scores, ExitKind::kGate, curve));
  return json;
}

std::vector<Cell> prior_cells(const PriorSettings& s) {
  std::vector<Cell> all;
  for (const int64_t seed : s.seeds) {
    for (const PriorArm& arm : arms_of(s)) {
      all.push_back(make_cell(fmt::format("{}-{}", arm.id, seed), 1, {}, train_arm, s, arm, seed));
    }
  }
  return all;
}

}  // namespace

std::unique_ptr<Study> make_prior_study() {
  return std::make_unique<StudyOf<PriorSettings>>(
      "prior", "Does Stage I need a prior that prefers no depth?", read_prior_settings, prior_cells,
      [](const PriorSettings& s, const CellResults& results) {
        return prior_report(results, arms_of(s), s.seeds);
      });
}

}  // namespace looplm
