#include "experiments/scaling/scaling_study.h"

#include <cmath>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/rng.h"
#include "experiments/core/test_study.h"
#include "experiments/scaling/scaling_analysis.h"

namespace looplm {
namespace {

using testing::HasSubstr;

constexpr const char* kSettings = R"(
text = "{root}/text.txt"
vocab_size = 270
hold_out_every = 20
loops = [1, 2]
dense = [2]
points = 4
[[sizes]]
hidden = 8
layers = 1
heads = 1
intermediate = 16
[[sizes]]
hidden = 16
layers = 1
heads = 2
intermediate = 32
[training]
steps = 8
sequence_length = 16
sequences = 2
warmup = 2
[fit]
starts = 3
kept_tokens = 0.75
)";

class ScalingStudyTest : public SettingsTest<ScalingSettings> {
 protected:
  ScalingStudyTest() : SettingsTest(kSettings, read_scaling_settings) {}
};

TEST_F(ScalingStudyTest, SettingsAreChecked) {
  const ScalingSettings s = settings();
  ASSERT_OK(status_);
  EXPECT_EQ(s.kept_sizes, 2);  // no more than there are
  EXPECT_ERROR_SAYS(error("text = ", "texts = "), "text is missing");
  EXPECT_ERROR_SAYS(error("loops = [1, 2]", "loops = 4"), "loops has one entry");
  EXPECT_ERROR_SAYS(error("steps = 8", "steps = 9"), "training.steps is 9",
                    "multiple of points, 4");
  EXPECT_ERROR_SAYS(error("heads = 2", "heads = 5"), "sizes[1].heads is 5", "16");
  EXPECT_ERROR_SAYS(error("starts = 3", "kept_sizes = 3"), "fit.kept_sizes is 3", "2 to 2");
  EXPECT_ERROR_SAYS(error("kept_tokens = 0.75", "kept_tokens = [0.75, 0.5]"),
                    "fit.kept_tokens has 0.5", "8 measurements", "at least 10");
}

TEST_F(ScalingStudyTest, RunsAreLoopedOnesAndPlainOnesOfTheSameDepth) {
  std::set<std::string> ids;
  for (const ScalingRun& run : scaling_runs(settings())) ids.insert(run.id());
  EXPECT_EQ(ids, (std::set<std::string>{
                     "hidden=8.layers=1.loops=1.seed=1", "hidden=8.layers=1.loops=2.seed=1",
                     "dense.hidden=8.layers=2.seed=1", "hidden=16.layers=1.loops=1.seed=1",
                     "hidden=16.layers=1.loops=2.seed=1", "dense.hidden=16.layers=2.seed=1"}));
}

// How made-up results are to be.
struct Truth {
  double gap = 0.1;           // nats by which a plain model of two times the layers is better
  double gap_by_size = -0.2;  // of the gap, added with every doubling of the width
  double loops = 0.3;         // nats of the first loop's term, which falls as 1 / loop
  double noise = 0;
};

// Results in which, by default, everything is as the paper has it: losses from one step-wise law,
// exits always the same, plain models better by more with depth and by less with size.
CellResults results_of(const ScalingSettings& s, const Truth& truth) {
  CellResults results;
  Rng rng(5);
  for (const ScalingRun& run : scaling_runs(s)) {
    const double parameters = 100.0 * run.size.hidden * run.size.hidden;
    const double doublings = std::log2(run.size.hidden / 8.0);
    const double gap = truth.gap * (run.layers_times / 2.0) * (1 + truth.gap_by_size * doublings);
    Json cell;
    cell["parameters"] = parameters * run.layers_times;
    cell["tokens_per_step"] = 1000;
    for (int i = 1; i <= s.points; ++i) {
      const double shared = 2 + 20 / std::sqrt(parameters) + 10 / std::sqrt(1000.0 * i);
      Json v;
      v["step"] = i;
      double total = 0;
      for (int t = 1; t <= run.loops; ++t) {
        double nll = shared + truth.noise * static_cast<double>(rng.normal());
        nll += run.layers_times > 1 ? truth.loops / run.layers_times - gap : truth.loops / t;
        v["nll"].push_back(nll);
        v["exit"].push_back(1.0 / run.loops);
        v["accuracy"].push_back(0.6 - 0.1 * nll);
        total += nll / run.loops;
      }
      v["loss"] = total;
      cell["validations"].push_back(std::move(v));
    }
    results[run.id()] = std::move(cell);
  }
  return results;
}

// Five sizes, three depths and more places along the runs.
std::string larger_settings() {
  std::string text = kSettings;
  for (int hidden : {32, 64, 128}) {
    text.insert(
        text.find("[[sizes]]"),
        fmt::format("[[sizes]]\nhidden = {}\nlayers = 1\nheads = 1\nintermediate = 16\n", hidden));
  }
  text.replace(text.find("loops = [1, 2]"), 14, "loops = [1, 2, 4]");
  text.replace(text.find("dense = [2]"), 11, "dense = [2, 4]");
  text.replace(text.find("points = 4"), 10, "points = 8");
  const std::string fit = "starts = 3\nkept_tokens = 0.75";
  text.replace(text.find(fit), fit.size(), "starts = 4\nkept_tokens = 0.5");
  return text;
}

TEST_F(ScalingStudyTest, VerdictsFollowTheResults) {
  const ScalingSettings s = settings(larger_settings());
  ASSERT_OK(status_);
  Result<StudyReport> report = scaling_report(s, results_of(s, {}));
  ASSERT_OK(report);
  ASSERT_EQ(report->claims.size(), 7u);
  for (size_t i = 0; i < report->claims.size(); ++i) {
    if (i == 1) continue;  // what two of three loops say of the third is tested apart
    const Claim& claim = report->claims[i];
    EXPECT_EQ(claim.verdict, Verdict::kReproduced) << claim.claim << "\n" << claim.finding;
  }
  EXPECT_THAT(report->claims[1].finding,
              HasSubstr("on the points left out, fitted on 3 of 5 sizes"));
  EXPECT_THAT(report->claims[2].finding, HasSubstr("the law falls by 0.2"));
  EXPECT_THAT(report->claims[2].finding, HasSubstr("the measured mean by 0.225"));
  EXPECT_THAT(report->claims[3].finding, HasSubstr("3 of 4 loops: "));
  EXPECT_THAT(report->claims[4].finding, HasSubstr("{0.250, 0.250, 0.250, 0.250}"));
  EXPECT_THAT(report->claims[5].finding, HasSubstr("wins 10 of 10"));
  EXPECT_THAT(report->claims[5].finding, HasSubstr("-0.10 [-0.10, -0.10] points per doubling"));

  CellResults missing = results_of(s, {});
  missing.erase("dense.hidden=16.layers=4.seed=1");
  EXPECT_ERROR_SAYS(scaling_report(s, missing), "no result of cell dense.hidden=16.layers=4");
}

// On all points a fit does well that was made on most of them.
TEST_F(ScalingStudyTest, ThePointsLeftOutDecideWhatIsPredicted) {
  const ScalingSettings s = settings(larger_settings());
  const ScalingRuns runs = read_runs(s, results_of(s, {})).value();
  ScalingFit with;
  with.rms = 0.1;
  ScalingFit without;
  without.rms = 0.2;
  const auto claim = [&](double left_out, const ScalingFit& alone) {
    const std::vector<Generalisation> ways = {
        {"3 of 5 sizes", {{"", 0.99, left_out - 0.02}, {"", 0.99, left_out + 0.02}}, ""},
        {"the first half", {{"", 0.99, 0.97}}, ""}};
    return scaling_claims(s, {runs, with, alone, 240, ways, {}}).at(1);
  };
  EXPECT_EQ(claim(0.95, without).verdict, Verdict::kReproduced);
  EXPECT_THAT(claim(0.95, without).finding,
              HasSubstr("3 of 5 sizes: 0.950; the first half: 0.970"));
  EXPECT_EQ(claim(0.95, with).verdict, Verdict::kPartly);  // a law that needs no loops
  EXPECT_EQ(claim(0.8, without).verdict, Verdict::kPartly);
  EXPECT_EQ(claim(0.5, without).verdict, Verdict::kNotReproduced);
}

TEST_F(ScalingStudyTest, GapsToPlainModelsMustFallWithTheSize) {
  const ScalingSettings s = settings(larger_settings());
  const auto dense = [&](const Truth& truth) {
    const CellResults results = results_of(s, truth);
    const ScalingRuns runs = read_runs(s, results).value();
    const ScalingFit none;
    return scaling_claims(s, {runs, none, none, 0, {}, {}}).at(2);
  };
  EXPECT_EQ(dense({}).verdict, Verdict::kReproduced);
  const Claim grows = dense({.gap_by_size = 0.2});
  EXPECT_EQ(grows.verdict, Verdict::kPartly);
  EXPECT_THAT(grows.finding, HasSubstr("it grows with the size"));
  const Claim scattered = dense({.gap_by_size = 0, .noise = 0.01});
  EXPECT_EQ(scattered.verdict, Verdict::kPartly);
  EXPECT_THAT(scattered.finding, HasSubstr("no trend"));
  EXPECT_EQ(dense({.gap = -0.1}).verdict, Verdict::kNotReproduced);
}

TEST_F(ScalingStudyTest, ALawThatDoesWithoutItsLoopsIsNotOneOfLoops) {
  const ScalingSettings s = settings(larger_settings());
  Result<StudyReport> report = scaling_report(s, results_of(s, {.loops = 0, .noise = 0.01}));
  ASSERT_OK(report);
  EXPECT_EQ(report->claims[0].verdict, Verdict::kPartly) << report->claims[0].finding;
  EXPECT_THAT(report->claims[0].finding, HasSubstr("the loops explain nothing"));
  EXPECT_EQ(report->claims[1].verdict, Verdict::kPartly) << report->claims[1].finding;
  EXPECT_EQ(report->claims[2].verdict, Verdict::kNotReproduced) << report->claims[2].finding;
  EXPECT_EQ(report->claims[3].verdict, Verdict::kPartly) << report->claims[3].finding;
  EXPECT_EQ(report->claims[4].verdict, Verdict::kPartly) << report->claims[4].finding;
}

TEST_F(ScalingStudyTest, RunsFromSettingsToReport) {
  const TempDir dir;
  const auto run = [&] { return run_tiny(*make_scaling_study(), kSettings, dir, 1, dir.path()); };
  EXPECT_ERROR_SAYS(run(), "data", "text.txt", "models/recipe/glosses");
  std::string text;
  for (int i = 0; i < 400; ++i) text += fmt::format("the number {} and then {}\n", i, i + 1);
  ASSERT_OK(write_text_file(dir.file("text.txt"), text));
  const Json results = run().value();
  const Json& cell = results.at("cells").at("hidden=16.layers=1.loops=2.seed=1");
  ASSERT_EQ(cell.at("validations").size(), 4u);
  const Json& end = cell.at("validations").back();
  EXPECT_EQ(end.at("step"), 8);
  const auto exit = end.at("exit").get<std::vector<double>>();
  EXPECT_NEAR(exit.at(0) + exit.at(1), 1, 1e-5);
  EXPECT_GT(results.at("cells").at("data").at("held_out_tokens").get<int64_t>(), 100);
  EXPECT_THAT(report_text(dir), HasSubstr("step-wise, 2 loops"));
}

}  // namespace
}  // namespace looplm
