#include "experiments/mano/mano_study.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/file.h"
#include "experiments/core/looped_recipe.h"
#include "experiments/core/training.h"
#include "experiments/mano/mano.h"
#include "experiments/mano/mano_results.h"

namespace looplm {
namespace {

struct ManoSettings {
  int modulus = 23;
  std::vector<int> lengths = {10};  // L: a model for each
  int64_t documents_per_length = 0;
  bool learn_all_tokens = false;
  std::vector<LoopedShape> shapes;
  std::vector<int64_t> steps = {1000};  // for each of lengths
  std::vector<double> learning_rates = {5e-4};
  std::vector<uint64_t> seeds = {1};
  int64_t longest_examples = 1000;  // scored of the longest length, and of each other one
  int64_t other_examples = 200;
  LoopedRecipe recipe;

  ManoOptions task(int max_length, uint64_t seed) const {
    ManoOptions options;
    options.modulus = modulus;
    options.max_length = max_length;
    options.documents_per_length = documents_per_length;
    options.learn_all_tokens = learn_all_tokens;
    options.seed = seed;
    return options;
  }
  // What is scored is the same for all seeds of training, which draw others.
  ManoOptions scored_task(int max_length) const { return task(max_length, 0); }
};

struct ManoCell {
  int max_length;
  int64_t steps;
  LoopedShape shape;
  double learning_rate;
  uint64_t seed;
};

Result<OrderedJson> run_cell(const ManoSettings& settings, const ManoCell& cell,
                             const CellContext& context) {
  const ManoOptions task = settings.task(cell.max_length, cell.seed);
  CellTraining training;
  training.streams = {std::make_shared<ManoStream>(task)};
  training.note = cell.shape.name();
  LoopedRun run;
  run.shape = cell.shape;
  run.vocab_size = training.streams.front()->vocab_size();
  run.learning_rate = cell.learning_rate;
  run.steps = cell.steps;
  run.seed = cell.seed;
  for (int length = 1; length <= cell.max_length; ++length) {
    run.validations.push_back(fmt::format("{}/length-{}.tokens", context.directory, length));
    const int64_t examples =
        length == cell.max_length ? settings.longest_examples : settings.other_examples;
    LOOPLM_RETURN_IF_ERROR(write_mano_shard(settings.scored_task(cell.max_length), length, examples,
                                            run.validations.back()));
  }
  training.run_toml = looped_run_toml(settings.recipe, run);
  LOOPLM_ASSIGN_OR_RETURN(const TrainedModel model, train_in_cell(context, training));
  return mano_run_json(mano_run(cell.max_length, cell.shape, cell.learning_rate, cell.seed,
                                model.parameters, model.validations));
}

class ManoStudy : public Study {
 public:
  std::string name() const override { return "mano"; }
  std::string question() const override {
    return "Does looping make a model better at manipulating what it knows, at equal parameters "
           "and at equal arithmetic?";
  }
  Status configure(TomlReader& settings) override;
  std::vector<Cell> cells() const override;
  Result<StudyReport> report(const CellResults& results) const override;

 private:
  Status check_settings() const;
  std::string description() const;
  // Share of the most common answer among the longest examples that are scored.
  double constant_guess(int max_length) const;

