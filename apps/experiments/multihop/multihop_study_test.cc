#include "experiments/multihop/multihop_study.h"

#include <gmock/gmock.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

using testing::HasSubstr;

MultihopRun run_of(LoopedShape shape, int64_t questions, uint64_t seed, double middle, double end) {
  MultihopRun run;
  run.questions = questions;
  run.shape = shape;
  run.seed = seed;
  run.parameters = 100 * shape.layers;
  run.steps = {10, 20, 30};
  run.held_out = {0.0, middle, end};
  run.trained = {0.5, 1, 1};
  run.facts = {0.5, 1, 1};
  return run;
}

// Two counts of questions, two seeds; 2x2 gains over 2x1, the first seed more than the second by
// twice `uneven`; 4x1 lies between.
std::vector<MultihopRun> grid(double gain, double uneven = 0) {
  std::vector<MultihopRun> runs;
  for (const uint64_t seed : {1, 2}) {
    const double noise = seed == 1 ? -0.03 : 0.03;
    for (const int64_t questions : {100, 200}) {
      const double base = questions == 100 ? 0.2 : 0.4;
      runs.push_back(run_of({2, 1}, questions, seed, base / 2, base + noise));
      const double gained = gain + (seed == 1 ? uneven : -uneven);
      runs.push_back(run_of({2, 2}, questions, seed, base / 2 + gain, base + noise + gained));
      runs.push_back(run_of({4, 1}, questions, seed, base / 2, base + noise + gain / 2));
    }
  }
  return runs;
}

StudyReport report_of(const std::vector<MultihopRun>& runs) {
  return multihop_report(multihop_curves(runs), summarize_seeds({0.1, 0.1}), "as described");
}

TEST(MultihopResults, RoundsOfValidationsBecomeCurves) {
  std::vector<ValidationReport> reports;
  for (int64_t step : {5, 10}) {
    for (int64_t set = 0; set < 3; ++set) {
      ValidationReport r;
      r.step = step;
      r.set = set;
      r.accuracy = {0.0, 0.01 * static_cast<double>(step + set)};
      reports.push_back(r);
    }
  }
  const MultihopRun run = multihop_run(70, {2, 2}, 3, 44, reports);
  EXPECT_EQ(run.steps, (std::vector<int64_t>{5, 10}));
  EXPECT_EQ(run.held_out, (std::vector<double>{0.05, 0.10}));
  EXPECT_EQ(run.trained, (std::vector<double>{0.06, 0.11}));
  EXPECT_EQ(run.facts, (std::vector<double>{0.07, 0.12}));
  const MultihopRun again = result_of<MultihopRun>(Json::parse(Json(run).dump())).value();
  EXPECT_EQ(again.facts, run.facts);
  EXPECT_EQ(again.shape, run.shape);
  EXPECT_EQ(again.questions, 70);
  reports.pop_back();
  EXPECT_ANY_THROW(multihop_run(70, {2, 2}, 3, 44, reports));
  EXPECT_ERROR_SAYS(result_of<MultihopRun>(Json::object()), "questions");
}

TEST(MultihopResults, CurvesAreMeansOverSeedsByQuestions) {
  const std::vector<MultihopCurve> curves = multihop_curves(grid(0.3));
  ASSERT_EQ(curves.size(), 3u);
  const MultihopCurve* looped = find_curve(curves, {2, 2});
  ASSERT_NE(looped, nullptr);
  EXPECT_EQ(looped->questions, (std::vector<int64_t>{100, 200}));
  EXPECT_NEAR(looped->accuracy[1].mean, 0.7, 1e-12);
  EXPECT_EQ(looped->runs[0].size(), 2u);
  // 0.5 at the first count, 0.7 at the second: 0.6 in the middle.
  EXPECT_NEAR(*questions_needed(*looped, 0.6), 150, 1e-9);
  EXPECT_EQ(*questions_needed(*looped, 0.4), 100);
  EXPECT_FALSE(questions_needed(*looped, 0.9).has_value());
}

TEST(MultihopResults, StepsAreCountedBetweenMeasurements) {
  const MultihopRun run = run_of({2, 2}, 200, 1, 0.4, 0.8);  // 0, 0.4 and 0.8 after 10, 20 and 30
  EXPECT_NEAR(*steps_needed(run, 0.2), 15, 1e-9);
  EXPECT_NEAR(*steps_needed(run, 0.4), 20, 1e-9);
  EXPECT_NEAR(*steps_needed(run, 0.7), 27.5, 1e-9);
  EXPECT_EQ(*steps_needed(run, 0), 10);
  EXPECT_FALSE(steps_needed(run, 0.9).has_value());
}

// One and two loops with seeds 1 and 2; what they have after 20 of 30 steps.
Claim speed_claim_of(double one_first, double one_second, double two_first, double two_second) {
  return report_of({run_of({2, 1}, 100, 1, one_first, 0.5), run_of({2, 1}, 100, 2, one_second, 0.5),
                    run_of({2, 2}, 100, 1, two_first, 0.9),
                    run_of({2, 2}, 100, 2, two_second, 0.9)})
      .claims[1];
}

