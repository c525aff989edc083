#include "experiments/capo/capo_study.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>

#include "experiments/capo/biography.h"
#include "experiments/capo/knowledge.h"
#include "experiments/core/test_study.h"

namespace looplm {
namespace {

using testing::HasSubstr;

constexpr const char* kSettings = R"(
people = [10, 20]
loops = [1, 2]
exposures = 60
curve_points = 2
[[sizes]]
hidden = 16
layers = 1
heads = 2
intermediate = 32
[[sizes]]
hidden = 24
layers = 1
heads = 2
intermediate = 48
[training]
sequence_length = 128
sequences = 4
learning_rate = 1e-2
warmup = 5
)";

class CapoStudyTest : public SettingsTest<CapoSettings> {
 protected:
  CapoStudyTest() : SettingsTest(kSettings, read_capo_settings) {}
};

TEST_F(CapoStudyTest, SettingsAreChecked) {
  settings();
  ASSERT_OK(status_);
  EXPECT_ERROR_SAYS(error("people = [10, 20]", "people = [10, 0]"), "people[1] is 0");
  EXPECT_ERROR_SAYS(error("exposures", "exposure"), "exposure is not a known key");
  EXPECT_ERROR_SAYS(error("heads = 2", "heads = 3"), "sizes[0].heads is 3", "16");
  EXPECT_ERROR_SAYS(error("layers = 1\n", ""), "sizes[0].layers is missing");
  EXPECT_ERROR_SAYS(error("warmup", "warm_up"), "training.warm_up");
}

TEST_F(CapoStudyTest, StepsShowEverybodyOftenEnough) {
  const CapoSettings s = settings();
  const int64_t steps = capo_steps(s, 20);
  // 60 biographies of 20 people, of about 60 tokens each: two to a row of 128.
  EXPECT_NEAR(static_cast<double>(steps * s.run.batch.sequences), 60 * 20 / 2.0, 60);
  CapoSettings twice = s;
  twice.exposures = 120;
  EXPECT_NEAR(static_cast<double>(capo_steps(twice, 20)), 2.0 * static_cast<double>(steps), 2);
}

TEST_F(CapoStudyTest, RunsAreEveryCombinationWithNamesOfTheirOwn) {
  const CapoSettings s = settings();
  std::set<std::string> ids;
  double last = 0;
  for (const CapoRun& run : capo_runs(s)) {
    ids.insert(run.id());
    EXPECT_GE(run.cost(s), last);
    last = run.cost(s);
  }
  EXPECT_EQ(ids.size(), 8u);
}

TEST_F(CapoStudyTest, ASizeMayNameItsOwnPeople) {
  std::string text = kSettings;
  text.replace(text.find("hidden = 24"), 11, "people = 20\nhidden = 24");
  const CapoSettings s = settings(text);
  ASSERT_OK(status_);
  EXPECT_EQ(capo_runs(s).size(), 6u);
  CellResults results;
  for (const CapoRun& run : capo_runs(s)) {
    EXPECT_TRUE(run.size.hidden == 16 || run.people == 20);
    results[run.id()] = {{"parameters", 1000}, {"knowable_bits", 5000}, {"known_bits", 1000},
                         {"name_nats", 1},     {"attribute_nats", 2},   {"curve", Json::array()}};
  }
  Result<StudyReport> report = capo_report(s, results);
  ASSERT_OK(report);
  EXPECT_THAT(report->claims[0].finding, HasSubstr("3 pairs"));
}

// Results of models that hold `bits` bits per parameter, looped ones `ratio` times as many.
CellResults results_of(const CapoSettings& s, double bits, double ratio) {
  CellResults results;
  for (const CapoRun& run : capo_runs(s)) {
    const double parameters = run.size.hidden == 16 ? 200 : 1e6;
    const double knowable = knowable_bits(run.people);
    const double held = bits * parameters * (run.loops == 1 ? 1 : ratio);
    Json cell;
    cell["parameters"] = static_cast<int64_t>(parameters);
    cell["knowable_bits"] = knowable;
    cell["known_bits"] = std::min(held, knowable);
    cell["name_nats"] = 1;
    cell["attribute_nats"] = 2;
    cell["curve"] = Json::array({{{"exposures", 30}, {"known_bits", 3.0}}});
    results[run.id()] = std::move(cell);
  }
  return results;
}

TEST_F(CapoStudyTest, VerdictsFollowTheResults) {
  const CapoSettings s = settings();
  Result<StudyReport> equal = capo_report(s, results_of(s, 2, 1.02));
  ASSERT_OK(equal);
  ASSERT_EQ(equal->claims.size(), 3u);
  EXPECT_EQ(equal->claims[0].verdict, Verdict::kReproduced);
  // The larger size knows everything with both, and does not count.
  EXPECT_THAT(equal->claims[0].finding,
              HasSubstr("1.02 [1.02, 1.02] on average (1.02 to 1.02 in 2 pairs)"));
  EXPECT_EQ(equal->claims[1].verdict, Verdict::kReproduced);
  EXPECT_THAT(equal->claims[1].finding, HasSubstr("2.04 bits per parameter"));
  EXPECT_EQ(equal->claims[2].verdict, Verdict::kReproduced);

  Result<StudyReport> more = capo_report(s, results_of(s, 0.5, 2));
  ASSERT_OK(more);
  EXPECT_EQ(more->claims[0].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(more->claims[1].verdict, Verdict::kNotReproduced);
  CellResults missing = results_of(s, 1, 1);
  missing.erase(missing.begin());
  EXPECT_ERROR_SAYS(capo_report(s, missing), "no result of cell people=10");
}

TEST_F(CapoStudyTest, RunsFromSettingsToReport) {
  const TempDir dir;
  const Json results = run_tiny(*make_capo_study(), kSettings, dir, 1, dir.path(),
                                {"people=10", "exposures=120", "training.sequences=1",
                                 "sizes=[{hidden=16,layers=1,heads=2,intermediate=32}]"})
                           .value();
  const Json& cell = results.at("cells").at("people=10.hidden=16.layers=1.loops=2.seed=1");
  // Ten people are soon told apart.
  const double left = cell.at("name_nats").get<double>();
  EXPECT_LT(left, std::log(kPossibleNames) / 2);
  EXPECT_GE(left, std::log(10.0) - 0.01);
  EXPECT_GT(cell.at("known_bits").get<double>(), 0.3 * cell.at("knowable_bits").get<double>());
  EXPECT_LE(cell.at("known_bits").get<double>(), cell.at("knowable_bits").get<double>());
  // The learning curve ends at what is measured in the end.
  const double end = cell.at("curve").back().at("known_bits").get<double>();
  EXPECT_NEAR(end / cell.at("known_bits").get<double>(), 1, 1e-3);
  EXPECT_THAT(report_text(dir), HasSubstr("bits per parameter"));
  EXPECT_TRUE(file_exists(dir.file("out/bits-over-parameters.png")));
}

}  // namespace
}  // namespace looplm
