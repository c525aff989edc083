#include "experiments/multihop/multihop_study.h"

#include <algorithm>

#include <fmt/format.h>

#include "experiments/core/looped_recipe.h"
#include "experiments/core/training.h"
#include "experiments/multihop/multihop.h"
#include "experiments/multihop/multihop_results.h"

namespace looplm {
namespace {

struct MultihopSettings {
  MultihopOptions world;  // but for train_questions and seed
  std::vector<int64_t> train_questions = {200000};
  int64_t trained_examples = 500;  // of the training questions that are measured too
  std::vector<LoopedShape> shapes;
  int64_t steps = 1000;
  double learning_rate = 5e-4;
  std::vector<uint64_t> seeds = {1};
  LoopedRecipe recipe;

  MultihopOptions options(int64_t questions, uint64_t seed) const {
    MultihopOptions o = world;
    o.train_questions = questions;
    o.seed = seed;
    return o;
  }
};

struct MultihopCell {
  int64_t questions;
  LoopedShape shape;
  uint64_t seed;
};

Result<OrderedJson> run_cell(const MultihopSettings& settings, const MultihopCell& cell,
                             const CellContext& context) {
  const auto world =
      std::make_shared<const MultihopWorld>(settings.options(cell.questions, cell.seed));
  const auto path = [&](const char* name) {
    return fmt::format("{}/{}.tokens", context.directory, name);
  };
  LoopedRun run;
  run.validations = {path("held-out"), path("trained"), path("facts")};
  LOOPLM_RETURN_IF_ERROR(write_held_out_shard(*world, run.validations[0]));
  LOOPLM_RETURN_IF_ERROR(
      write_trained_shard(*world, settings.trained_examples, run.validations[1]));
  LOOPLM_RETURN_IF_ERROR(write_fact_shard(*world, run.validations[2]));
  run.shape = cell.shape;
  run.vocab_size = world->vocab_size();
  run.learning_rate = settings.learning_rate;
  run.steps = settings.steps;
  run.seed = cell.seed;
  CellTraining training;
  training.streams = {std::make_shared<MultihopStream>(world)};
  training.note = fmt::format("{}, {} questions", cell.shape.name(), cell.questions);
  training.run_toml = looped_run_toml(settings.recipe, run);
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel model, train_in_cell(context, training));
  return multihop_run_json(
      multihop_run(cell.questions, cell.shape, cell.seed, model.parameters, model.validations));
}

class MultihopStudy : public Study {
 public:
  std::string name() const override { return "multihop"; }
  std::string question() const override {
    return "Do loops lower the number of questions, and of steps, after which a model answers "
           "multi-hop questions that it has not seen?";
  }
  Status configure(TomlReader& settings) override;
  std::vector<Cell> cells() const override;
  Result<StudyReport> report(const CellResults& results) const override;

 private:
  Status check_settings() const;
  std::string description() const;

  MultihopSettings settings_;
};

Status MultihopStudy::configure(TomlReader& settings) {
  constexpr int kMost = 1 << 30;
  MultihopSettings& s = settings_;
  TomlReader world = settings.child("world");
  world.read("layers", s.world.layers, 1, kMost);
  world.read("people_per_layer", s.world.people_per_layer, 1, kMost);
  world.read("relations", s.world.relations, 1, kMost);
  world.read("hops", s.world.hops, 1, kMost);
  world.read("held_out_questions", s.world.held_out_questions, 1, kMost);
  world.read("train_questions", s.train_questions, 1, kMost);
  world.read("fact_share", s.world.fact_share, 0, 1);
  world.finish();

  TomlReader model = settings.child("model");
  read_looped_shapes(model, s.shapes);
  TomlReader training = settings.child("training");
  training.read("steps", s.steps, 1, int64_t{1} << 40);
  training.read("learning_rate", s.learning_rate, 1e-9, 10);
  training.read("seeds", s.seeds);
  read_looped_recipe(model, training, s.recipe);
  model.finish();
  training.finish();

  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("trained_examples", s.trained_examples, 1, kMost);
  evaluation.finish();
  return check_settings();
}

Status MultihopStudy::check_settings() const {
  const MultihopSettings& s = settings_;
  LOOPLM_RETURN_IF_ERROR(check_different(s.train_questions, "world.train_questions"));
  LOOPLM_RETURN_IF_ERROR(check_different(s.seeds, "training.seeds"));
  for (const int64_t questions : s.train_questions) {
    LOOPLM_RETURN_IF_ERROR(check(s.options(questions, 1)));
  }
  const int longest = 3 * s.world.hops + 6;
  if (longest > s.recipe.sequence_length) {
    return invalid_argument(
        fmt::format("training.sequence_length is {}; a question of {} hops takes {}",
                    s.recipe.sequence_length, s.world.hops, longest));
  }
  return {};
}

std::vector<Cell> MultihopStudy::cells() const {
  std::vector<Cell> cells;
  for (const uint64_t seed : settings_.seeds) {
    for (const int64_t questions : settings_.train_questions) {
      for (const LoopedShape& shape : settings_.shapes) {
        const MultihopCell of = {questions, shape, seed};
        Cell cell;
        cell.id = fmt::format("q{}-{}-s{}", questions, shape.name(), seed);
        cell.cost = shape.depth() + 0.5;
        cell.run = [settings = settings_, of](const CellContext& context) {
          return run_cell(settings, of, context);
        };
        cells.push_back(std::move(cell));
      }
    }
  }
  return cells;
}

std::string MultihopStudy::description() const {
  const MultihopSettings& s = settings_;
  const MultihopWorld world(s.options(s.train_questions.front(), 1));
  const std::string example = world.text(world.question_ids(world.question(0)));
  return fmt::format(
      "{} layers of {} people, {} relations, {} questions of {} hops, of which {} are held out: "
      "`{}`. {:.0f}% of the documents are atomic facts (there are {}), the others questions of "
      "training; the answer alone is learnt. Width {}, {} heads, feed-forward {}, {} norms; {} "
      "steps of {} tokens; {} seed{}, each with a world of its own.",
      s.world.layers, s.world.people_per_layer, s.world.relations, world.questions(), s.world.hops,
      s.world.held_out_questions, example, 100 * s.world.fact_share, world.facts(),
      s.recipe.hidden_size, s.recipe.heads, s.recipe.intermediate_size, s.recipe.norm_placement,
      s.steps, s.recipe.sequences * s.recipe.sequence_length, s.seeds.size(),
      s.seeds.size() == 1 ? "" : "s");
}

Result<StudyReport> MultihopStudy::report(const CellResults& results) const {
  std::vector<MultihopRun> runs;
  for (const Cell& cell : cells()) {
    LOOPLM_ASSIGN_OR_RETURN(MultihopRun run, multihop_run_from_json(results.at(cell.id)));
    runs.push_back(std::move(run));
  }
  // Questions, held-out ones and facts are the same for every number of training questions.
  std::vector<double> shortcuts;
  for (const uint64_t seed : settings_.seeds) {
    shortcuts.push_back(shortcut_accuracy(
        MultihopWorld(settings_.options(settings_.train_questions.front(), seed))));
  }
  return multihop_report(multihop_curves(runs), summarize_seeds(shortcuts), description());
}

}  // namespace

std::unique_ptr<Study> make_multihop_study() { return std::make_unique<MultihopStudy>(); }

}  // namespace looplm
