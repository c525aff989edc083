#include "experiments/core/looped_recipe.h"

#include <gmock/gmock.h>

#include "experiments/core/settings.h"
#include "support/status_matchers.h"
#include "train/run_config.h"

namespace looplm {
namespace {

TEST(LoopedShape, ReadsAndWritesTheSameText) {
  const LoopedShape shape = parse_looped_shape("3x2").value();
  EXPECT_EQ(shape.layers, 3);
  EXPECT_EQ(shape.loops, 2);
  EXPECT_EQ(shape.depth(), 6);
  EXPECT_EQ(shape.name(), "3x2");
  for (const char* wrong : {"", "3", "3x", "x2", "0x2", "3x0", "-1x2", "3x2 ", "03x2", "3x2x1",
                            "3,2", "1001x1", "1x99999999999999"}) {
    const std::string quoted = fmt::format("'{}'", wrong);
    EXPECT_ERROR_SAYS(parse_looped_shape(wrong), quoted.c_str(), "3x2");
  }
}

TEST(LoopedRecipe, ReadsSettingsAndMakesARunFileThatTheTrainerReads) {
  LoopedRecipe recipe;
  ASSERT_OK(read_settings(R"(
[model]
shapes = ["1x4", "4x1"]
hidden_size = 32
heads = 2
norm_placement = "pre"
[training]
sequences = 3
weight_decay = 0.25
validations = 4
warmup = 500
)",
                          "x", [&](TomlReader& reader) {
                            TomlReader model = reader.child("model");
                            TomlReader training = reader.child("training");
                            read_looped_recipe(model, training, recipe);
                            return Status();
                          }));

  LoopedRun run;
  run.shape = recipe.shapes.front();
  run.vocab_size = 99;
  run.learning_rate = 2e-6;
  run.steps = 200;
  run.seed = 7;
  run.validations = {"a \"b\".tokens", "c.tokens"};
  const Result<RunConfig> config = complete_run_config(looped_run_config(recipe, run));
  ASSERT_OK(config);
  const RunConfig& r = config.value();
  EXPECT_EQ(r.model.config.layers, 1);
  EXPECT_EQ(r.model.config.loops, 4);
  EXPECT_EQ(r.model.config.hidden_size, 32);
  EXPECT_EQ(r.model.config.vocab_size, 99);
  EXPECT_FALSE(r.model.config.exit_gate);
  EXPECT_EQ(r.objective.kind, ObjectiveKind::kLastLoop);
  EXPECT_EQ(r.batch.sequences, 3);
  EXPECT_EQ(r.optimizer.weight_decay, 0.25);
  EXPECT_EQ(r.schedule.peak, 2e-6);
  EXPECT_EQ(r.schedule.final, 2e-6 * 0.1);
  EXPECT_EQ(r.schedule.warmup_steps, 100);  // no more than half of the steps
  EXPECT_EQ(r.run.validate_every, 50);
  EXPECT_EQ(r.run.seed, 7u);
  EXPECT_EQ(r.model.seed, 7u);
  EXPECT_EQ(r.data.validation, run.validations);
}

TEST(LoopedRecipe, NamesShapesThatAreWrongOrTwice) {
  const auto read = [](const std::string& line) {
    return read_settings("[model]\n" + line, "x", [](TomlReader& reader) {
      TomlReader model = reader.child("model");
      TomlReader training = reader.child("training");
      LoopedRecipe recipe;
      read_looped_recipe(model, training, recipe);
      return Status();
    });
  };
  EXPECT_OK(read("shapes = [\"1x4\"]"));
  EXPECT_ERROR_SAYS(read("x = 1"), "model.shapes is missing");
  EXPECT_ERROR_SAYS(read("shapes = [\"4\"]"), "model.shapes", "'4'");
  EXPECT_ERROR_SAYS(read("shapes = [\"1x4\", \"1x4\"]"), "1x4 twice");
  EXPECT_ERROR_SAYS(check_different(std::vector<int>{3, 1, 3}, "k"), "k has 3 twice");
}

}  // namespace
}  // namespace looplm
