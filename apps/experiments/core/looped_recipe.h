// Trainings that differ in layers and loops and share all else.
#ifndef LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_
#define LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "looplm/status.h"

#include "train/toml_reader.h"

namespace looplm {

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

// Reads model.shapes, a list of at least one, all different.
void read_looped_shapes(TomlReader& model, std::vector<LoopedShape>& shapes);

// Sizes of the model and the course of its training; the last loop's loss, no gate.
struct LoopedRecipe {
  int hidden_size = 64;
  int heads = 4;
  int intermediate_size = 192;
  std::string norm_placement = "sandwich";
  bool norm_between_loops = true;
  double rope_theta = 10000;
  double initializer_range = 0.08;
  double embedding_initializer_range = 1;
  int sequence_length = 256;
  int sequences = 4;  // per step
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-6;
  double weight_decay = 0.1;
  double clip = 1;
  int64_t warmup = 1000;
  double final_share = 0.1;      // of the learning rate, at the end of its cosine
  int validations = 10;          // over the run
  int64_t checkpoint_every = 0;  // steps; an interrupted run goes on from the last one
  std::string dtype = "bf16";
};

// Reads [model] and [training] but for the keys that the study itself reads from `training` before:
// it must finish that table.
void read_looped_recipe(TomlReader& model, TomlReader& training, LoopedRecipe& recipe);

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
  uint64_t seed = 0;                     // of weights and data
  std::vector<std::string> validations;  // shards
};

// The run file.
std::string looped_run_toml(const LoopedRecipe& recipe, const LoopedRun& run);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_LOOPED_RECIPE_H_
