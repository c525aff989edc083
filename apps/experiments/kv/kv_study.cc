#include "experiments/kv/kv_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "experiments/core/study_model.h"
#include "experiments/core/text_task.h"
#include "experiments/core/training_plan.h"
#include "experiments/kv/kv_measure.h"
#include "experiments/kv/worked_sum.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

struct KvSettings {
  TrainingPlan training;  // phases are of so many lines
  std::vector<int64_t> seeds = {1, 2};
  WorkedSumOptions task;
  int64_t sums = 300;  // held out, all different
  StudyModel model;    // read as it is, for the losses on texts
  std::string texts;   // one a line; empty: none
  int64_t resamples = 1000;

  KvSettings() { training.run.objective.beta = 0.05; }
};

Status read_kv_settings(TomlReader& settings, KvSettings& s) {
  TomlReader training = settings.child("training");
  s.training.read(training);
  read_run_keys(training, s.training.run, {"objective.beta"});
  training.read("seeds", s.seeds, 0, int64_t{1} << 40);
  TomlReader task = settings.child("sums");
  task.read("modulus", s.task.modulus, 2, 10);
  task.read("operations_per_line", s.task.operations_per_line, 1, 100);
  task.read("min_lines", s.task.min_lines, 1, 100);
  task.read("max_lines", s.task.max_lines, 1, 100);
  task.read("examples", s.sums, 1, 1 << 24);
  TomlReader texts = settings.child("texts");
  texts.read("model", s.model.directory);
  texts.read("file", s.texts);
  if (s.model.directory.empty() != s.texts.empty()) {
    texts.fail("texts: expected both model and file");
  }
  settings.read("resamples", s.resamples, 0, 1 << 20);
  return check(s.task);
}

TaskGenerator worked_sums(const KvSettings& s, ArithmeticSplit split, int min_lines, int max_lines,
                          uint64_t seed) {
  WorkedSumOptions o = s.task;
  o.split = split;
  o.min_lines = min_lines;
  o.max_lines = max_lines;
  o.seed = seed;
  return [o](uint64_t index) {
    const WorkedSum sum = worked_sum(o, index);
    return TaskExample{sum.prompt, sum.work, {{"lines", sum.lines}}};
  };
}

Result<OrderedJson> train_worker(const KvSettings& s, int64_t seed, const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const TaskText text,
                          TaskText::of_model(s.training.start, kWorkedSumAlphabet));
  PhaseRun run;
  run.vocab_size = text.vocab_size();
  run.seed = static_cast<uint64_t>(seed);
  const PhaseStream stream = [&](const TrainingPhase& phase, size_t index) {
    const uint64_t from = static_cast<uint64_t>(seed) * 100 + index;
    return std::make_shared<TaskStream>(
        worked_sums(s, ArithmeticSplit::kTrain, 1, phase.longest, from), text,
        fmt::format("worked sums {} {} {} {}", s.task.modulus, s.task.operations_per_line,
                    phase.longest, from));
  };
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel model,
                          train_phases(context, s.training, run, stream, 0, 1));
  return trained_model_json(model, context);
}

Result<OrderedJson> work_sums(const KvSettings& s, const KvCondition& condition,
                              const std::string& trained, const CellContext& context) {
  const std::string directory = trained_model_of(context, trained);
  const ModelOptions options = study_model_options(context.threads);
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::load(directory, options));
  LOOPLM_ASSIGN_OR_RETURN(const TaskText text, TaskText::of_model(directory, kWorkedSumAlphabet));
  const TaskGenerator sums =
      worked_sums(s, ArithmeticSplit::kHeldOut, s.task.min_lines, s.task.max_lines, 1);
  std::vector<KvText> texts;
  for (const TaskExample& example :
       different_examples(sums, s.sums, "lines", s.task.max_lines - s.task.min_lines + 1)) {
    texts.push_back({text.encode(example.prompt, EncodeAs::kPrompt),
                     text.encode(example.completion, EncodeAs::kContinuation)});
  }
  LOOPLM_ASSIGN_OR_RETURN(
      const KvAnswers answers,
      kv_answers(*model, texts, condition, context.reporter("working sums, " + condition.name())));
  OrderedJson json;
  std::string exact, answer;   // of each example, 1 or 0
  std::vector<double> before;  // of each, the share of tokens before the first wrong one
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<int32_t>&right = texts[i].rest, &given = answers.ids[i];
    const auto first_wrong =
        std::mismatch(right.begin(), right.end(), given.begin(), given.end()).first;
    exact += given == right ? '1' : '0';
    answer += given.back() == right.back() ? '1' : '0';
    before.push_back(static_cast<double>(first_wrong - right.begin()) /
                     static_cast<double>(right.size()));
  }
  json["exact"] = exact;
  json["answer"] = answer;
  json["before_mistake"] = before;
  json["bytes_per_position_in_pages"] = answers.bytes_per_position;
  json["bytes_per_position"] = kv_bytes_per_position(model->config(), condition.kv, options.kv);
  return json;
}

Result<OrderedJson> measure_texts(const KvSettings& s, const KvCondition& condition,
                                  const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const auto model, load_study_model(s.model, context.threads));
  LOOPLM_ASSIGN_OR_RETURN(const auto lines, read_texts(*model, s.texts));
  std::vector<KvText> texts;
  std::vector<int64_t> tokens;
  for (const std::vector<int32_t>& ids : lines) {
    const auto middle = ids.begin() + static_cast<ptrdiff_t>(ids.size() / 2);
    texts.push_back({{ids.begin(), middle}, {middle, ids.end()}});
    tokens.push_back(ids.end() - middle);
  }
  LOOPLM_ASSIGN_OR_RETURN(
      const std::vector<double> losses,
      kv_losses(*model, texts, condition, context.reporter("reading texts, " + condition.name())));
  OrderedJson json;
  json["nats"] = losses;
  json["tokens"] = tokens;
  json["bytes_per_position"] =
      kv_bytes_per_position(model->config(), condition.kv, study_model_options(context.threads).kv);
  return json;
}

std::vector<Cell> kv_cells(const KvSettings& s) {
  std::vector<Cell> all;
  for (const int64_t seed : s.seeds) {
    const std::string trained = fmt::format("train-{}", seed);
    all.push_back(make_cell(trained, 20, {}, train_worker, s, seed));
    for (const KvCondition& condition : kv_conditions()) {
      all.push_back(make_cell(fmt::format("sums-{}-{}", condition.id(), seed), 2, {trained},
                              work_sums, s, condition, trained));
    }
  }
  for (const KvCondition& condition : kv_conditions()) {
    if (s.texts.empty()) break;
    all.push_back(make_cell("texts-" + condition.id(), 1, {}, measure_texts, s, condition));
  }
  return all;
}

}  // namespace

std::unique_ptr<Study> make_kv_study() {
  return std::make_unique<StudyOf<KvSettings>>(
      "kv",
      "Can later tokens do with one loop's keys and values of earlier tokens, instead of every "
      "loop's?",
      read_kv_settings, kv_cells, [](const KvSettings& s, const CellResults& results) {
        return kv_report(results, s.seeds, s.resamples);
      });
}

}  // namespace looplm
