#include "experiments/exits/exits_study.h"

#include <cmath>
#include <utility>

#include <gmock/gmock.h>

#include "experiments/core/test_study.h"
#include "experiments/exits/exit_curve.h"
#include "model/checkpoint.h"
#include "model/parameter_set.h"

namespace looplm {
namespace {

constexpr const char* kTiny = R"(
targets = [2, 3]
seeds = [1, 2]
resamples = 20
[stage1]
start = "{root}/models/small"
sequences = 1
sequence_length = 64
[[stage1.phases]]
longest = 2
steps = 2
[stage2]
sequences = 1
sequence_length = 64
[[stage2.phases]]
longest = 2
steps = 2
[sums]
examples = 30
)";

TEST(ExitsStudy, RunsAndReports) {
  TempDir directory;
  const auto study = make_exits_study();
  const Json json = run_tiny(*study, kTiny, directory).value();
  EXPECT_EQ(json.at("cells").size(), 2u * 4);
  const std::string report = report_text(directory);
  for (const char* rule : {"hidden difference", "relative difference", "margin", "entropy",
                           "Stage I gate", "Stage II gate", "next loop's gain"}) {
    EXPECT_THAT(report, testing::HasSubstr(rule));
  }
  EXPECT_TRUE(file_exists(directory.file("out") + "/accuracy.png"));
}

TEST(ExitsStudy, WrongSettingsAreNamed) {
  EXPECT_ERROR_SAYS(configure_text(*make_exits_study(), "resamples = 1"), "stage1.phases");
  const std::string phases =
      "[stage1]\nstart = \"m\"\n[[stage1.phases]]\nlongest = 1\nsteps = 1\n"
      "[[stage2.phases]]\nlongest = 1\nsteps = 1\n";
  EXPECT_OK(configure_text(*make_exits_study(), phases));
  EXPECT_ERROR_SAYS(configure_text(*make_exits_study(), "targets = [0.5]\n" + phases), "targets");
  EXPECT_ERROR_SAYS(configure_text(*make_exits_study(), phases + "[sums]\nexamples = 1\n"),
                    "sums.examples");
  EXPECT_ERROR_SAYS(configure_text(*make_exits_study(), "seeds = [2, 2]\n" + phases), "seeds");
}

// A curve at mean depths 2 and 2.5 with these gains, shares.
Json curve_of(double at_2, double at_2_5) {
  Json curve = Json::array();
  for (const auto& [depth, gain] : {std::pair(2.0, at_2), std::pair(2.5, at_2_5)}) {
    const Json estimate = {gain, gain - 0.01, gain + 0.01};
    curve.push_back({{"target", depth},
                     {"threshold", 0.5},
                     {"mean_loops", depth},
                     {"nll", {1, 1, 1}},
                     {"accuracy", {0.5, 0.5, 0.5}},
                     {"nll_gain", {0, 0, 0}},
                     {"accuracy_gain", estimate}});
  }
  return curve;
}

Claim gate_claim(const std::vector<std::pair<double, double>>& stage2_of_seeds) {
  CellResults results;
  std::vector<int64_t> seeds;
  for (const auto& [at_2, at_2_5] : stage2_of_seeds) {
    seeds.push_back(std::ssize(seeds) + 1);
    const std::string end = "-" + std::to_string(seeds.back());
    const Json gate = {{"exit", {0.5, 0.5}}, {"gate", {0.5, 0.5}}, {"mean_exit", 1.5}};
    Json trunk = {{"examples", 10}, {"guess", 0.2}, {"gate", gate}};
    trunk["static"] = {{0.2, 0.2, 0.2}, {0.4, 0.4, 0.4}};
    for (const char* rule : {"hidden", "relative", "margin", "entropy", "stage1"}) {
      trunk["curves"][rule] = curve_of(0.1, 0.1);
    }
    const Json none = {{0, 0, 0}, {0, 0, 0}};
    results["trunk" + end] = trunk;
    for (const char* label : {"stage2", "forward"}) {
      results[label + end] = {{"curve", curve_of(at_2, at_2_5)},
                              {"over_stage1", none},
                              {"over_hidden", none},
                              {"gate", gate}};
    }
  }
  return exits_report(results, seeds).value().claims[0];
}

TEST(ExitsReport, AGateMustBeAheadWithTheSpreadOfItsSeeds) {
  // One trunk: the interval over examples, a point either way.
  EXPECT_EQ(gate_claim({{0.05, 0.05}}).verdict, Verdict::kReproduced);
  EXPECT_EQ(gate_claim({{0.05, 0}}).verdict, Verdict::kPartly);
  EXPECT_EQ(gate_claim({{0.05, -0.05}}).verdict, Verdict::kNotReproduced);
  // The same mean over three that agree and over three that do not.
  EXPECT_EQ(gate_claim({{0.05, 0.05}, {0.051, 0.051}, {0.049, 0.049}}).verdict,
            Verdict::kReproduced);
  const Claim apart = gate_claim({{0.05, 0.05}, {0.15, 0.15}, {-0.05, -0.05}});
  EXPECT_EQ(apart.verdict, Verdict::kNotReproduced);
  EXPECT_THAT(apart.finding, testing::HasSubstr("+5.0 [-19.8, +29.8] points"));
}

TEST(FreshGate, LeavesAllElse) {
  TempDir directory;
  const std::string small = project_root() + "/models/small";
  ASSERT_OK(copy_with_fresh_gate(small, directory.file("fresh")));
  EXPECT_TRUE(file_exists(directory.file("fresh") + "/tokenizer.json"));
  const Checkpoint before = open_checkpoint(small).value();
  const Checkpoint after = open_checkpoint(directory.file("fresh")).value();
  int gates = 0;
  for (size_t i = 0; i < before.specs.size(); ++i) {
    const auto count = static_cast<size_t>(before.specs[i].count());
    std::vector<float> a(count), b(count);
    checkpoint_fill(before)(static_cast<int64_t>(i), 0, a);
    checkpoint_fill(after)(static_cast<int64_t>(i), 0, b);
    const std::string& name = before.specs[i].name;
    if (name == kGateWeightName || name == kGateBiasName) {
      ++gates;
      EXPECT_NE(a[0], 0);
      EXPECT_EQ(b, std::vector<float>(count, 0.0f));
    } else {
      EXPECT_EQ(a, b) << name;
    }
  }
  EXPECT_EQ(gates, 2);
}

TEST(GateFigures, AreMeansOfTheExitDistribution) {
  // Two tokens: one exits at once, the other with one half at each of three loops.
  DepthScores sure, half;
  sure.loops = half.loops = 4;
  sure.tokens = half.tokens = 1;
  sure.gate = {50, 0, 0, 0};
  half.gate = {0, 0, 0, 90};
  sure.nll = {1, 9, 9, 9};
  half.nll = {4, 3, 2, 1};
  const GateFigures f = gate_figures({sure, half}, 4);
  EXPECT_THAT(f.exit, testing::Pointwise(testing::DoubleNear(1e-9), {0.75, 0.125, 0.0625, 0.0625}));
  EXPECT_NEAR(f.gate[0], 0.75, 1e-9);
  EXPECT_NEAR(f.mean_exit, (1 + 0.5 + 0.5 + 0.375 + 0.5) / 2, 1e-9);
  EXPECT_NEAR(f.expected_nll, (1 + 2 + 0.75 + 0.25 + 0.125) / 2, 1e-9);
  // Cut at two loops, the second takes what is left.
  EXPECT_NEAR(gate_figures({half}, 2).exit[1], 0.5, 1e-9);
}

}  // namespace
}  // namespace looplm
