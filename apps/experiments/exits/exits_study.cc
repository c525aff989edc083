#include "experiments/exits/exits_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/thread_pool.h"
#include "experiments/core/estimates.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/exits/exit_curve.h"
#include "infer/exit_rule.h"
#include "model/checkpoint.h"
#include "model/parameters.h"

namespace looplm {
namespace {

struct ExitsSettings {
  TrainingPlan stage1;  // phases are of so many operations
  TrainingPlan stage2;
  std::vector<int64_t> seeds = {1, 2, 3};  // each of a trunk and of the gates taught from it
  SumsTask sums;
  std::vector<double> targets = {1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75};
  int64_t resamples = 500;

  ExitsSettings() {
    stage1.run.objective.beta = 0.05;
    stage2.run.objective.kind = ObjectiveKind::kStageTwo;
  }
};

Status read_exits_settings(TomlReader& settings, ExitsSettings& s) {
  TomlReader stage1 = settings.child("stage1");
  s.stage1.read(stage1);
  read_run_keys(stage1, s.stage1.run, {"objective.beta"});
  TomlReader stage2 = settings.child("stage2");
  s.stage2.read(stage2);
  read_run_keys(stage2, s.stage2.run, {"objective.k", "objective.gamma"});
  s.sums.read(settings.child("sums"));
  settings.read("seeds", s.seeds, 1, int64_t{1} << 40);
  settings.read("targets", s.targets, 1, 256);
  settings.read("resamples", s.resamples, 0, 1 << 20);
  return check_different(s.seeds, "seeds");
}

enum class GateLabel { kPaper, kForward };

Result<OrderedJson> train_stage1(const ExitsSettings& s, int64_t seed, const CellContext& context) {
  PhaseRun run;
  if (!s.stage1.start.empty()) {
    run.from = context.directory + "/start";
    LOOPLM_RETURN_IF_ERROR(copy_with_fresh_gate(s.stage1.start, run.from));
  }
  LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(run.from, kArithmeticAlphabet));
  run.vocab_size = text.vocab_size();
  run.seed = static_cast<uint64_t>(seed);
  LOOPLM_ASSIGN_OR_RETURN(
      const TrainedModel model,
      train_phases(context, s.stage1, run, s.sums.stream(text, run.seed * 100), 0, 1));
  return trained_model_json(model, context);
}

// Of the one cell that is needed.
std::string stage1_model(const CellContext& context) {
  return trained_model_of(context, context.needed.begin()->first);
}

struct Scored {
  int64_t trained_loops = 0;
  double guess = 0;  // the most common answer's share
  std::vector<DepthScores> scores;
};
Result<Scored> score(const ExitsSettings& s, const CellContext& context,
                     const std::string& directory) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          Model::load(directory, study_model_options(context.threads)));
  LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(directory, kArithmeticAlphabet));
  const std::vector<TaskExample> sums = s.sums.held_out();
  LOOPLM_ASSIGN_OR_RETURN(std::vector<DepthScores> scores,
                          score_depths(*model, task_examples(sums, text), model->config().loops));
  return Scored{model->config().loops, constant_guess(sums), std::move(scores)};
}

ExitCurveOptions curve_options(const ExitsSettings& s, int64_t trained_loops) {
  return {trained_loops, s.targets, {.resamples = s.resamples}};
}

Result<OrderedJson> measure_trunk(const ExitsSettings& s, const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const Scored trunk, score(s, context, stage1_model(context)));
  const ExitCurveOptions options = curve_options(s, trunk.trained_loops);
  OrderedJson json;
  json["trained_loops"] = trunk.trained_loops;
  json["examples"] = trunk.scores.size();
  json["guess"] = trunk.guess;
  for (const FixedDepth& depth : fixed_depths(trunk.scores, options.resampling)) {
    json["static"].push_back(depth.accuracy);
  }
  json["gate"] = Json(gate_figures(trunk.scores, trunk.trained_loops));
  int done = 0;
  for (const ExitRuleInfo& rule : exit_rules()) {
    if (rule.kind == ExitKind::kFixed) continue;
    context.reporter(rule.name)(++done / 6.0);
    const bool gate = rule.kind == ExitKind::kGate;
    json["curves"][gate ? "stage1" : rule.name] =
        Json(exit_curve(trunk.scores, rule.kind, options));
  }
  return json;
}

