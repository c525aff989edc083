#include "experiments/depth/depth_study.h"

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

TEST(DepthStudy, WrongSettingsAreNamed) {
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "loops = 4"), "model");
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "model = \"m\"\nloops = 1"), "loops",
                    "2 to 64");
  EXPECT_ERROR_SAYS(configure_text(*make_depth_study(), "model = \"m\"\ndepth = 1"), "depth");
}

}  // namespace
}  // namespace looplm
