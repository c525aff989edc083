#include "experiments/reachability/reachability_study.h"

#include <gmock/gmock.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

using testing::HasSubstr;

constexpr const char* kTiny = R"(
[theorem]
nodes = [6, 10]
graphs = [2, 1]
all_diameters_up_to = 8
random_graphs = 3
ablation_graphs = 4
ablation_nodes = 8
[task]
length = 2
queries = 2
[model]
shapes = ["1x2", "1x1", "2x1"]
hidden_size = 16
heads = 2
intermediate_size = 16
[training]
seeds = [1, 2]
steps = 4
sequences = 2
sequence_length = 32
validations = 2
[evaluation]
validation_examples = 8
examples = 6
loops = 3
)";

TrainedPathsRun run_of(LoopedShape shape, uint64_t seed, std::vector<double> trained) {
  TrainedPathsRun run;
  run.shape = shape;
  run.seed = seed;
  run.parameters = 10 * shape.layers;
  run.accuracy.assign(static_cast<size_t>(shape.loops), std::vector<double>(trained.size(), 0.5));
  run.accuracy.back() = std::move(trained);
  run.curve_steps = {1, 2};
  run.curve = {0.1, 0.2};
  return run;
}

std::vector<Claim> claims(const std::vector<TrainedPathsRun>& runs, int trained_distance = 0) {
  ReachabilityResults results;
  results.theorem = {{16, GraphFamily::kLayered, 1, 4, 3, 2, 2, 0, 3, 3}};
  results.ablation = {{"as printed", {}, 40, 0, 0.4}};
  results.runs = runs;
  results.paths = 2;
  results.trained_distance = trained_distance;
  return reachability_report(results).claims;
}

