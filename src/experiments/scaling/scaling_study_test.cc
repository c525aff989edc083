#include "experiments/scaling/scaling_study.h"

#include <cmath>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/file.h"
#include "experiments/core/runner.h"
#include "experiments/scaling/scaling_report.h"
#include "experiments/scaling/scaling_settings.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

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

class ScalingStudyTest : public testing::Test {
 protected:
  ScalingSettings settings(const std::string& text = kSettings) {
    const toml::table table = parse_toml(text, "settings").value();
    ScalingSettings result;
    status_ = {};
    TomlReader reader(&table, "", status_);
    read_scaling_settings(reader, result);
    return result;
  }
  Status error(const std::string& from, const std::string& to) {
    std::string text = kSettings;
    text.replace(text.find(from), from.size(), to);
    settings(text);
    return status_;
  }

  Status status_;
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

// Results in which everything is as the paper has it: losses from one step-wise law, exits always
// the same, plain models better by `gap` nats.
CellResults results_of(const ScalingSettings& s, double gap) {
  CellResults results;
  for (const ScalingRun& run : scaling_runs(s)) {
    const double parameters = 100.0 * run.size.hidden * run.size.hidden;
    Json cell;
    cell["parameters"] = parameters * run.layers_times;
    cell["tokens_per_step"] = 1000;
    for (int i = 1; i <= s.points; ++i) {
      const double shared = 2 + 20 / std::sqrt(parameters) + 10 / std::sqrt(1000.0 * i);
      Json v;
      v["step"] = i;
      double total = 0;
      for (int t = 1; t <= run.loops; ++t) {
        const double nll = shared + 0.3 / t - (run.layers_times > 1 ? gap : 0);
        v["nll"].push_back(nll);
        v["exit"].push_back(1.0 / run.loops);
        v["accuracy"].push_back(1 / nll);
        total += nll / run.loops;
      }
      v["loss"] = total;
      cell["validations"].push_back(std::move(v));
    }
    results[run.id()] = std::move(cell);
  }
  return results;
}

// Three sizes, three depths and more places along the runs.
std::string larger_settings() {
  std::string text = kSettings;
  const std::string sizes = "[[sizes]]\nhidden = 32\nlayers = 1\nheads = 1\nintermediate = 16\n";
  text.insert(text.find("[[sizes]]"), sizes);
  text.replace(text.find("loops = [1, 2]"), 14, "loops = [1, 2, 4]");
  text.replace(text.find("dense = [2]"), 11, "dense = [2, 4]");
  text.replace(text.find("points = 4"), 10, "points = 8");
  const std::string fit = "starts = 3\nkept_tokens = 0.75";
  text.replace(text.find(fit), fit.size(), "starts = 10\nkept_tokens = 0.5");
  return text;
}

TEST_F(ScalingStudyTest, VerdictsFollowTheResults) {
  const ScalingSettings s = settings(larger_settings());
  ASSERT_OK(status_);
  Result<StudyReport> report = scaling_report(s, results_of(s, 0.35));
  ASSERT_OK(report);
  ASSERT_EQ(report->claims.size(), 6u);
  EXPECT_EQ(report->claims[0].verdict, Verdict::kReproduced) << report->claims[0].finding;
  EXPECT_EQ(report->claims[1].verdict, Verdict::kReproduced) << report->claims[1].finding;
  EXPECT_EQ(report->claims[2].verdict, Verdict::kReproduced) << report->claims[2].finding;
  EXPECT_THAT(report->claims[2].finding, HasSubstr("from loop 1 to 4 is 0.2"));
  EXPECT_EQ(report->claims[3].verdict, Verdict::kReproduced) << report->claims[3].finding;
  EXPECT_THAT(report->claims[3].finding, HasSubstr("{0.250, 0.250, 0.250, 0.250}"));
  EXPECT_THAT(report->claims[4].finding, HasSubstr("wins 6 of 6"));
  EXPECT_EQ(report->claims[5].verdict, Verdict::kReproduced) << report->claims[5].finding;

  // Plain models that are worse than looped ones.
  Result<StudyReport> against = scaling_report(s, results_of(s, -0.5));
  ASSERT_OK(against);
  EXPECT_EQ(against->claims[4].verdict, Verdict::kNotReproduced);
  CellResults missing = results_of(s, 0);
  missing.erase("dense.hidden=16.layers=4.seed=1");
  EXPECT_ERROR_SAYS(scaling_report(s, missing), "no result of cell dense.hidden=16.layers=4");
}

TEST_F(ScalingStudyTest, RunsFromSettingsToReport) {
  const TempDir dir;
  ASSERT_OK(write_text_file(dir.file("settings.toml"), kSettings));
  std::string text;
  for (int i = 0; i < 400; ++i) text += fmt::format("the number {} and then {}\n", i, i + 1);
  StudyRunOptions options;
  options.settings_file = dir.file("settings.toml");
  options.out = dir.file("out");
  options.root = dir.path();
  options.threads = 1;
  const std::unique_ptr<Study> study = make_scaling_study();
  EXPECT_ERROR_SAYS(run_study(*study, options), "data", "text.txt", "models/recipe/glosses");
  ASSERT_OK(write_text_file(dir.file("text.txt"), text));
  ASSERT_OK(run_study(*study, options));
  const Json results = read_json_file(dir.file("out/results.json")).value();
  const Json& cell = results.at("cells").at("hidden=16.layers=1.loops=2.seed=1");
  ASSERT_EQ(cell.at("validations").size(), 4u);
  const Json& end = cell.at("validations").back();
  EXPECT_EQ(end.at("step"), 8);
  const auto exit = end.at("exit").get<std::vector<double>>();
  EXPECT_NEAR(exit.at(0) + exit.at(1), 1, 1e-5);
  EXPECT_GT(results.at("cells").at("data").at("held_out_tokens").get<int64_t>(), 100);
  EXPECT_THAT(read_text_file(dir.file("out/report.md")).value(), HasSubstr("step-wise, 2 loops"));
}

}  // namespace
}  // namespace looplm
