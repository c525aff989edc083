#include "experiments/core/looped_recipe.h"

#include <charconv>

#include <fmt/format.h>

#include "base/check.h"
#include "base/count_text.h"
#include "train/run_config_keys.h"

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

void to_json(Json& json, const LoopedShape& shape) { json = shape.name(); }

void from_json(const Json& json, LoopedShape& shape) {
  Result<LoopedShape> parsed = parse_looped_shape(json.get<std::string>());
  if (!parsed.ok()) throw Json::type_error::create(302, parsed.status().message(), &json);
  shape = *parsed;
}

void ModelSize::read(TomlReader& size) {
  for (const char* key : {"hidden", "layers", "heads", "intermediate"}) size.require(key);
  size.read("hidden", hidden, 1, 1 << 16);
  size.read("layers", layers, 1, 1000);
  size.read("heads", heads, 1, 1000);
  size.read("intermediate", intermediate, 1, 1 << 18);
  if (heads > 0 && (hidden % heads != 0 || hidden / heads % 2 != 0)) {
    size.fail(fmt::format(
        "{} is {}; expected a divisor of hidden, {}, that leaves an even number per head",
        size.full_name("heads"), heads, hidden));
  }
}

void ModelSize::apply(ModelConfig& config) const {
  config.hidden_size = hidden;
  config.layers = layers;
  config.heads = heads;
  config.intermediate_size = intermediate;
}

LoopedRecipe::LoopedRecipe() : run(study_run(ObjectiveKind::kLastLoop)) {
  ModelSize{64, 1, 4, 192}.apply(run.model.config);
  run.model.config.initializer_range = 0.08;
  run.model.config.embedding_initializer_range = 1;
  run.data.sequence_length = 256;
  run.batch.sequences = 4;
  run.optimizer.beta2 = 0.98;
  run.optimizer.epsilon = 1e-6;
  run.schedule.warmup_steps = 1000;
  run.run.steps = 1000;
  run.compute.dtype = DType::kBf16;
}

std::string LoopedRecipe::sizes_text(const char* width) const {
  const ModelConfig& c = run.model.config;
  return fmt::format("{} {}, {} heads, feed-forward {}, {} norms", width, c.hidden_size, c.heads,
                     c.intermediate_size, name_of(kNormPlacementNames, c.norm_placement));
}

std::string LoopedRecipe::seeds_text() const { return count_text(seeds.size(), "seed"); }

void read_looped_recipe(TomlReader& model, TomlReader& training, LoopedRecipe& recipe) {
  std::vector<std::string> texts;
  model.require("shapes");
  model.read("shapes", texts);
  const Status different = check_different(texts, "model.shapes");
  if (!different.ok()) model.fail(different.message());
  recipe.shapes.clear();
  for (const std::string& text : texts) {
    Result<LoopedShape> shape = parse_looped_shape(text);
    if (!shape.ok()) return model.fail("model.shapes: " + shape.status().message());
    recipe.shapes.push_back(*shape);
  }
  read_run_keys(model, recipe.run,
                {"model.hidden_size", "model.heads", "model.intermediate_size",
                 "model.norm_placement", "model.norm_between_loops", "model.rope_theta",
                 "model.initializer_range", "model.embedding_initializer_range"});
  read_run_keys(training, recipe.run,
                {"data.sequence_length", "batch.sequences", "optimizer.beta1", "optimizer.beta2",
                 "optimizer.epsilon", "optimizer.weight_decay", "optimizer.clip", "schedule.warmup",
                 "run.checkpoint_every", "compute.dtype"});
  training.read("seeds", recipe.seeds);
  training.read("final_share", recipe.final_share, 0, 1);
  training.read("validations", recipe.validations, 1, 10000);
}

Status check_recipe(const LoopedRecipe& recipe, int64_t longest, const std::string& what) {
  LOOPLM_RETURN_IF_ERROR(check_different(recipe.seeds, "training.seeds"));
  if (longest <= recipe.run.data.sequence_length) return {};
  return invalid_argument(fmt::format("training.sequence_length is {}; {} takes {}",
                                      recipe.run.data.sequence_length, what, longest));
}

LoopedRun looped_run(const LoopedRecipe& recipe, const LoopedShape& shape, uint64_t seed) {
  return {shape, 0, recipe.run.schedule.peak, recipe.run.run.steps, seed, {}};
}

RunConfig looped_run_config(const LoopedRecipe& recipe, const LoopedRun& run) {
  RunConfig c = recipe.run;
  c.model.config.vocab_size = run.vocab_size;
  c.model.config.layers = run.shape.layers;
  c.model.config.loops = run.shape.loops;
  c.model.config.max_positions = c.data.sequence_length;
  c.model.seed = c.run.seed = run.seed;
  c.data.validation = run.validations;
  c.schedule.peak = run.learning_rate;
  c.schedule.final = run.learning_rate * recipe.final_share;
  set_steps(c, run.steps, recipe.validations);
  return c;
}

Result<TrainedModel> train_looped(const CellContext& context, const LoopedRecipe& recipe,
                                  LoopedRun run, std::shared_ptr<const DocumentStream> stream,
                                  const std::string& note, double progress_to) {
  run.vocab_size = stream->vocab_size();
  CellTraining training;
  training.run = looped_run_config(recipe, run);
  training.streams = {std::move(stream)};
  training.progress_to = progress_to;
  training.note = note;
  return train_in_cell(context, training);
}

ValidationRounds validation_rounds(const std::vector<ValidationReport>& validations, size_t sets) {
  ValidationRounds rounds;
  for (size_t i = 0; i < validations.size(); ++i) {
    const ValidationReport& report = validations[i];
    if (i % sets == 0) {
      rounds.steps.push_back(report.step);
      rounds.accuracy.emplace_back();
    }
    LOOPLM_CHECK(report.set == static_cast<int64_t>(i % sets) && report.step == rounds.steps.back(),
                 "validation set {} is out of order", report.set);
    rounds.accuracy.back().push_back(report.accuracy.back());
  }
  LOOPLM_CHECK(!rounds.steps.empty() && rounds.accuracy.back().size() == sets);
  return rounds;
}

}  // namespace looplm
