#include "experiments/mano/mano_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "eval/joined.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/mano/mano.h"

namespace looplm {
namespace {

struct ManoSettings {
  ManoOptions task;                     // but for max_length and seed
  std::vector<int> lengths = {10};      // L: a model for each
  std::vector<int64_t> steps = {1000};  // for each of lengths
  std::vector<double> learning_rates = {5e-4};
  int64_t longest_examples = 1000;  // scored of the longest length, and of each other one
  int64_t other_examples = 200;
  LoopedRecipe recipe;

  ManoOptions options(int max_length, uint64_t seed) const {
    ManoOptions o = task;
    o.max_length = max_length;
    o.seed = seed;
    return o;
  }
  // What is scored is the same for all seeds of training, which draw others.
  ManoOptions scored(int max_length) const { return options(max_length, 0); }
};

Status read_mano_settings(TomlReader& settings, ManoSettings& s) {
  TomlReader task = settings.child("task");
  task.read("modulus", s.task.modulus, 1, 100000);
  task.read("lengths", s.lengths, 1, 1000);
  task.read("documents_per_length", s.task.documents_per_length, 0, int64_t{1} << 50);
  std::string learn = "answer";
  task.read("learn", learn);
  if (learn != "answer" && learn != "all") {
    task.fail(fmt::format("task.learn is '{}'; expected answer or all", learn));
  }
  s.task.learn_all_tokens = learn == "all";

  TomlReader model = settings.child("model");
  TomlReader training = settings.child("training");
  training.read("steps", s.steps, 1, int64_t{1} << 40);
  training.read("learning_rates", s.learning_rates, 1e-9, 10);
  read_looped_recipe(model, training, s.recipe);

  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("longest_examples", s.longest_examples, 1, 1000000);
  evaluation.read("other_examples", s.other_examples, 1, 1000000);

  if (s.steps.size() != s.lengths.size()) {
    return invalid_argument(fmt::format(
        "training.steps has {} numbers, task.lengths {}; expected one number of steps per length",
        s.steps.size(), s.lengths.size()));
  }
  LOOPLM_RETURN_IF_ERROR(check_different(s.lengths, "task.lengths"));
  LOOPLM_RETURN_IF_ERROR(check_different(s.learning_rates, "training.learning_rates"));
  for (const int length : s.lengths) {
    LOOPLM_RETURN_IF_ERROR(check(s.options(length, 1)));
    LOOPLM_RETURN_IF_ERROR(check_recipe(s.recipe, 2 * length + 5,
                                        fmt::format("an expression of {} operators", length)));
  }
  // Seed 0 draws what is scored.
  if (std::ranges::count(s.recipe.seeds, 0u) > 0) {
    return invalid_argument("training.seeds has 0; expected numbers from 1");
  }
  return {};
}

Result<OrderedJson> run_mano(const ManoSettings& s, int max_length, LoopedRun run,
                             const CellContext& context) {
  for (int length = 1; length <= max_length; ++length) {
    run.validations.push_back(fmt::format("{}/length-{}.tokens", context.directory, length));
    const int64_t examples = length == max_length ? s.longest_examples : s.other_examples;
    LOOPLM_RETURN_IF_ERROR(
        write_mano_shard(s.scored(max_length), length, examples, run.validations.back()));
  }
  LOOPLM_ASSIGN_OR_RETURN(
      const TrainedModel model,
      train_looped(context, s.recipe, run,
                   std::make_shared<ManoStream>(s.options(max_length, run.seed)),
                   run.shape.name()));
  const ManoRun result = mano_run(max_length, run.shape, run.learning_rate, run.seed,
                                  model.parameters, model.validations);
  Json json = result;
  json["accuracy"] = result.accuracy_at(max_length);
  return OrderedJson(json);
}

std::vector<Cell> mano_cells(const ManoSettings& s) {
  std::vector<Cell> cells;
  for (size_t l = 0; l < s.lengths.size(); ++l) {
    for (const uint64_t seed : s.recipe.seeds) {
      for (const LoopedShape& shape : s.recipe.shapes) {
        for (size_t r = 0; r < s.learning_rates.size(); ++r) {
          const int length = s.lengths[l];
          const LoopedRun run = {shape, 0, s.learning_rates[r], s.steps[l], seed, {}};
          const std::string rate =
              s.learning_rates.size() > 1 ? fmt::format("-r{}", r + 1) : std::string();
          cells.push_back(make_cell(fmt::format("L{}-{}-s{}{}", length, shape.name(), seed, rate),
                                    static_cast<double>(run.steps) * (shape.depth() + 0.5), {},
                                    run_mano, s, length, run));
        }
      }
    }
  }
  return cells;
}

// Share of the most common answer among the longest examples that are scored.
double best_constant(const ManoSettings& s, int max_length) {
  ManoOptions options = s.scored(max_length);
  options.split = ManoSplit::kHeldOut;
  std::map<int32_t, int64_t> counts;
  int64_t most = 0;
  for (int64_t i = 0; i < s.longest_examples; ++i) {
    const ManoExample example = mano_example(options, max_length, static_cast<uint64_t>(i));
    most = std::max(most, ++counts[example.ids.back()]);
  }
  return static_cast<double>(most) / static_cast<double>(s.longest_examples);
}

std::string mano_description(const ManoSettings& s) {
  std::vector<std::string> steps;  // for each of the lengths
  for (const int64_t count : s.steps) steps.push_back(std::to_string(count));
  return fmt::format(
      "Prefix expressions modulo {}; lengths uniform in 1..L{}; {} learnt. {}; `k x c` is k layers "
      "read c times, {}, each {} steps of {} tokens. The models learn from a stream drawn anew all "
      "along, in which short expressions, being few, come again; what is scored is held out by a "
      "hash.",
      s.task.modulus,
      s.task.documents_per_length == 0
          ? ""
          : fmt::format(" (the longest grows by one every {} documents)",
                        s.task.documents_per_length),
      s.task.learn_all_tokens ? "all tokens are" : "the answer alone is", s.recipe.sizes_text(),
      s.recipe.seeds_text(), joined(steps, " / "), s.recipe.tokens_per_step());
}

Result<StudyReport> report_mano(const ManoSettings& s, const CellResults& results) {
  std::vector<ManoRun> runs;
  for (const Cell& cell : mano_cells(s)) {
    LOOPLM_ASSIGN_OR_RETURN(ManoRun run, result_of<ManoRun>(results.at(cell.id)));
    runs.push_back(std::move(run));
  }
  std::map<int, double> guesses;
  for (const int length : s.lengths) guesses[length] = best_constant(s, length);
  return mano_report(mano_tables(runs), mano_description(s), guesses);
}

}  // namespace

std::unique_ptr<Study> make_mano_study() {
  return std::make_unique<StudyOf<ManoSettings>>(
      "mano",
      "Does looping make a model better at manipulating what it knows, at equal parameters and at "
      "equal arithmetic?",
      read_mano_settings, mano_cells, report_mano);
}

}  // namespace looplm
