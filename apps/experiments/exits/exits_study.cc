#include "experiments/exits/exits_study.h"

#include <filesystem>

#include <fmt/format.h>

#include "eval/arithmetic.h"
#include "experiments/core/estimates.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/exits/exit_curve.h"
#include "experiments/exits/exits_report.h"
#include "experiments/exits/fresh_gate.h"
#include "experiments/exits/gate_figures.h"
#include "infer/exit_rule.h"

namespace looplm {
namespace {

struct Settings {
  TrainingPlan stage1;  // phases are of so many operations
  double beta = 0.05;
  TrainingPlan stage2;
  std::vector<int64_t> seeds = {1, 2, 3};  // each of a trunk and of the gates taught from it
  double k = 50;
  double gamma = 0.005;
  int64_t sums = 2000;  // held out, all different
  int modulus = 10;
  int max_operations = 8;
  std::vector<double> targets = {1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75};
  int64_t resamples = 500;
  uint64_t seed = 2;  // of the held-out sums
};

class ExitsStudy : public Study {
 public:
  std::string name() const override { return "exits"; }
  std::string question() const override {
    return "Which rule should say that a token has had loops enough?";
  }

  Status configure(TomlReader& settings) override {
    TomlReader stage1 = settings.child("stage1");
    s_.stage1.read(stage1);
    stage1.read("beta", s_.beta, 0, 10);
    stage1.finish();
    TomlReader stage2 = settings.child("stage2");
    s_.stage2.read(stage2);
    stage2.read("k", s_.k, 0, 1e6);
    stage2.read("gamma", s_.gamma, 0, 1e6);
    stage2.finish();
    TomlReader sums = settings.child("sums");
    sums.read("examples", s_.sums, 2, 1 << 24);
    sums.read("modulus", s_.modulus, 2, 10);
    sums.read("max_operations", s_.max_operations, 1, 1000);
    sums.read("seed", s_.seed);
    sums.finish();
    settings.read("seeds", s_.seeds, 1, int64_t{1} << 40);
    settings.read("targets", s_.targets, 1, 256);
    settings.read("resamples", s_.resamples, 0, 1 << 20);
    if (s_.seeds.empty()) settings.fail("seeds: expected one at least");
    if (s_.targets.empty()) settings.fail("targets: expected one mean depth at least");
    return check_different(s_.seeds, "seeds");
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    for (const int64_t seed : s_.seeds) {
      const std::string trunk = fmt::format("stage1-{}", seed);
      all.push_back(
          {trunk, 60, {}, [this, seed](const CellContext& c) { return train_stage1(c, seed); }});
      all.push_back({fmt::format("trunk-{}", seed), 5, {trunk}, [this](const CellContext& c) {
                       return measure_trunk(c);
                     }});
      for (const bool forward : {false, true}) {
        all.push_back({fmt::format("{}-{}", forward ? "forward" : "stage2", seed),
                       15,
                       {trunk},
                       [this, forward, seed](const CellContext& c) {
                         return train_gate(c, forward ? GateLabel::kForward : GateLabel::kPaper,
                                           seed);
                       }});
      }
    }
    return all;
  }

  Result<StudyReport> report(const CellResults& results) const override {
    return exits_report(results, s_.seeds);
  }

 private:
  enum class GateLabel { kPaper, kForward };

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

  // Trains the plan on sums from `from`, with the objective's lines.
  Result<TrainedModel> train(const CellContext& context, const TrainingPlan& plan, PhaseRun run,
                             const TaskText& text, double progress_to) const {
    const uint64_t first_stream = run.seed * 100;
    return train_phases(
        context, plan, run,
        [&](const TrainingPhase& phase, size_t index) -> std::shared_ptr<DocumentStream> {
          const uint64_t seed = first_stream + index;
          return std::make_shared<TaskStream>(
              generator(ArithmeticSplit::kTrain, phase.longest, seed), text,
              fmt::format("sums {} {} {}", s_.modulus, phase.longest, seed));
        },
        0, progress_to);
  }

  Result<OrderedJson> train_stage1(const CellContext& context, int64_t seed) const {
    PhaseRun run;
    if (!s_.stage1.start.empty()) {
      run.from = context.directory + "/start";
      LOOPLM_RETURN_IF_ERROR(copy_with_fresh_gate(s_.stage1.start, run.from));
    }
    LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(run.from, kArithmeticAlphabet));
    run.vocab_size = text.vocab_size();
    run.objective = fmt::format("kind = \"stage1\"\nbeta = {}", s_.beta);
    run.seed = static_cast<uint64_t>(seed);
    LOOPLM_ASSIGN_OR_RETURN(const TrainedModel model, train(context, s_.stage1, run, text, 1));
    OrderedJson json;
    json["parameters"] = model.parameters;
    json["model"] = std::filesystem::relative(model.directory, context.directory).string();
    return json;
  }

