#include "experiments/core/looped_recipe.h"

#include <charconv>

#include <fmt/format.h>

#include "base/json.h"

namespace looplm {

std::string LoopedShape::name() const { return fmt::format("{}x{}", layers, loops); }

Result<LoopedShape> parse_looped_shape(const std::string& text) {
  constexpr int kMost = 1000;
  LoopedShape shape;
  const char* const end = text.data() + text.size();
  const auto layers = std::from_chars(text.data(), end, shape.layers);
  if (layers.ec == std::errc() && layers.ptr != end && *layers.ptr == 'x') {
    const auto loops = std::from_chars(layers.ptr + 1, end, shape.loops);
    // Written in this one way, since cells are named by it: no leading zeros.
    if (loops.ec == std::errc() && shape.name() == text && shape.layers >= 1 && shape.loops >= 1 &&
        shape.layers <= kMost && shape.loops <= kMost) {
      return shape;
    }
  }
  return invalid_argument(
      fmt::format("'{}' is not a shape; expected layers x loops, such as \"3x2\"", text));
}

void read_looped_shapes(TomlReader& model, std::vector<LoopedShape>& shapes) {
  std::vector<std::string> texts;
  model.require("shapes");
  model.read("shapes", texts);
  const Status different = check_different(texts, "model.shapes");
  if (!different.ok()) model.fail(different.message());
  shapes.clear();
  for (const std::string& text : texts) {
    const Result<LoopedShape> shape = parse_looped_shape(text);
    if (!shape.ok()) return model.fail("model.shapes: " + shape.status().message());
    shapes.push_back(shape.value());
  }
}

void read_looped_recipe(TomlReader& model, TomlReader& training, LoopedRecipe& recipe) {
  constexpr int kMostSize = 1 << 16;
  model.read("hidden_size", recipe.hidden_size, 2, kMostSize);
  model.read("heads", recipe.heads, 1, 1024);
  model.read("intermediate_size", recipe.intermediate_size, 1, kMostSize);
  model.read("norm_placement", recipe.norm_placement);
  model.read("norm_between_loops", recipe.norm_between_loops);
  model.read("rope_theta", recipe.rope_theta, 1, 1e9);
  model.read("initializer_range", recipe.initializer_range, 1e-6, 10);
  model.read("embedding_initializer_range", recipe.embedding_initializer_range, 1e-6, 10);
  training.read("sequence_length", recipe.sequence_length, 16, kMostSize);
  training.read("sequences", recipe.sequences, 1, kMostSize);
  training.read("beta1", recipe.beta1, 0, 1);
  training.read("beta2", recipe.beta2, 0, 1);
  training.read("epsilon", recipe.epsilon, 1e-20, 1);
  training.read("weight_decay", recipe.weight_decay, 0, 10);
  training.read("clip", recipe.clip, 0, 1e9);
  training.read("warmup", recipe.warmup, 0, int64_t{1} << 40);
  training.read("final_share", recipe.final_share, 0, 1);
  training.read("validations", recipe.validations, 1, 10000);
  training.read("checkpoint_every", recipe.checkpoint_every, 0, int64_t{1} << 40);
  training.read("dtype", recipe.dtype);
}

std::string looped_run_toml(const LoopedRecipe& recipe, const LoopedRun& run) {
  std::string text;
  // Numbers, strings and lists of strings are written alike in JSON and TOML.
  const auto line = [&](const char* key, const Json& value) {
    text += std::string(key) + " = " + value.dump() + "\n";
  };
  text += "[model]\n";
  line("vocab_size", run.vocab_size);
  line("hidden_size", recipe.hidden_size);
  line("layers", run.shape.layers);
  line("loops", run.shape.loops);
  line("heads", recipe.heads);
  line("intermediate_size", recipe.intermediate_size);
  line("norm_placement", recipe.norm_placement);
  line("norm_between_loops", recipe.norm_between_loops);
  line("rope_theta", recipe.rope_theta);
  line("initializer_range", recipe.initializer_range);
  line("embedding_initializer_range", recipe.embedding_initializer_range);
  line("max_positions", recipe.sequence_length);
  line("exit_gate", false);
  line("seed", run.seed);
  text += "[data]\n";
  line("validation", run.validations);
  line("sequence_length", recipe.sequence_length);
  line("split_documents", false);
  text += "[batch]\n";
  line("sequences", recipe.sequences);
  text += "[objective]\n";
  line("kind", "last_loop");
  text += "[optimizer]\n";
  line("learning_rate", run.learning_rate);
  line("beta1", recipe.beta1);
  line("beta2", recipe.beta2);
  line("epsilon", recipe.epsilon);
  line("weight_decay", recipe.weight_decay);
  line("clip", recipe.clip);
  text += "[schedule]\n";
  line("kind", "cosine");
  line("warmup", std::min(recipe.warmup, run.steps / 2));
  line("final_learning_rate", run.learning_rate * recipe.final_share);
  text += "[run]\n";
  line("steps", run.steps);
  line("seed", run.seed);
  line("log_every", std::max<int64_t>(1, run.steps / 20));
  line("validate_every", std::max<int64_t>(1, run.steps / recipe.validations));
  line("checkpoint_every", recipe.checkpoint_every);
  line("keep", 1);
  text += "[compute]\n";
  line("memory", "keep_all");
  line("dtype", recipe.dtype);
  return text;
}

}  // namespace looplm
