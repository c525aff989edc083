#include "experiments/faithfulness/faithfulness_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "experiments/core/estimates.h"
#include "experiments/core/study_model.h"
#include "experiments/faithfulness/observation.h"

namespace looplm {
namespace {

constexpr const char* kArithmetic = "arithmetic";
constexpr const char* kPairs = "pairs";

struct FaithfulnessSettings {
  std::string model;
  std::string weights = "stored";  // or "bf16": WeightType
  int loops = 8;                   // observed
  int intervention_loops = 0;      // 0: as many as the config says
  int intervention_pairs = 200;
  std::vector<int> probe_targets = {2, 3, 4};
  int probe_folds = 5;
  double probe_penalty = 1;
  std::vector<std::string> tasks;
  ArithmeticTaskOptions arithmetic;
  std::string pairs_file;
  int64_t pairs_limit = 1000;
  PairTaskOptions pairs;
};

Result<AnswerTask> make_task(const FaithfulnessSettings& s, const std::string& name,
                             const Model& model) {
  if (model.tokenizer() == nullptr) {
    return invalid_argument(s.model + " has no tokenizer.json; the study's prompts are text");
  }
  if (name == kArithmetic) return arithmetic_task(*model.tokenizer(), s.arithmetic);
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<QuestionPair> pairs,
                          read_question_pairs(s.pairs_file, s.pairs_limit));
  PairTaskOptions options = s.pairs;
  options.max_tokens = std::min(options.max_tokens, model.config().max_positions);
  return pair_task(*model.tokenizer(), pairs, options);
}

Result<std::unique_ptr<Model>> load(const FaithfulnessSettings& s, const CellContext& context) {
  ModelOptions options = study_model_options(context.threads);
  if (s.weights == "bf16") options.weights = WeightType::kBf16;
  return Model::load(s.model, options);
}

Result<OrderedJson> run_observation(const FaithfulnessSettings& s, const std::string& name,
                                    const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const auto model, load(s, context));
  LOOPLM_ASSIGN_OR_RETURN(const AnswerTask task, make_task(s, name, *model));
  LOOPLM_ASSIGN_OR_RETURN(const Observation seen,
                          observe(*model, task, s.loops, context.reporter("reading", 0, 0.5)));
  FaithfulnessResults r;
  r.task = task.name;
  r.description = task.description;
  r.label = task.choices.label_name;
  r.items = static_cast<int64_t>(task.items.size());
  r.trained_loops = model->config().loops;
  r.layers = seen.layers;
  r.accuracy = accuracy_by_loop(task, seen);
  r.label_agreement = label_agreement(task, seen);
  r.answer_agreement = answer_agreement(seen);
  r.label_share.assign(static_cast<size_t>(s.loops), 0);
  for (const std::vector<int>& answers : seen.answers) {
    for (size_t t = 0; t < answers.size(); ++t) {
      r.label_share[t] += task.choices.labels[static_cast<size_t>(answers[t])] /
                          static_cast<double>(seen.answers.size());
    }
  }
  for (size_t i = 0; i < s.probe_targets.size(); ++i) {
    const int target = s.probe_targets[i];
    LOOPLM_ASSIGN_OR_RETURN(
        std::vector<double> auc,
        probe_layers(task, seen, target, {static_cast<size_t>(s.probe_folds)}, {s.probe_penalty}));
    r.probes.push_back({target, std::move(auc)});
    const double done = static_cast<double>(i + 1) / static_cast<double>(s.probe_targets.size());
    if (!context.reporter("probing", 0.5, 1)(done)) {
      return stopped_cell();
    }
  }
  return OrderedJson(Json(r));
}

