#include "experiments/faithfulness/faithfulness_study.h"

#include <gmock/gmock.h>

#include "experiments/core/estimates.h"
#include "experiments/core/test_study.h"

namespace looplm {
namespace {

using testing::HasSubstr;

std::vector<std::vector<double>> agreement(double two_three, double two_four, double after) {
  std::vector<std::vector<double>> a(6, std::vector<double>(6, after));
  for (size_t i = 0; i < 6; ++i) a[i][i] = 1;
  a[1][2] = a[2][1] = two_three;
  a[1][3] = a[3][1] = two_four;
  return a;
}

// A model of one layer and four loops that was run with six.
FaithfulnessResults results() {
  FaithfulnessResults r;
  r.task = "made up";
  r.label = "yes";
  r.items = 100;
  r.trained_loops = 4;
  r.layers = 2;
  r.accuracy.assign(6, 0.9);
  r.label_share.assign(6, 0.5);
  r.label_agreement = agreement(0.6, 0.5, 0.99);
  r.answer_agreement = r.label_agreement;
  r.probes = {{2, {0.6, 0.7, 0.65, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8}}};
  r.mediation.loops = 4;
  r.mediation.layers = 2;
  for (SwappedPositions positions : {SwappedPositions::kAnswer, SwappedPositions::kOthers}) {
    for (int64_t loop = 1; loop <= 4; ++loop) {
      for (int64_t layer = 1; layer <= 2; ++layer) {
        const int follows =
            positions == SwappedPositions::kAnswer ? static_cast<int>(25 * loop) : 0;
        r.mediation.rows.push_back({positions, loop, layer, std::vector<int>(4, 100),
                                    std::vector<int>(4, follows),
                                    std::vector<int>(4, 100 - follows)});
      }
    }
  }
  return r;
}

TEST(FaithfulnessReport, VerdictsFollowTheNumbers) {
  FaithfulnessResults r = results();
  std::vector<Claim> claims = faithfulness_report({r}).claims;
  ASSERT_EQ(claims.size(), 3u);
  for (const Claim& claim : claims) EXPECT_EQ(claim.verdict, Verdict::kReproduced) << claim.claim;
  EXPECT_THAT(claims[0].finding, HasSubstr("A[2,3] = 60.0%, A[2,4] = 50.0%"));
  EXPECT_THAT(claims[1].finding,
              HasSubstr("0.700 at the end of loop 1, 0.650 a layer later, 0.900"));
  EXPECT_THAT(claims[2].finding, HasSubstr("loop 1: 25.0% (answer position), 0.0% (before it)"));

  r.label_agreement = agreement(0.99, 0.99, 0.99);
  r.probes[0].auc[2] = 0.75;
  for (MediationRow& row : r.mediation.rows) row.follows.assign(4, 0);
  claims = faithfulness_report({r}).claims;
  for (const Claim& claim : claims) EXPECT_EQ(claim.verdict, Verdict::kPartly) << claim.claim;

  r.label_agreement = agreement(0.99, 0.99, 0.5);
  r.probes[0].auc[3] = 0.7;
  for (MediationRow& row : r.mediation.rows) row.follows.assign(4, 100);
  claims = faithfulness_report({r}).claims;
  EXPECT_EQ(claims[0].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(claims[1].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(claims[2].verdict, Verdict::kPartly);  // coupled, but fixed from the first loop on
}

TEST(FaithfulnessReport, ResultsSurviveTheirJson) {
  FaithfulnessResults r = results();
  r.probes.push_back({3, std::vector<double>(12, std::nan(""))});
  const FaithfulnessResults again = nulls_as_nan(Json::parse(Json(r).dump()));
  EXPECT_EQ(Json(again).dump(), Json(r).dump());
  const Mediation mediation = Json::parse(Json(r.mediation).dump());
  EXPECT_EQ(Json(mediation).dump(), Json(r.mediation).dump());
  EXPECT_TRUE(std::isnan(again.probes[1].auc[0]));
}

TEST(FaithfulnessStudy, RunsFromStartToReport) {
  const TempDir dir;
  const Json results =
      run_shipped(*make_faithfulness_study(), dir,
                  {"arithmetic.examples=40", "interventions.pairs=6", "probe.targets=[2, 3]",
                   "loops=5", "pairs.limit=8", "probe.folds=2"})
          .value();
  EXPECT_EQ(results.at("claims").size(), 3u);
  const Json& seen = results.at("cells").at("arithmetic-observation");
  EXPECT_EQ(seen.at("items"), 40);
  EXPECT_EQ(seen.at("label_agreement").size(), 5u);
  EXPECT_EQ(seen.at("probes").at(1).at("auc").size(), 10u);
  EXPECT_EQ(results.at("cells").at("pairs-observation").at("items"), 8);
  const std::string report = report_text(dir);
  for (const char* says : {"agreement-arithmetic.png", "probes-arithmetic.png",
                           "interventions-arithmetic.png", "agreement-pairs.png"}) {
    EXPECT_THAT(report, HasSubstr(says));
  }
}

TEST(FaithfulnessStudy, SettingsAreChecked) {
  const auto configure = [](const std::string& text) {
    return configure_text(*make_faithfulness_study(), text);
  };
  const std::string base = "model = \"m\"\ntasks = [\"arithmetic\"]\n";
  ASSERT_OK(configure(base));
  EXPECT_ERROR_SAYS(configure("tasks = [\"arithmetic\"]\n"), "model");
  EXPECT_ERROR_SAYS(configure("model = \"m\"\n"), "tasks");
  EXPECT_ERROR_SAYS(configure("model = \"m\"\ntasks = [\"sums\"]\n"), "'sums'");
  EXPECT_ERROR_SAYS(configure("model = \"m\"\ntasks = [\"pairs\"]\n"), "pairs.file");
  EXPECT_ERROR_SAYS(configure("weights = \"int3\"\n" + base), "'int3'");
  EXPECT_ERROR_SAYS(configure(base + "[probe]\ntargets = [9]\n"), "loop 9", "8 loops");
  EXPECT_ERROR_SAYS(configure(base + "[probe]\nfold = 9\n"), "probe.fold");
}

}  // namespace
}  // namespace looplm
