#include "experiments/core/text_task.h"

#include <set>

#include <gmock/gmock.h>

#include "experiments/core/estimates.h"
#include "experiments/core/settings.h"
#include "experiments/core/training_plan.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

TaskExample counted(uint64_t index) {
  return {"a" + std::to_string(index) + "=", "bb", {{"index", index}}};
}

TEST(TextTask, CharactersBecomeIdsFromOne) {
  const TaskText text = TaskText::of_characters("ab=0123456789");
  EXPECT_EQ(text.vocab_size(), 14);
  EXPECT_EQ(text.encode("b=a", EncodeAs::kPrompt), (std::vector<int32_t>{2, 3, 1}));
  EXPECT_EQ(text.decode(text.encode("a7=bb", EncodeAs::kPrompt)), "a7=bb");
  EXPECT_EQ(text.decode(std::vector<int32_t>{0, 14}), "??");
}

TEST(TextTask, StreamsLearnCompletionsAlone) {
  const TaskStream stream(counted, TaskText::of_characters("ab=0123456789"), "counted");
  std::vector<int32_t> ids, again;
  std::vector<bool> learnt;
  stream.document(12, ids, learnt);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 5, 6, 3, 2, 2}));
  EXPECT_EQ(learnt, (std::vector<bool>{false, false, false, false, true, true}));
  stream.document(3, again, learnt);
  stream.document(12, again, learnt);
  EXPECT_EQ(again, ids);
  const TaskStream other(counted, TaskText::of_characters("ab=0123456789"), "others");
  EXPECT_NE(other.hash(), stream.hash());
}

TEST(TextTask, ExamplesScoreCompletions) {
  const std::vector<EvalExample> examples =
      task_examples(counted, TaskText::of_characters("ab=0123456789"), 11);
  ASSERT_EQ(examples.size(), 11u);
  EXPECT_EQ(examples[10].fields.at("index"), 10);
  EXPECT_EQ(examples[10].scored, (std::vector<bool>{false, false, false, false, true, true}));
}

TEST(TrainingPlan, ReadsPhasesAndWritesRunFiles) {
  TrainingPlan plan;
  ASSERT_OK(
      read_settings("layers = 3\nheads = 2\nloops = 5\n"
                    "[[phases]]\nlongest = 2\nsteps = 10\n"
                    "[[phases]]\nlongest = 4\nsteps = 90\nlearning_rate = 1e-3\n",
                    "plan", [&](TomlReader& reader) {
                      plan.read(reader);
                      return Status();
                    }));
  ASSERT_EQ(plan.phases.size(), 2u);
  EXPECT_EQ(plan.phases[1].longest, 4);
  EXPECT_EQ(plan.phases[1].learning_rate, 1e-3);
  PhaseRun run;
  run.vocab_size = 15;
  const std::string fresh = write_run_config(phase_run_config(plan, plan.phases[0], run));
  EXPECT_THAT(fresh, testing::HasSubstr("layers = 3\n"));
  EXPECT_THAT(fresh, testing::HasSubstr("warmup = 5\n"));  // never more than half
  run.from = "some/model";
  const std::string further = write_run_config(phase_run_config(plan, plan.phases[1], run));
  EXPECT_THAT(further, testing::HasSubstr("from = \"some/model\""));
  EXPECT_THAT(further, testing::Not(testing::HasSubstr("layers")));
}

TEST(TextTask, DifferentExamplesDoNotComeTwice) {
  // Of length 1 there are three prompts, which a third of the draws give; of length 2 many.
  const TaskGenerator generator = [](uint64_t index) {
    TaskExample e;
    const bool is_short = index % 3 == 0;
    e.prompt = is_short ? std::to_string(index % 9) : "longer " + std::to_string(index / 2);
    e.completion = is_short ? "a" : "b";
    e.fields = {{"length", is_short ? 1 : 2}};
    return e;
  };
  const std::vector<TaskExample> examples = different_examples(generator, 40, "length", 2);
  std::set<std::string> prompts;
  for (const TaskExample& e : examples) prompts.insert(e.prompt);
  EXPECT_EQ(prompts.size(), examples.size());
  ASSERT_EQ(examples.size(), 3u + 20u);  // all there are, and an equal share
  EXPECT_EQ(examples[0].prompt, "0");
  EXPECT_NEAR(constant_guess(examples), 20.0 / 23, 1e-12);
  EXPECT_EQ(constant_guess({}), 0);
  EXPECT_EQ(different_examples(generator, 4, "length", 2).size(), 4u);
  const TaskText text = TaskText::of_characters("0123456789longer ab");
  EXPECT_EQ(task_examples(examples, text).size(), examples.size());
}

TEST(Estimates, OverSeedsKeepsASingleInterval) {
  EXPECT_EQ(over_seeds({{1, 0.5, 1.5}}).high, 1.5);
  const Estimate both = over_seeds({{1, 0.9, 1.1}, {3, 2.9, 3.1}});
  EXPECT_NEAR(both.value, 2, 1e-12);
  EXPECT_NEAR(both.high - both.value, 12.706, 1e-9);  // the spread of the values, not their own
}

TEST(Estimates, MeansOfRepeatsHaveStudentsIntervals) {
  const Estimate e = mean_of({1, 2, 3});
  EXPECT_NEAR(e.value, 2, 1e-12);
  EXPECT_NEAR(e.high - e.value, 4.303 / std::sqrt(3.0), 1e-9);
  EXPECT_EQ(mean_of({7}).low, 7);
  EXPECT_EQ(percent_text(Estimate{0.5, 0.45, 0.55}), "50.0% [45.0, 55.0]");
  EXPECT_EQ(points_text({0.02, -0.01, 0.05}), "+2.0 [-1.0, +5.0]");
  const Estimate back = Json(Estimate{1, 0, 3}).get<Estimate>();
  EXPECT_EQ(back.high, 3);
}

}  // namespace
}  // namespace looplm