Result<OrderedJson> train_gate(const ExitsSettings& s, GateLabel label, int64_t seed,
                               const CellContext& context) {
  TrainingPlan plan = s.stage2;
  plan.run.objective.stage_two.forward_looking = label == GateLabel::kForward;
  PhaseRun run;
  run.from = stage1_model(context);
  run.seed = 1000 + static_cast<uint64_t>(seed);
  LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(run.from, kArithmeticAlphabet));
  LOOPLM_ASSIGN_OR_RETURN(
      const TrainedModel model,
      train_phases(context, plan, run, s.sums.stream(text, run.seed * 100), 0, 0.9));
  LOOPLM_ASSIGN_OR_RETURN(const Scored taught, score(s, context, model.directory));
  LOOPLM_ASSIGN_OR_RETURN(const Scored stage1, score(s, context, run.from));
  const ExitCurveOptions options = curve_options(s, taught.trained_loops);
  const auto over = [&](ExitKind reference) {
    return Json(
        accuracy_difference(taught.scores, ExitKind::kGate, stage1.scores, reference, options));
  };
  OrderedJson json;
  json["gate"] = Json(gate_figures(taught.scores, taught.trained_loops));
  json["curve"] = Json(exit_curve(taught.scores, ExitKind::kGate, options));
  json["over_stage1"] = over(ExitKind::kGate);
  json["over_hidden"] = over(ExitKind::kHiddenDifference);
  return json;
}

std::vector<Cell> exits_cells(const ExitsSettings& s) {
  std::vector<Cell> all;
  for (const int64_t seed : s.seeds) {
    const std::string trunk = fmt::format("stage1-{}", seed);
    all.push_back(make_cell(trunk, 60, {}, train_stage1, s, seed));
    all.push_back(make_cell(fmt::format("trunk-{}", seed), 5, {trunk}, measure_trunk, s));
    for (const GateLabel label : {GateLabel::kPaper, GateLabel::kForward}) {
      const char* const name = label == GateLabel::kPaper ? "stage2" : "forward";
      all.push_back(
          make_cell(fmt::format("{}-{}", name, seed), 15, {trunk}, train_gate, s, label, seed));
    }
  }
  return all;
}

}  // namespace

Status copy_with_fresh_gate(const std::string& from, const std::string& to) {
  LOOPLM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, open_checkpoint(from));
  if (!checkpoint.config.exit_gate) {
    return invalid_argument(fmt::format("model '{}' has no exit gate", from));
  }
  const ParameterFill stored = checkpoint_fill(checkpoint);
  const ParameterFill fill = [&](int64_t parameter, int64_t first, std::span<float> out) {
    const std::string& name = checkpoint.specs[static_cast<size_t>(parameter)].name;
    if (name == kGateWeightName || name == kGateBiasName) {
      std::fill(out.begin(), out.end(), 0.0f);
    } else {
      stored(parameter, first, out);
    }
  };
  SaveOptions options;
  options.dtype = DType::kF32;
  options.companions_from = from;
  ThreadPool pool(1);
  return save_checkpoint(to, checkpoint.config, fill, options, pool);
}

std::unique_ptr<Study> make_exits_study() {
  return std::make_unique<StudyOf<ExitsSettings>>(
      "exits", "Which rule should say that a token has had loops enough?", read_exits_settings,
      exits_cells, [](const ExitsSettings& s, const CellResults& results) {
        return exits_report(results, s.seeds);
      });
}

}  // namespace looplm
