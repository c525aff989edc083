#include "experiments/core/runner.h"

#include <mutex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "experiments/core/training.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;

// Squares of 1 .. n, then their sum. A cell may be told to fail or to ask for a stop.
class SquaresStudy : public Study {
 public:
  std::string name() const override { return "squares"; }
  std::string question() const override { return "What do squares sum to?"; }
  Status configure(TomlReader& settings) override {
    settings.read("n", n_, 1, 100);
    settings.read("folder", folder_);
    return n_ == 13 ? invalid_argument("n is 13; expected a luckier number") : Status();
  }
  std::vector<Cell> cells() const override {
    std::vector<Cell> cells;
    std::vector<std::string> needs;
    for (int64_t i = 1; i <= n_; ++i) {
      Cell cell;
      cell.id = "square-" + std::to_string(i);
      cell.run = [this, i](const CellContext& context) -> Result<OrderedJson> {
        {
          const std::lock_guard lock(mutex_);
          ran.insert(i);
        }
        if (i == fail_at) return invalid_argument("told to fail");
        if (i == stop_at) stop.store(true);
        if (context.stopped()) return Status(StatusCode::kCancelled, "stopped");
        context.progress(0.5, "half");
        OrderedJson json;
        json["square"] = i * i;
        return json;
      };
      needs.push_back(cell.id);
      cells.push_back(std::move(cell));
    }
    Cell sum;
    sum.id = "sum";
    sum.needs = needs;
    sum.run = [](const CellContext& context) -> Result<OrderedJson> {
      int64_t total = 0;
      for (const auto& [id, result] : context.needed) total += result.at("square").get<int64_t>();
      OrderedJson json;
      json["sum"] = total;
      return json;
    };
    cells.push_back(std::move(sum));
    return cells;
  }
  Result<StudyReport> report(const CellResults& results) const override {
    StudyReport report;
    const auto sum = results.at("sum").at("sum").get<int64_t>();
    report.claims.push_back(
        {"they sum", Verdict::kReproduced, std::to_string(sum) + " from " + folder_});
    report.document.title = "Squares";
    return report;
  }

  int64_t fail_at = 0;
  int64_t stop_at = 0;
  mutable std::set<int64_t> ran;
  mutable std::atomic<bool> stop{false};

 private:
  int64_t n_ = 3;
  std::string folder_;
  mutable std::mutex mutex_;
};

class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(write_text_file(dir_.file("s.toml"), "n = 4\nfolder = \"{study}/x\"\n"));
    options_.settings_file = dir_.file("s.toml");
    options_.out = dir_.file("out");
    options_.root = "/root/of/it";
    options_.jobs = 2;
    options_.threads = 2;
  }
  Status run(SquaresStudy& study) {
    options_.stop = &study.stop;
    return run_study(study, options_);
  }
  Json results() const { return read_json_file(dir_.file("out/results.json")).value(); }

  const TempDir dir_;
  StudyRunOptions options_;
};

TEST_F(RunnerTest, RunsCellsAfterWhatTheyNeedAndReports) {
  SquaresStudy study;
  double share = 0;
  options_.progress = [&](const StudyProgress& p) { share = p.share; };
  ASSERT_OK(run(study));
  EXPECT_EQ(share, 1);
  EXPECT_EQ(results().at("cells").at("sum").at("sum"), 30);
  EXPECT_EQ(results().at("claims").at(0).at("finding"), "30 from /root/of/it/studies/squares/x");
  EXPECT_THAT(read_text_file(dir_.file("out/report.html")).value(), HasSubstr("Squares"));
  // The same again finds everything done.
  SquaresStudy again;
  ASSERT_OK(run(again));
  EXPECT_TRUE(again.ran.empty());
  ASSERT_OK(report_study(again, options_.out, options_.root));
  // results.json alone is enough.
  const std::string kept = read_text_file(dir_.file("out/results.json")).value();
  ASSERT_OK(make_directories(dir_.file("kept")));
  ASSERT_OK(write_text_file(dir_.file("kept/results.json"), kept));
  ASSERT_OK(report_study(again, dir_.file("kept"), options_.root));
  EXPECT_EQ(read_text_file(dir_.file("kept/results.json")).value(), kept);
  EXPECT_TRUE(file_exists(dir_.file("kept/report.html")));
}