Result<OrderedJson> run_interventions(const FaithfulnessSettings& s, const std::string& name,
                                      const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const auto model, load(s, context));
  LOOPLM_ASSIGN_OR_RETURN(const AnswerTask task, make_task(s, name, *model));
  const int64_t loops = s.intervention_loops > 0 ? s.intervention_loops : model->config().loops;
  LOOPLM_ASSIGN_OR_RETURN(
      const Mediation mediation,
      mediate(*model, task, loops, s.intervention_pairs, context.reporter("swapping")));
  return OrderedJson(Json(mediation));
}

Status read_faithfulness_settings(TomlReader& settings, FaithfulnessSettings& s) {
  constexpr int kMost = 10000000;
  settings.require("model");
  settings.read("model", s.model);
  settings.read("weights", s.weights);
  settings.read("loops", s.loops, 1, 256);
  settings.require("tasks");
  settings.read("tasks", s.tasks);
  TomlReader probe = settings.child("probe");
  probe.read("targets", s.probe_targets, 1, 256);
  probe.read("folds", s.probe_folds, 2, 1000);
  probe.read("penalty", s.probe_penalty, 1e-9, 1e9);
  TomlReader interventions = settings.child("interventions");
  interventions.read("pairs", s.intervention_pairs, 1, kMost);
  interventions.read("loops", s.intervention_loops, 0, 256);
  TomlReader arithmetic = settings.child(kArithmetic);
  arithmetic.read("examples", s.arithmetic.examples, 1, kMost);
  arithmetic.read("min_operations", s.arithmetic.min_operations, 1, 1000);
  arithmetic.read("max_operations", s.arithmetic.max_operations, 1, 1000);
  arithmetic.read("seed", s.arithmetic.seed);
  TomlReader pairs = settings.child(kPairs);
  pairs.read("file", s.pairs_file);
  pairs.read("limit", s.pairs_limit, 0, int64_t{1} << 40);
  pairs.read("prompt", s.pairs.prompt);
  pairs.read("yes", s.pairs.yes);
  pairs.read("no", s.pairs.no);
  pairs.read("max_tokens", s.pairs.max_tokens, 1, int64_t{1} << 30);

  if (s.weights != "stored" && s.weights != "bf16") {
    return invalid_argument(fmt::format("weights is '{}'; expected stored or bf16", s.weights));
  }
  for (const std::string& task : s.tasks) {
    if (task != kArithmetic && task != kPairs) {
      return invalid_argument(
          fmt::format("tasks has '{}'; expected {} or {}", task, kArithmetic, kPairs));
    }
    if (std::ranges::count(s.tasks, task) > 1) {
      return invalid_argument(fmt::format("tasks has '{}' twice", task));
    }
    if (task == kPairs && s.pairs_file.empty()) {
      return invalid_argument("pairs.file is missing; expected a file in the layout of QQP");
    }
  }
  for (int target : s.probe_targets) {
    if (target > s.loops) {
      return invalid_argument(
          fmt::format("probe.targets has loop {}; only {} loops are run", target, s.loops));
    }
  }
  return {};
}

std::vector<Cell> faithfulness_cells(const FaithfulnessSettings& s) {
  std::vector<Cell> cells;
  for (const std::string& task : s.tasks) {
    cells.push_back(make_cell(task + "-observation", 1, {}, run_observation, s, task));
    cells.push_back(make_cell(task + "-interventions", 1, {}, run_interventions, s, task));
  }
  return cells;
}

Result<StudyReport> report_faithfulness(const FaithfulnessSettings& s, const CellResults& results) {
  std::vector<FaithfulnessResults> tasks;
  for (const std::string& task : s.tasks) {
    tasks.push_back(nulls_as_nan(results.at(task + "-observation")));
    tasks.back().mediation = results.at(task + "-interventions");
  }
  return faithfulness_report(tasks);
}

}  // namespace

std::unique_ptr<Study> make_faithfulness_study() {
  return std::make_unique<StudyOf<FaithfulnessSettings>>(
      "faithfulness",
      "Do later loops decide the answer, or only dress up what the first has decided?",
      read_faithfulness_settings, faithfulness_cells, report_faithfulness);
}

}  // namespace looplm