TEST(ReachabilityReport, VerdictsFollowTheNumbers) {
  const TrainedPathsRun plain = run_of({2, 1}, 1, {1, 0.95, 0.55, 0.5});
  const TrainedPathsRun deep = run_of({8, 1}, 1, {1, 1, 0.9, 0.8});
  std::vector<Claim> c = claims({run_of({2, 4}, 1, {1, 1, 1, 0.97}), plain, deep});
  ASSERT_EQ(c.size(), 5u);
  EXPECT_EQ(c[0].verdict, Verdict::kReproduced);
  EXPECT_EQ(c[1].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(c[2].verdict, Verdict::kReproduced);
  EXPECT_THAT(c[2].finding, HasSubstr("distances 3 to 4: 2x4 98.5%, 2x1 52.5%"));
  EXPECT_THAT(c[2].finding, HasSubstr("learnt up to 4 and 2"));
  // Equal steps say nothing of the examples needed: never more than partly.
  EXPECT_EQ(c[3].verdict, Verdict::kPartly);
  EXPECT_THAT(c[3].finding, HasSubstr("at 3 edges the seeds of 8x1 have 90%"));
  EXPECT_THAT(c[3].finding, HasSubstr("was not measured"));
  // Ahead in the mean, but not with the worst seed.
  c = claims({run_of({2, 4}, 1, {1, 1, 1, 1}), run_of({2, 4}, 2, {1, 1, 0.5, 0.5}), plain, deep});
  EXPECT_EQ(c[2].verdict, Verdict::kPartly);
  EXPECT_EQ(c[3].verdict, Verdict::kNotReproduced);
  // A guess that beats what is worse than a guess.
  c = claims({run_of({2, 4}, 1, {1, 1, 0.5, 0.5}), run_of({2, 1}, 1, {1, 0.1, 0.1, 0.1})});
  EXPECT_EQ(c[2].verdict, Verdict::kNotReproduced);
  EXPECT_THAT(c[2].finding, HasSubstr("no better than a guess"));
}

TEST(ReachabilityReport, SaysHowFarEachLoopReaches) {
  TrainedPathsRun run = run_of({1, 2}, 1, {1, 1, 0, 0});
  run.accuracy = {{1, 0, 0, 0}, {1, 1, 0, 0}, {1, 1, 1, 0}, {1, 1, 0.98, 0.96}};
  std::vector<Claim> c = claims({run}, 2);
  ASSERT_EQ(c.size(), 4u);
  EXPECT_EQ(c[2].verdict, Verdict::kNotReproduced);  // one edge after one loop is not two
  EXPECT_THAT(c[2].finding, HasSubstr("1, 2 edges after loops 1 to 2"));
  EXPECT_EQ(c[3].verdict, Verdict::kReproduced);
  EXPECT_THAT(c[3].finding,
              HasSubstr("3 edges 100.0% after 3 loops (0.0% after 2), 4 edges 96.0%"));
  run.accuracy[0] = {1, 0.95, 0, 0};
  run.accuracy[2] = run.accuracy[3] = {1, 1, 0, 0};
  c = claims({run}, 2);
  EXPECT_EQ(c[2].verdict, Verdict::kReproduced);
  EXPECT_EQ(c[3].verdict, Verdict::kNotReproduced);
  run.accuracy[2] = {1, 1, 1, 0};
  run.accuracy[3] = {1, 1, 1, 0.5};
  EXPECT_EQ(claims({run}, 2)[3].verdict, Verdict::kPartly);
  // Right at four loops, but not at the three that three edges were said to take.
  run.accuracy[2] = {1, 1, 0.5, 0};
  run.accuracy[3] = {1, 1, 1, 1};
  EXPECT_EQ(claims({run}, 2)[3].verdict, Verdict::kPartly);
}

TEST(ReachabilityReport, SaysWhichDiametersWereTried) {
  ReachabilityResults results;
  for (int d : {1, 2, 3})
    results.theorem.push_back({4, GraphFamily::kLayered, 1, d, 3, 1, 1, 0, 1, 1});
  for (int d : {1, 8})
    results.theorem.push_back({9, GraphFamily::kLayered, 1, d, 4, 1, 1, 0, 1, 1});
  const Document document = reachability_report(results).document;
  std::string text;
  for (const auto& block : document.blocks) {
    if (const auto* paragraph = std::get_if<Paragraph>(&block)) text += paragraph->text;
  }
  EXPECT_THAT(text,
              HasSubstr("4 nodes: every diameter from 1 to 3; 9 nodes: 2 of 8 diameters (1, 8)"));
}

TEST(ReachabilityReport, ComparesWithinTheTrainedDistances) {
  // Both fail beyond: that is no tie.
  const std::vector<Claim> c =
      claims({run_of({1, 2}, 1, {1, 1, 0, 0}), run_of({1, 1}, 1, {1, 0.5, 0, 0})}, 2);
  EXPECT_EQ(c[2].verdict, Verdict::kReproduced);
  EXPECT_THAT(c[2].finding, HasSubstr("distances 2 to 2: 1x2 100.0%, 1x1 50.0%"));
}

TEST(ReachabilityReport, StepsAreCountedToTheLastTimeBelow) {
  TrainedPathsRun run = run_of({1, 2}, 1, {1, 1});
  run.curve_steps = {10, 20, 30, 40, 50};
  run.curve = {0.2, 0.99, 0.5, 0.96, 1};
  EXPECT_EQ(run.steps_to(0.95), 40);
  EXPECT_EQ(run.steps_to(0.1), 10);
}

TEST(ReachabilityReport, WithoutRunsTheConjectureIsNotTested) {
  const std::vector<Claim> c = claims({});
  ASSERT_EQ(c.size(), 3u);
  EXPECT_EQ(c[2].verdict, Verdict::kNotTested);
}

TEST(ReachabilityReport, RunsOfAShapeBelongTogether) {
  const std::vector<TrainedPaths> shapes =
      by_shape({run_of({2, 2}, 1, {1, 0}), run_of({1, 1}, 1, {0, 0}), run_of({2, 2}, 2, {0, 1})});
  ASSERT_EQ(shapes.size(), 2u);
  EXPECT_EQ(shapes[0].runs.size(), 2u);
  EXPECT_EQ(shapes[0].at(2, 1).mean, 0.5);
  EXPECT_EQ(shapes[0].at(2, 1).high, 1);
  EXPECT_EQ(shapes[0].at(1, 1).high, 0.5);
  EXPECT_EQ(shapes[0].mean_over(1, 2).low, 0.5);
  const TrainedPathsRun& run = shapes[0].runs[1];
  EXPECT_EQ(Json(Json::parse(Json(run).dump()).get<TrainedPathsRun>()), Json(run));
}

TEST(ReachabilityStudy, RunsFromStartToReport) {
  const TempDir dir;
  const Json results = run_tiny(*make_reachability_study(), kTiny, dir).value();
  EXPECT_EQ(results.at("claims").size(), 5u);
  const Json& looped = results.at("cells").at("paths-1x2-s2");
  EXPECT_EQ(looped.at("accuracy").size(), 3u);  // loops beyond the trained two
  EXPECT_EQ(looped.at("accuracy").at(0).size(), 2u);
  EXPECT_EQ(looped.at("parameters"), results.at("cells").at("paths-1x1-s1").at("parameters"));
  EXPECT_EQ(results.at("cells").at("paths-1x1-s1").at("accuracy").size(), 1u);
  const std::string report = report_text(dir);
  for (const char* says : {"loops-by-diameter.png", "as printed | 0 of 4", "loops-1x2.png"}) {
    EXPECT_THAT(report, HasSubstr(says));
  }
}

TEST(ReachabilityStudy, SettingsAreChecked) {
  const auto configure = [](const std::string& more) {
    return configure_text(*make_reachability_study(), more);
  };
  const std::string model = "[model]\nshapes = [\"1x1\"]\n";
  ASSERT_OK(configure(model));
  ASSERT_OK(configure(""));  // the theorem alone
  EXPECT_ERROR_SAYS(configure("[model]\nheads = 2\n"), "model.shapes");
  EXPECT_ERROR_SAYS(configure(model + "[theorem]\nnodes = [1]\n"), "theorem.nodes");
  EXPECT_ERROR_SAYS(configure(model + "[theorem]\nnodes = [8, 9, 10]\n"), "theorem.graphs has 2",
                    "theorem.nodes 3");
  EXPECT_ERROR_SAYS(configure(model + "[task]\nlength = 130\n"), "sequence_length is 256");
  EXPECT_ERROR_SAYS(configure(model + "[training]\nseeds = [3, 3]\n"),
                    "training.seeds has 3 twice");
  EXPECT_ERROR_SAYS(configure(model + "[task]\nwidth = 1\n"), "task.width");
}

}  // namespace
}  // namespace looplm