  ManoSettings settings_;
};

Status ManoStudy::configure(TomlReader& settings) {
  ManoSettings& s = settings_;
  TomlReader task = settings.child("task");
  task.read("modulus", s.modulus, 1, 100000);
  task.read("lengths", s.lengths, 1, 1000);
  task.read("documents_per_length", s.documents_per_length, 0, int64_t{1} << 50);
  std::string learn = "answer";
  task.read("learn", learn);
  if (learn != "answer" && learn != "all") {
    task.fail(fmt::format("task.learn is '{}'; expected answer or all", learn));
  }
  s.learn_all_tokens = learn == "all";
  task.finish();

  TomlReader model = settings.child("model");
  read_looped_shapes(model, s.shapes);
  TomlReader training = settings.child("training");
  training.read("steps", s.steps, 1, int64_t{1} << 40);
  training.read("learning_rates", s.learning_rates, 1e-9, 10);
  training.read("seeds", s.seeds);
  read_looped_recipe(model, training, s.recipe);
  model.finish();
  training.finish();

  TomlReader evaluation = settings.child("evaluation");
  evaluation.read("longest_examples", s.longest_examples, 1, 1000000);
  evaluation.read("other_examples", s.other_examples, 1, 1000000);
  evaluation.finish();
  return check_settings();
}

Status ManoStudy::check_settings() const {
  const ManoSettings& s = settings_;
  if (s.steps.size() != s.lengths.size()) {
    return invalid_argument(fmt::format(
        "training.steps has {} numbers, task.lengths {}; expected one number of steps per length",
        s.steps.size(), s.lengths.size()));
  }
  LOOPLM_RETURN_IF_ERROR(check_different(s.lengths, "task.lengths"));
  LOOPLM_RETURN_IF_ERROR(check_different(s.learning_rates, "training.learning_rates"));
  LOOPLM_RETURN_IF_ERROR(check_different(s.seeds, "training.seeds"));
  for (const int length : s.lengths) {
    LOOPLM_RETURN_IF_ERROR(check(s.task(length, 1)));
    const int longest = 2 * length + 5;
    if (longest > s.recipe.sequence_length) {
      return invalid_argument(
          fmt::format("training.sequence_length is {}; an expression of {} operators takes {}",
                      s.recipe.sequence_length, length, longest));
    }
  }
  // Seed 0 draws what is scored.
  if (std::find(s.seeds.begin(), s.seeds.end(), 0u) != s.seeds.end()) {
    return invalid_argument("training.seeds has 0; expected numbers from 1");
  }
  return {};
}

std::vector<Cell> ManoStudy::cells() const {
  std::vector<Cell> cells;
  for (size_t l = 0; l < settings_.lengths.size(); ++l) {
    for (const uint64_t seed : settings_.seeds) {
      for (const LoopedShape& shape : settings_.shapes) {
        for (size_t r = 0; r < settings_.learning_rates.size(); ++r) {
          const ManoCell of = {settings_.lengths[l], settings_.steps[l], shape,
                               settings_.learning_rates[r], seed};
          Cell cell;
          cell.id = fmt::format("L{}-{}-s{}", of.max_length, shape.name(), seed);
          if (settings_.learning_rates.size() > 1) cell.id += fmt::format("-r{}", r + 1);
          cell.cost = static_cast<double>(of.steps) * (shape.depth() + 0.5);
          cell.run = [settings = settings_, of](const CellContext& context) {
            return run_cell(settings, of, context);
          };
          cells.push_back(std::move(cell));
        }
      }
    }
  }
  return cells;
}

double ManoStudy::constant_guess(int max_length) const {
  ManoOptions options = settings_.scored_task(max_length);
  options.split = ManoSplit::kHeldOut;
  std::map<int32_t, int64_t> counts;
  int64_t most = 0;
  for (int64_t i = 0; i < settings_.longest_examples; ++i) {
    const ManoExample example = mano_example(options, max_length, static_cast<uint64_t>(i));
    most = std::max(most, ++counts[example.ids.back()]);
  }
  return static_cast<double>(most) / static_cast<double>(settings_.longest_examples);
}

std::string ManoStudy::description() const {
  const ManoSettings& s = settings_;
  std::string steps;  // for each of the lengths
  for (const int64_t count : s.steps) {
    steps += (steps.empty() ? "" : " / ") + std::to_string(count);
  }
  return fmt::format(
      "Prefix expressions modulo {}; lengths uniform in 1..L{}; {} learnt. Width {}, {} heads, "
      "feed-forward {}, {} norms; `k x c` is k layers read c times, {} seed{}, "
      "each {} steps of {} tokens. The models learn from a stream drawn anew all along, in which "
      "short expressions, being few, come again; what is scored is held out by a hash.",
      s.modulus,
      s.documents_per_length == 0
          ? ""
          : fmt::format(" (the longest grows by one every {} documents)", s.documents_per_length),
      s.learn_all_tokens ? "all tokens are" : "the answer alone is", s.recipe.hidden_size,
      s.recipe.heads, s.recipe.intermediate_size, s.recipe.norm_placement, s.seeds.size(),
      s.seeds.size() == 1 ? "" : "s", steps, s.recipe.sequences * s.recipe.sequence_length);
}

Result<StudyReport> ManoStudy::report(const CellResults& results) const {
  std::vector<ManoRun> runs;
  for (const Cell& cell : cells()) {
    LOOPLM_ASSIGN_OR_RETURN(ManoRun run, mano_run_from_json(results.at(cell.id)));
    runs.push_back(std::move(run));
  }
  const std::vector<ManoTable> tables = mano_tables(runs);
  std::map<int, double> guesses;
  for (const int length : settings_.lengths) guesses[length] = constant_guess(length);
  return mano_report(tables, description(), guesses);
}

}  // namespace

std::unique_ptr<Study> make_mano_study() { return std::make_unique<ManoStudy>(); }

}  // namespace looplm
