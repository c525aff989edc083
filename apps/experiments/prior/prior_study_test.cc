#include "experiments/prior/prior_study.h"

#include <gmock/gmock.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

constexpr const char* kTiny = R"(
targets = [2, 3]
[training]
seeds = [1, 2]
hidden_size = 16
layers = 1
heads = 1
intermediate_size = 16
sequences = 1
sequence_length = 64
validate_every = 1
[[training.phases]]
longest = 1
steps = 3
[[training.phases]]
longest = 2
steps = 3
[priors]
geometric = [0.1, 0.9]
[sums]
modulus = 3
max_operations = 2
examples = 40
)";

TEST(PriorStudy, RunsAndReports) {
  TempDir directory;
  const auto study = make_prior_study();
  const Json json = run_tiny(*study, kTiny, directory).value();
  EXPECT_EQ(json.at("cells").size(), 2u * 4);
  const Json& cell = json.at("cells").at("geometric-0.9-2");
  EXPECT_GE(cell.at("validations").size(), 6u);
  EXPECT_EQ(cell.at("validations").back().at("step"), 6);
  const std::string report = report_text(directory);
  for (const char* arm : {"uniform", "geometric 0.1", "geometric 0.9", "Poisson-lognormal 1"}) {
    EXPECT_THAT(report, testing::HasSubstr(arm));
  }
}

TEST(PriorStudy, WrongSettingsAreNamed) {
  const std::string phases = "[[training.phases]]\nlongest = 1\nsteps = 1\n";
  EXPECT_OK(configure_text(*make_prior_study(), phases));
  EXPECT_ERROR_SAYS(configure_text(*make_prior_study(), "[priors]\ngeometric = [1.0]\n" + phases),
                    "geometric");
  EXPECT_ERROR_SAYS(configure_text(*make_prior_study(), "[training]\nstart = \"m\"\n" + phases),
                    "fresh");
  EXPECT_ERROR_SAYS(configure_text(*make_prior_study(), phases + "[sums]\nmodulus = 11\n"),
                    "modulus");
}

// A cell's result whose last loop has this nll and whose exits are early or not.
Json result(double nll, double early) {
  Json point = {{"target", 2},
                {"threshold", 0.5},
                {"mean_loops", 2},
                {"nll", {1, 1, 1}},
                {"accuracy", {1 - nll, 0, 1}},
                {"nll_gain", {0, 0, 0}},
                {"accuracy_gain", {0, 0, 0}}};
  Json validations = Json::array();
  for (int i = 1; i <= 8; ++i) validations.push_back({{"step", i}, {"nll", {1.0, nll + 1.0 / i}}});
  return {{"gate", {{"exit", {early, 0.0, 1 - early}}, {"expected_nll", nll}, {"mean_exit", 2}}},
          {"nll", {1.0, nll}},
          {"accuracy", {0.1, 0.2, 1 - nll}},
          {"curve", {point}},
          {"validations", validations}};
}

TEST(PriorReport, VerdictsFollowTheNumbers) {
  using Kind = ExitPrior::Kind;
  const std::vector<PriorArm> arms = {{"uniform", "uniform", {Kind::kUniform}},
                                      {"g1", "geometric 0.1", {Kind::kGeometric, 0.1}},
                                      {"g5", "geometric 0.5", {Kind::kGeometric, 0.5}},
                                      {"g9", "geometric 0.9", {Kind::kGeometric, 0.9}}};
  CellResults as_paper, opposite;
  for (int seed = 1; seed <= 3; ++seed) {
    const double noise = 0.001 * seed;
    const std::string end = "-" + std::to_string(seed);
    as_paper["uniform" + end] = result(0.10 + noise, 0.1);
    as_paper["g1" + end] = result(0.20 + noise * 2, 0.2);
    as_paper["g5" + end] = result(0.30 + noise, 0.5);
    as_paper["g9" + end] = result(0.40 + noise, 0.99);
    opposite["uniform" + end] = result(0.50 + noise, 0.9);
    opposite["g1" + end] = result(0.40 + noise, 0.2);
    opposite["g5" + end] = result(0.30 + noise, 0.2);
    opposite["g9" + end] = result(0.20 + noise, 0.2);
  }
  const StudyReport good = prior_report(as_paper, arms, {1, 2, 3}).value();
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(good.claims[i].verdict, Verdict::kReproduced) << good.claims[i].finding;
  }
  const StudyReport bad = prior_report(opposite, arms, {1, 2, 3}).value();
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(bad.claims[i].verdict, Verdict::kNotReproduced) << bad.claims[i].finding;
  }
}

}  // namespace
}  // namespace looplm