// Half way from the shortcut's 0.1 to one loop's 0.5.
TEST(MultihopResults, FewerStepsMustBeFewerBeyondTheSpreadOfSeeds) {
  const Claim sure = speed_claim_of(0.3, 0.3, 0.6, 0.6);
  EXPECT_EQ(sure.verdict, Verdict::kReproduced);
  EXPECT_THAT(sure.finding, HasSubstr("to 30.0%"));
  // Fewer with each of two seeds, 5 and 2.5.
  const Claim each = speed_claim_of(0.3, 0.3, 0.6, 0.4);
  EXPECT_EQ(each.verdict, Verdict::kNotReproduced);
  EXPECT_THAT(each.finding, HasSubstr("1 loop 20 (seeds 20, 20); 2 loops 16 (seeds 15, 18; +4 "
                                      "[-12, +20] fewer)"));
  EXPECT_EQ(speed_claim_of(0.3, 0.3, 0.6, 0.3).verdict, Verdict::kNotReproduced);  // a tie
  EXPECT_EQ(speed_claim_of(0.3, 0.3, 0.2, 0.2).verdict, Verdict::kNotReproduced);
}

TEST(MultihopResults, VerdictsFollowTheNumbers) {
  for (const Claim& claim : report_of(grid(0.3)).claims) {
    EXPECT_EQ(claim.verdict, Verdict::kReproduced) << claim.claim;
  }
  for (const Claim& claim : report_of(grid(-0.1)).claims) {
    EXPECT_EQ(claim.verdict, Verdict::kNotReproduced) << claim.claim;
  }
  // Seeds overlap, but each gains.
  EXPECT_EQ(report_of(grid(0.05)).claims[0].verdict, Verdict::kReproduced);
  // Better on average, but with an interval that holds 0; then by less than chance explains.
  EXPECT_EQ(report_of(grid(0.05, 0.06)).claims[0].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(report_of(grid(0.10, 0.06)).claims[2].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(report_of(grid(0.03)).claims[0].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(report_of(grid(0.03)).claims[2].verdict, Verdict::kNotReproduced);
  EXPECT_THAT(report_of(grid(0.3)).claims[0].finding, HasSubstr("2 loops 50.0%"));
  const StudyReport plain = report_of({run_of({2, 1}, 100, 1, 0.1, 0.2)});
  for (const Claim& claim : plain.claims) EXPECT_EQ(claim.verdict, Verdict::kNotTested);
}

Status configured(const std::string& world, const std::string& training = "") {
  return configure_text(
      *make_multihop_study(),
      "[world]\n" + world + "\n[model]\nshapes = [\"2x2\"]\n[training]\n" + training);
}

TEST(MultihopStudy, SettingsAreChecked) {
  EXPECT_OK(configured("relations = 20"));
  EXPECT_ERROR_SAYS(configured("relations = 50"), "relations is 50");
  EXPECT_ERROR_SAYS(configured("train_questions = [5, 900000]"), "train_questions is 900000");
  EXPECT_ERROR_SAYS(configured("train_questions = [5, 5]"), "5 twice");
  EXPECT_ERROR_SAYS(configured("children = 3"), "world.children");
  EXPECT_ERROR_SAYS(configured("fact_share = 1.5"), "fact_share");
  EXPECT_ERROR_SAYS(configured("", "sequence_length = 16\nseeds = [2, 2]"), "training.seeds");
  EXPECT_ERROR_SAYS(configured("layers = 9\npeople_per_layer = 2\nrelations = 2\nhops = 8\n"
                               "held_out_questions = 9\ntrain_questions = 9",
                               "sequence_length = 20"),
                    "sequence_length", "30");
}

TEST(MultihopStudy, ATinyStudyRunsToItsReport) {
  const TempDir directory;
  const Json results = run_tiny(*make_multihop_study(), R"(
[world]
people_per_layer = 4
relations = 3
held_out_questions = 20
train_questions = [30, 60]
fact_share = 0.25
[model]
shapes = ["1x1", "1x2", "2x1"]
hidden_size = 16
heads = 2
intermediate_size = 24
[training]
steps = 6
learning_rate = 1e-2
seeds = [1, 2]
sequence_length = 32
sequences = 2
validations = 3
[evaluation]
trained_examples = 10
)",
                                directory, 2)
                           .value();
  EXPECT_EQ(results.at("cells").size(), 12u);
  EXPECT_EQ(results.at("cells").at("q30-1x2-s2").at("steps"), Json({2, 4, 6}));
  EXPECT_EQ(results.at("claims").size(), 3u);
  EXPECT_THAT(report_text(directory), HasSubstr("1 layers, 2 loops"));
  EXPECT_TRUE(file_exists(directory.file("out/questions.png")));
}

}  // namespace
}  // namespace looplm
