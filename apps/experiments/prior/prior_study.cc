#include "experiments/prior/prior_study.h"

#include <fmt/format.h>

#include "eval/arithmetic.h"
#include "experiments/core/estimates.h"
#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/exits/exit_curve.h"
#include "experiments/exits/gate_figures.h"
#include "experiments/prior/prior_report.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

struct Settings {
  TrainingPlan training;  // phases are of so many operations
  double beta = 0.1;
  std::vector<int64_t> seeds = {1, 2, 3};
  std::vector<double> geometric = {0.1, 0.3, 0.5, 0.7, 0.9};
  std::vector<double> poisson_means = {1};
  double poisson_sigma = 0.5;
  int modulus = 10;
  int max_operations = 4;
  int64_t sums = 1000;  // held out
  uint64_t sums_seed = 2;
  std::vector<double> targets = {1.5, 2, 2.5, 3, 3.5};
};

class PriorStudy : public Study {
 public:
  std::string name() const override { return "prior"; }
  std::string question() const override {
    return "Does Stage I need a prior that prefers no depth?";
  }

  Status configure(TomlReader& settings) override {
    TomlReader training = settings.child("training");
    s_.training.read(training);
    if (!s_.training.start.empty()) training.fail("training.start: expected a fresh model");
    training.read("beta", s_.beta, 0, 10);
    training.read("seeds", s_.seeds, 0, int64_t{1} << 40);
    training.finish();
    TomlReader priors = settings.child("priors");
    priors.read("geometric", s_.geometric, 0.001, 0.999);
    priors.read("poisson_means", s_.poisson_means, 0.001, 1000);
    priors.read("poisson_sigma", s_.poisson_sigma, 0, 10);
    priors.finish();
    TomlReader sums = settings.child("sums");
    sums.read("modulus", s_.modulus, 2, 10);
    sums.read("max_operations", s_.max_operations, 1, 1000);
    sums.read("examples", s_.sums, 2, 1 << 24);
    sums.read("seed", s_.sums_seed);
    sums.finish();
    settings.read("targets", s_.targets, 1, 256);
    if (s_.seeds.empty()) settings.fail("training.seeds: expected one seed at least");
    return {};
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    for (const int64_t seed : s_.seeds) {
      for (const PriorArm& arm : arms()) {
        all.push_back(
            {fmt::format("{}-{}", arm.id, seed), 1, {}, [this, arm, seed](const CellContext& c) {
               return train(c, arm, seed);
             }});
      }
    }
    return all;
  }

  Result<StudyReport> report(const CellResults& results) const override {
    return prior_report(results, arms(), s_.seeds);
  }

 private:
  std::vector<PriorArm> arms() const {
    std::vector<PriorArm> all = {
        {"uniform", "uniform", PriorArm::Kind::kUniform, 0, "prior = \"uniform\""}};
    for (const double q : s_.geometric) {
      all.push_back({fmt::format("geometric-{:g}", q), fmt::format("geometric {:g}", q),
                     PriorArm::Kind::kGeometric, q,
                     fmt::format("prior = \"geometric\"\ngeometric_parameter = {:f}", q)});
    }
    for (const double mean : s_.poisson_means) {
      all.push_back({fmt::format("poisson-{:g}", mean), fmt::format("Poisson-lognormal {:g}", mean),
                     PriorArm::Kind::kPoisson, mean,
                     fmt::format("prior = \"poisson_lognormal\"\npoisson_mean = {:f}\n"
                                 "poisson_sigma = {:f}",
                                 mean, s_.poisson_sigma)});
    }
    return all;
  }

  TaskGenerator generator(ArithmeticSplit split, int max_operations, uint64_t seed) const {
    ArithmeticOptions o;
    o.modulus = s_.modulus;
    o.max_operations = max_operations;
    o.split = split;
    o.seed = seed;
    return [o](uint64_t index) {
      const ArithmeticExample e = arithmetic_example(o, index);
      return TaskExample{e.prompt, e.completion, {{"operations", e.operations}}};
    };
  }

  Status write_validation(const std::vector<EvalExample>& examples, int64_t vocab_size,
                          const std::string& path) const {
    TokenShardWriter writer(vocab_size);
    for (const EvalExample& e : examples) writer.add(e.ids, e.scored);
    return writer.write(path);
  }

  Result<OrderedJson> train(const CellContext& context, const PriorArm& arm, int64_t seed) const {
    const TaskText text = TaskText::of_characters(kArithmeticAlphabet);
    const std::vector<EvalExample> held_out = task_examples(
        generator(ArithmeticSplit::kHeldOut, s_.max_operations, s_.sums_seed), text, s_.sums);
    PhaseRun run;
    run.vocab_size = text.vocab_size();
    run.objective = fmt::format("kind = \"stage1\"\nbeta = {:f}\n{}", s_.beta, arm.objective);
    run.validation = context.directory + "/held-out.tokens";
    run.seed = static_cast<uint64_t>(seed);
    LOOPLM_RETURN_IF_ERROR(write_validation(held_out, run.vocab_size, run.validation));
    LOOPLM_ASSIGN_OR_RETURN(
        const TrainedModel trained,
        train_phases(
            context, s_.training, run,
            [&](const TrainingPhase& phase, size_t index) -> std::shared_ptr<DocumentStream> {
              const uint64_t stream = static_cast<uint64_t>(seed) * 100 + index;
              return std::make_shared<TaskStream>(
                  generator(ArithmeticSplit::kTrain, phase.longest, stream), text,
                  fmt::format("sums {} {} {}", s_.modulus, phase.longest, stream));
            },
            0, 0.95));
    const ModelOptions options = study_model_options(context.threads);
    LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                            Model::load(trained.directory, options));
    const int64_t loops = model->config().loops;
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                            score_depths(*model, held_out, loops));
    ExitCurveOptions curve;
    curve.trained_loops = loops;
    curve.targets = s_.targets;
    curve.resampling.resamples = 0;  // intervals are over seeds
    OrderedJson json;
    json["parameters"] = trained.parameters;
    json["validations"] = validations_json(trained.validations);
    json["nll"] = OrderedJson::array();
    json["accuracy"] = OrderedJson::array();
    for (const FixedDepth& depth : fixed_depths(scores, curve.resampling)) {
      json["nll"].push_back(depth.nll.value);
      json["accuracy"].push_back(depth.accuracy.value);
    }
    json["gate"] = gate_json(gate_figures(scores, loops));
    json["curve"] = curve_json(exit_curve(scores, ExitKind::kGate, curve));
    return json;
  }

  Settings s_;
};

}  // namespace

std::unique_ptr<Study> make_prior_study() { return std::make_unique<PriorStudy>(); }

}  // namespace looplm