TEST_F(RunnerTest, WithoutTheProjectsFolderOnlySettingsThatNameItFail) {
  SquaresStudy study;
  options_.root.clear();
  EXPECT_ERROR_SAYS(run(study), "s.toml", "'{study}/x'", "was not found");
  options_.overrides = {"folder=\"/somewhere\""};
  ASSERT_OK(run(study));
  EXPECT_EQ(results().at("claims").at(0).at("finding"), "30 from /somewhere");
}

TEST_F(RunnerTest, AStoppedRunGoesOnWhereItWas) {
  options_.jobs = 1;
  SquaresStudy study;
  study.stop_at = 3;
  EXPECT_EQ(run(study).code(), StatusCode::kCancelled);
  EXPECT_ERROR_SAYS(report_study(study, options_.out, options_.root), "square-3", "sum");
  SquaresStudy again;
  ASSERT_OK(run(again));
  EXPECT_EQ(again.ran, (std::set<int64_t>{3, 4}));
  EXPECT_EQ(results().at("cells").at("sum").at("sum"), 30);
}

TEST_F(RunnerTest, ACellThatFailsEndsTheRunAndNamesItself) {
  SquaresStudy study;
  study.fail_at = 2;
  EXPECT_ERROR_SAYS(run(study), "square-2", "told to fail");
  EXPECT_FALSE(file_exists(dir_.file("out/results.json")));
}

TEST_F(RunnerTest, OtherSettingsDoNotMixIntoARun) {
  SquaresStudy study;
  ASSERT_OK(run(study));
  options_.overrides = {"n=5"};
  SquaresStudy other;
  EXPECT_ERROR_SAYS(run(other), "other settings", "n = 4");
}

TEST_F(RunnerTest, SettingsAreChecked) {
  SquaresStudy study;
  options_.overrides = {"n=0"};
  EXPECT_ERROR_SAYS(run(study), "n is 0");
  options_.overrides = {"m=1"};
  EXPECT_ERROR_SAYS(run(study), "m");
  options_.overrides = {"n=13"};
  EXPECT_ERROR_SAYS(run(study), "luckier");
  options_.settings_file = dir_.file("none.toml");
  EXPECT_ERROR_SAYS(run(study), "none.toml");
  EXPECT_ERROR_SAYS(report_study(study, dir_.file("nowhere"), ""), "nowhere");
}

// A training in a cell that is stopped goes on to the bits of one that was not.
TEST(TrainInCell, ResumesToTheSameModel) {
  class Successors : public DocumentStream {
   public:
    int64_t vocab_size() const override { return 16; }
    uint64_t hash() const override { return 1; }
    void document(uint64_t index, std::vector<int32_t>& ids,
                  std::vector<bool>& learnt) const override {
      ids.clear();
      for (uint64_t i = 0; i < 6; ++i) ids.push_back(static_cast<int32_t>((index * 5 + i) % 16));
      learnt.assign(ids.size(), true);
    }
  };
  const TempDir dir;
  CellTraining training;
  training.run = study_run(ObjectiveKind::kStageOne);
  ModelConfig& model = training.run.model.config;
  model.vocab_size = model.hidden_size = 16;
  model.layers = 1;
  model.heads = model.loops = 2;
  model.intermediate_size = 24;
  training.run.data.sequence_length = 16;
  training.run.batch.sequences = 2;
  training.run.run.steps = 30;
  training.run.run.log_every = 1;
  training.run.run.checkpoint_every = 10;
  training.streams = {std::make_shared<Successors>()};
  CellContext whole;
  whole.directory = dir.file("whole");
  const Result<TrainedModel> expected = train_in_cell(whole, training);
  ASSERT_OK(expected);

  std::atomic<bool> stop{false};
  CellContext cut;
  cut.directory = dir.file("cut");
  cut.stop = &stop;
  cut.progress = [&](double share, const std::string&) { stop = share > 0.5; };
  EXPECT_EQ(train_in_cell(cut, training).status().code(), StatusCode::kCancelled);
  stop = false;
  cut.progress = {};
  Result<TrainedModel> resumed = train_in_cell(cut, training);
  ASSERT_OK(resumed);
  const auto weights = [](const std::string& directory) {
    return read_text_file(directory + "/model.safetensors").value();
  };
  EXPECT_EQ(weights(dir.file("cut/run/model")), weights(dir.file("whole/run/model")));
  EXPECT_GT(resumed->parameters, 0);
  EXPECT_FALSE(is_directory(dir.file("cut/run/checkpoints")));
  // A finished run is only read.
  ASSERT_OK(train_in_cell(cut, training));
}

}  // namespace
}  // namespace looplm
