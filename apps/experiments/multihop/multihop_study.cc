#include "experiments/multihop/multihop_study.h"

#include <fmt/format.h>

#include "experiments/core/looped_recipe.h"
#include "experiments/multihop/multihop.h"

namespace looplm {
namespace {

struct MultihopSettings {
  MultihopOptions world;  // but for train_questions and seed
  std::vector<int64_t> train_questions = {200000};
  int64_t trained_examples = 500;  // of the training questions that are measured too
  LoopedRecipe recipe;

  MultihopSettings() { recipe.run.schedule.peak = 5e-4; }
  MultihopOptions options(int64_t questions, uint64_t seed) const {
    MultihopOptions o = world;
    o.train_questions = questions;
    o.seed = seed;
    return o;
  }
};

Status read_multihop_settings(TomlReader& settings, MultihopSettings& s) {
  constexpr int kMost = 1 << 30;
  TomlReader world = settings.child("world");
  world.read("layers", s.world.layers, 1, kMost);
  world.read("people_per_layer", s.world.people_per_layer, 1, kMost);
  world.read("relations", s.world.relations, 1, kMost);
  world.read("hops", s.world.hops, 1, kMost);
  world.read("held_out_questions", s.world.held_out_questions, 1, kMost);
  world.read("train_questions", s.train_questions, 1, kMost);
  world.read("fact_share", s.world.fact_share, 0, 1);

  TomlReader model = settings.child("model");
  TomlReader training = settings.child("training");
  read_run_keys(training, s.recipe.run, {"run.steps", "optimizer.learning_rate"});
  read_looped_recipe(model, training, s.recipe);

  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("trained_examples", s.trained_examples, 1, kMost);

  LOOPLM_RETURN_IF_ERROR(check_different(s.train_questions, "world.train_questions"));
  for (const int64_t questions : s.train_questions) {
    LOOPLM_RETURN_IF_ERROR(check(s.options(questions, 1)));
  }
  return check_recipe(s.recipe, 3 * s.world.hops + 6,
                      fmt::format("a question of {} hops", s.world.hops));
}

Result<OrderedJson> run_multihop(const MultihopSettings& s, int64_t questions, LoopedRun run,
                                 const CellContext& context) {
  const auto world = std::make_shared<const MultihopWorld>(s.options(questions, run.seed));
  for (const char* name : {"held-out", "trained", "facts"}) {
    run.validations.push_back(fmt::format("{}/{}.tokens", context.directory, name));
  }
  LOOPLM_RETURN_IF_ERROR(write_held_out_shard(*world, run.validations[0]));
  LOOPLM_RETURN_IF_ERROR(write_trained_shard(*world, s.trained_examples, run.validations[1]));
  LOOPLM_RETURN_IF_ERROR(write_fact_shard(*world, run.validations[2]));
  LOOPLM_ASSIGN_OR_RETURN(
      const TrainedModel model,
      train_looped(context, s.recipe, run, std::make_shared<MultihopStream>(world),
                   fmt::format("{}, {} questions", run.shape.name(), questions)));
  const MultihopRun result =
      multihop_run(questions, run.shape, run.seed, model.parameters, model.validations);
  Json json = result;
  json["accuracy"] = result.held_out.back();
  return OrderedJson(json);
}

std::vector<Cell> multihop_cells(const MultihopSettings& s) {
  std::vector<Cell> cells;
  for (const uint64_t seed : s.recipe.seeds) {
    for (const int64_t questions : s.train_questions) {
      for (const LoopedShape& shape : s.recipe.shapes) {
        cells.push_back(make_cell(fmt::format("q{}-{}-s{}", questions, shape.name(), seed),
                                  shape.depth() + 0.5, {}, run_multihop, s, questions,
                                  looped_run(s.recipe, shape, seed)));
      }
    }
  }
  return cells;
}

std::string multihop_description(const MultihopSettings& s) {
  const MultihopWorld world(s.options(s.train_questions.front(), 1));
  const std::string example = world.text(world.question_ids(world.question(0)));
  return fmt::format(
      "{} layers of {} people, {} relations, {} questions of {} hops, of which {} are held out: "
      "`{}`. {:.0f}% of the documents are atomic facts (there are {}), the others questions of "
      "training; the answer alone is learnt. {}; {} steps of {} tokens; {}, each with a world of "
      "its own.",
      s.world.layers, s.world.people_per_layer, s.world.relations, world.questions(), s.world.hops,
      s.world.held_out_questions, example, 100 * s.world.fact_share, world.facts(),
      s.recipe.sizes_text(), s.recipe.run.run.steps, s.recipe.tokens_per_step(),
      s.recipe.seeds_text());
}

Result<StudyReport> report_multihop(const MultihopSettings& s, const CellResults& results) {
  std::vector<MultihopRun> runs;
  for (const Cell& cell : multihop_cells(s)) {
    LOOPLM_ASSIGN_OR_RETURN(MultihopRun run, result_of<MultihopRun>(results.at(cell.id)));
    runs.push_back(std::move(run));
  }
  // Questions, held-out ones and facts are the same for every number of training questions.
  std::vector<double> shortcuts;
  for (const uint64_t seed : s.recipe.seeds) {
    shortcuts.push_back(
        shortcut_accuracy(MultihopWorld(s.options(s.train_questions.front(), seed))));
  }
  return multihop_report(multihop_curves(runs), summarize_seeds(shortcuts),
                         multihop_description(s));
}

}  // namespace

std::unique_ptr<Study> make_multihop_study() {
  return std::make_unique<StudyOf<MultihopSettings>>(
      "multihop",
      "Do loops lower the number of questions, and of steps, after which a model answers multi-hop "
      "questions that it has not seen?",
      read_multihop_settings, multihop_cells, report_multihop);
}

}  // namespace looplm