  // Of the one cell that is needed.
  static std::string stage1_model(const CellContext& context) {
    return context.needed_directories.begin()->second + "/" +
           context.needed.begin()->second.at("model").get<std::string>();
  }

  struct Scored {
    int64_t trained_loops = 0;
    double guess = 0;  // the most common answer's share
    std::vector<DepthScores> scores;
  };
  Result<Scored> score(const CellContext& context, const std::string& directory) const {
    const ModelOptions options = study_model_options(context.threads);
    LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::load(directory, options));
    LOOPLM_ASSIGN_OR_RETURN(const TaskText text,
                            TaskText::of_model(directory, kArithmeticAlphabet));
    const std::vector<TaskExample> sums =
        different_examples(generator(ArithmeticSplit::kHeldOut, s_.max_operations, s_.seed),
                           s_.sums, "operations", s_.max_operations);
    LOOPLM_ASSIGN_OR_RETURN(std::vector<DepthScores> scores,
                            score_depths(*model, task_examples(sums, text), model->config().loops));
    return Scored{model->config().loops, constant_guess(sums), std::move(scores)};
  }

  ExitCurveOptions curve_options(int64_t trained_loops) const {
    ExitCurveOptions o;
    o.trained_loops = trained_loops;
    o.targets = s_.targets;
    o.resampling.resamples = s_.resamples;
    return o;
  }

  Result<OrderedJson> measure_trunk(const CellContext& context) const {
    LOOPLM_ASSIGN_OR_RETURN(const Scored trunk, score(context, stage1_model(context)));
    const ExitCurveOptions options = curve_options(trunk.trained_loops);
    OrderedJson json;
    json["trained_loops"] = trunk.trained_loops;
    json["examples"] = trunk.scores.size();
    json["guess"] = trunk.guess;
    json["static"] = OrderedJson::array();
    for (const FixedDepth& depth : fixed_depths(trunk.scores, options.resampling)) {
      json["static"].push_back(estimate_json(depth.accuracy));
    }
    json["gate"] = gate_json(gate_figures(trunk.scores, trunk.trained_loops));
    int done = 0;
    for (const ExitRuleInfo& rule : exit_rules()) {
      if (rule.kind == ExitKind::kFixed) continue;
      if (context.progress) context.progress(++done / 6.0, rule.name);
      const bool gate = rule.kind == ExitKind::kGate;
      json["curves"][gate ? "stage1" : rule.name] =
          curve_json(exit_curve(trunk.scores, rule.kind, options));
    }
    return json;
  }

  Result<OrderedJson> train_gate(const CellContext& context, GateLabel label, int64_t seed) const {
    const std::string from = stage1_model(context);
    LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(from, kArithmeticAlphabet));
    PhaseRun run;
    run.from = from;
    run.objective = fmt::format("kind = \"stage2\"\nk = {}\ngamma = {}\nforward_looking = {}", s_.k,
                                s_.gamma, label == GateLabel::kForward);
    run.seed = 1000 + static_cast<uint64_t>(seed);
    LOOPLM_ASSIGN_OR_RETURN(const TrainedModel model, train(context, s_.stage2, run, text, 0.9));
    LOOPLM_ASSIGN_OR_RETURN(const Scored taught, score(context, model.directory));
    LOOPLM_ASSIGN_OR_RETURN(const Scored stage1, score(context, from));
    const ExitCurveOptions options = curve_options(taught.trained_loops);
    OrderedJson json;
    json["gate"] = gate_json(gate_figures(taught.scores, taught.trained_loops));
    json["curve"] = curve_json(exit_curve(taught.scores, ExitKind::kGate, options));
    json["over_stage1"] = OrderedJson::array();
    json["over_hidden"] = OrderedJson::array();
    for (const Estimate& e : accuracy_difference(taught.scores, ExitKind::kGate, stage1.scores,
                                                 ExitKind::kGate, options)) {
      json["over_stage1"].push_back(estimate_json(e));
    }
    for (const Estimate& e : accuracy_difference(taught.scores, ExitKind::kGate, stage1.scores,
                                                 ExitKind::kHiddenDifference, options)) {
      json["over_hidden"].push_back(estimate_json(e));
    }
    return json;
  }

  Settings s_;
};

}  // namespace

std::unique_ptr<Study> make_exits_study() { return std::make_unique<ExitsStudy>(); }

}  // namespace looplm
