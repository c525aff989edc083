// Trainings that differ in layers and loops and share all else.
#ifndef LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_
#define LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "looplm/status.h"

#include "base/json.h"
#include "experiments/core/training.h"
#include "train/run_config.h"
#include "train/toml_reader.h"

namespace looplm {

// Sizes of a model's stack, which settings list as [[sizes]].
struct ModelSize {
  int hidden = 0;
  int layers = 0;
  int heads = 0;
  int intermediate = 0;

  // The keys of one of [[sizes]]; its reader must be finished.
  void read(TomlReader& size);
  void apply(ModelConfig& config) const;
};

// `layers` layers, read `loops` times: written "3x2". Models of as many layers have as many
// parameters, models of the same depth do the same arithmetic.
struct LoopedShape {
  int layers = 1;
  int loops = 1;

  int depth() const { return layers * loops; }
  std::string name() const;
  bool operator==(const LoopedShape&) const = default;
};

Result<LoopedShape> parse_looped_shape(const std::string& text);
void to_json(Json& json, const LoopedShape& shape);
void from_json(const Json& json, LoopedShape& shape);

// Sizes of the models and the course of their training, on the last loop's loss and without a gate.
struct LoopedRecipe {
  std::vector<LoopedShape> shapes;
  std::vector<uint64_t> seeds = {1};  // of weights and data
  // But for the shape, seed and vocabulary; steps and learning rate where all have the same.
  RunConfig run;
  double final_share = 0.1;  // of the learning rate, at the end of its cosine
  int validations = 10;      // over the run

  LoopedRecipe();
  int64_t tokens_per_step() const { return run.batch.sequences * run.data.sequence_length; }
  // "Width 64, 4 heads, feed-forward 192, pre norms"
  std::string sizes_text(const char* width = "Width") const;
  std::string seeds_text() const;  // "2 seeds"
};

// Reads [model] and [training] but for the keys that the study itself reads from `training` before:
// it must finish that table.
void read_looped_recipe(TomlReader& model, TomlReader& training, LoopedRecipe& recipe);
// Fails on seeds that come twice, or where the `longest` document of `what` does not fit in a
// sequence.
Status check_recipe(const LoopedRecipe& recipe, int64_t longest, const std::string& what);

// Fails when a value of the setting `key` stands twice in it.
template <typename T>
Status check_different(std::vector<T> values, const char* key) {
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice == values.end()) return {};
  return invalid_argument(fmt::format("{} has {} twice; expected different values", key, *twice));
}

struct LoopedRun {
  LoopedShape shape;
  int64_t vocab_size = 0;
  double learning_rate = 0;
  int64_t steps = 0;
  uint64_t seed = 0;
  std::vector<std::string> validations;  // shards
};

// With the recipe's own steps and learning rate.
LoopedRun looped_run(const LoopedRecipe& recipe, const LoopedShape& shape, uint64_t seed);
RunConfig looped_run_config(const LoopedRecipe& recipe, const LoopedRun& run);

// Trains it in the cell, on the stream.
Result<TrainedModel> train_looped(const CellContext& context, const LoopedRecipe& recipe,
                                  LoopedRun run, std::shared_ptr<const DocumentStream> stream,
                                  const std::string& note, double progress_to = 1);

// Accuracy after the last loop by round of validations (each of `sets` sets), then by set.
struct ValidationRounds {
  std::vector<int64_t> steps;
  std::vector<std::vector<double>> accuracy;
};
ValidationRounds validation_rounds(const std::vector<ValidationReport>& validations, size_t sets);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_
