#include <gmock/gmock.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

TEST(DepthStudy, RunsOnTheBundledModel) {
  TempDir directory;
  const auto study = make_depth_study();
  const Json json = run_tiny(*study,
                             "model = \"{root}/models/small\"\nloops = 5\nsums = 60\n"
                             "texts = \"{root}/models/recipe/held-out-glosses.txt\"\n"
                             "resamples = 50\n",
                             directory)
                        .value();
  const std::string report = report_text(directory);
  EXPECT_THAT(report, testing::HasSubstr("as trained"));
  EXPECT_THAT(report, testing::HasSubstr("Prose"));
  EXPECT_TRUE(file_exists(directory.file("out") + "/accuracy.png"));
  // As the README has it: a loop more is right more often, up to nearly always.
  const Json& accuracy = json.at("cells").at("sums").at("accuracy");
  EXPECT_GT(accuracy.at(3).at(0), 0.9);
  EXPECT_GT(accuracy.at(1).at(0), accuracy.at(0).at(0));
}

// What a cell measured: accuracies after loops 1 to 4, give or take a point.
Json measured(const std::vector<double>& accuracy) {
  Json cell = {{"examples", 100}, {"tokens", 100}, {"trained_loops", 4}, {"guess", 0.2}};
  for (const double a : accuracy) {
    cell["accuracy"].push_back({a, a - 0.01, a + 0.01});
    cell["nll"].push_back({1, 1, 1});
  }
  cell["by_operations"] = Json::array();
  return cell;
}

TEST(DepthStudy, QualityRisesOnlyWhereProseDoesToo) {
  const auto study = make_depth_study();
  ASSERT_OK(configure_text(*study, "model = \"m\""));
  const auto rises = [&](const CellResults& results) {
    return study->report(results).value().claims[0];
  };
  const Json sums = measured({0.2, 0.5, 0.8, 0.9});
  EXPECT_EQ(rises({{"sums", sums}}).verdict, Verdict::kReproduced);
  EXPECT_EQ(rises({{"sums", sums}, {"prose", measured({0.2, 0.25, 0.3, 0.35})}}).verdict,
            Verdict::kReproduced);
  const Claim falls = rises({{"sums", sums}, {"prose", measured({0.2, 0.25, 0.22, 0.21})}});
  EXPECT_EQ(falls.verdict, Verdict::kPartly);
  EXPECT_THAT(falls.finding, testing::HasSubstr("prose: 20.0, 25.0, 22.0, 21.0%"));
  EXPECT_EQ(rises({{"sums", measured({0.5, 0.4, 0.8, 0.9})}}).verdict, Verdict::kNotReproduced);
}

TEST(DepthStudy, WrongSettingsAreNamed) {
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "loops = 4"), "model");
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "model = \"m\"\nloops = 1"), "loops",
                    "2 to 64");
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "model = \"m\"\ndepth = 1"), "depth");
}

}  // namespace
}  // namespace looplm
