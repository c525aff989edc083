#include "experiments/mano/mano_study.h"

#include <gmock/gmock.h>

#include "experiments/core/test_study.h"

namespace looplm {
namespace {

using testing::HasSubstr;

// The run of a shape whose accuracy at the end is as given, on two lengths.
ManoRun run_of(LoopedShape shape, uint64_t seed, double shorter, double longer,
               double learning_rate = 1e-3) {
  ManoRun run;
  run.max_length = 2;
  run.shape = shape;
  run.learning_rate = learning_rate;
  run.seed = seed;
  run.parameters = 100 * shape.layers;
  run.steps = {10, 20};
  run.accuracy_by_length = {{0.3, 0.2}, {shorter, longer}};
  run.loop_accuracy.assign(static_cast<size_t>(shape.loops), longer);
  return run;
}

// `more` is what the second seed gains beyond the first.
std::vector<ManoRun> grid(double looped_gain, double more = 0) {
  return {run_of({2, 1}, 1, 0.9, 0.49),
          run_of({2, 1}, 2, 0.9, 0.55),
          run_of({1, 1}, 1, 0.6, 0.30),
          run_of({1, 1}, 2, 0.6, 0.34),
          run_of({1, 2}, 1, 0.9, 0.49 + looped_gain),
          run_of({1, 2}, 2, 0.9, 0.55 + looped_gain + more)};
}

StudyReport report_of(const std::vector<ManoRun>& runs) {
  return mano_report(mano_tables(runs), "as described", {{2, 0.25}});
}

TEST(ManoResults, RoundsOfValidationsBecomeCurvesByLength) {
  std::vector<ValidationReport> reports;
  for (int64_t step : {10, 20}) {
    for (int64_t set = 0; set < 3; ++set) {
      ValidationReport r;
      r.step = step;
      r.set = set;
      r.accuracy = {0.0, 0.01 * static_cast<double>(step + set)};
      reports.push_back(r);
    }
  }
  const ManoRun run = mano_run(3, {1, 2}, 1e-3, 4, 55, reports);
  EXPECT_EQ(run.steps, (std::vector<int64_t>{10, 20}));
  EXPECT_EQ(run.accuracy_by_length[1], (std::vector<double>{0.20, 0.21, 0.22}));
  EXPECT_EQ(run.accuracy_at(3), 0.22);
  EXPECT_EQ(run.loop_accuracy, (std::vector<double>{0.0, 0.22}));
  const ManoRun again = result_of<ManoRun>(Json::parse(Json(run).dump())).value();
  EXPECT_EQ(again.accuracy_by_length, run.accuracy_by_length);
  EXPECT_EQ(again.steps, run.steps);
  EXPECT_EQ(again.shape, run.shape);
  EXPECT_EQ(again.parameters, 55);
  EXPECT_EQ(again.seed, 4u);
  reports.erase(reports.begin() + 1);
  EXPECT_ANY_THROW(mano_run(3, {1, 2}, 1e-3, 4, 55, reports));
  EXPECT_ERROR_SAYS(result_of<ManoRun>(Json::object()), "max_length");
}

TEST(ManoResults, TablesGroupSeedsAndTakeTheBestLearningRate) {
  std::vector<ManoRun> runs = grid(0.1);
  runs.push_back(run_of({1, 1}, 1, 0.6, 0.40, 5e-3));
  const std::vector<ManoTable> tables = mano_tables(runs);
  ASSERT_EQ(tables.size(), 1u);
  ASSERT_EQ(tables[0].groups.size(), 3u);
  EXPECT_EQ(tables[0].groups[0].front().shape.name(), "1x1");
  EXPECT_EQ(tables[0].groups[0].front().learning_rate, 5e-3);
  EXPECT_EQ(tables[0].groups[1].front().shape.name(), "1x2");
  EXPECT_EQ(tables[0].groups[2].front().shape.name(), "2x1");
  EXPECT_DOUBLE_EQ(final_accuracy(tables[0].groups[2]).mean, 0.52);
  EXPECT_EQ(tables[0].find({3, 1}), nullptr);
}

TEST(ManoResults, ComparesWithEqualParametersAndEqualArithmetic) {
  const std::vector<ManoTable> tables = mano_tables(grid(0.1));
  const auto parameters = compare_parameters(tables[0]);
  ASSERT_EQ(parameters.size(), 1u);
  EXPECT_EQ(parameters[0].plain.name(), "1x1");
  EXPECT_NEAR(parameters[0].gain().value, 0.30, 1e-12);
  EXPECT_TRUE(is_ahead(parameters[0].looped_accuracy, parameters[0].plain_accuracy));
  const auto arithmetic = compare_arithmetic(tables[0]);
  ASSERT_EQ(arithmetic.size(), 1u);
  EXPECT_EQ(arithmetic[0].plain.name(), "2x1");
  EXPECT_NEAR(arithmetic[0].gain().value, 0.10, 1e-12);
}

TEST(ManoResults, VerdictsFollowTheNumbers) {
  EXPECT_EQ(report_of(grid(0.1)).claims[0].verdict, Verdict::kReproduced);
  EXPECT_EQ(report_of(grid(0.1)).claims[1].verdict, Verdict::kReproduced);
  EXPECT_EQ(report_of(grid(0.1)).claims[2].verdict, Verdict::kReproduced);
  // Both seeds gain, but so differently that the interval over them holds 0.
  EXPECT_EQ(report_of(grid(0.02, 0.1)).claims[1].verdict, Verdict::kNotReproduced);
  // One of two looped models gains for certain.
  std::vector<ManoRun> two = grid(0.1);
  two.push_back(run_of({2, 2}, 1, 0.9, 0.60));
  two.push_back(run_of({2, 2}, 2, 0.9, 0.80));
  two.push_back(run_of({4, 1}, 1, 0.9, 0.59));
  two.push_back(run_of({4, 1}, 2, 0.9, 0.60));
  EXPECT_EQ(report_of(two).claims[1].verdict, Verdict::kPartly);
  EXPECT_EQ(report_of(grid(-0.1)).claims[1].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(report_of(grid(-0.1)).claims[2].verdict, Verdict::kNotReproduced);
  EXPECT_EQ(report_of({run_of({1, 1}, 1, 1, 1)}).claims[0].verdict, Verdict::kNotTested);
  EXPECT_THAT(report_of(grid(0.1)).claims[1].finding,
              HasSubstr("62.0% [59.0, 65.0] against 2x1 52.0% [49.0, 55.0]: +10.0 [+10.0, +10.0]"));
}

Status configured(const std::string& settings) {
  return configure_text(*make_mano_study(), settings);
}
std::string with(const std::string& task, const std::string& training = "",
                 const std::string& shapes = "[\"1x2\"]") {
  return "[task]\n" + task + "\n[model]\nshapes = " + shapes + "\n[training]\n" + training + "\n";
}

TEST(ManoStudy, SettingsAreChecked) {
  EXPECT_OK(configured(with("modulus = 7")));
  EXPECT_ERROR_SAYS(configured(with("modulus = 8")), "modulus 8");
  EXPECT_ERROR_SAYS(configured(with("color = 8")), "task.color");
  EXPECT_ERROR_SAYS(configured(with("learn = \"some\"")), "task.learn", "some");
  EXPECT_ERROR_SAYS(configured(with("lengths = [3, 4]")), "training.steps");
  EXPECT_ERROR_SAYS(configured(with("lengths = [3, 3]", "steps = [1, 2]")), "3 twice");
  EXPECT_ERROR_SAYS(configured(with("lengths = 200")), "sequence_length", "405");
  EXPECT_ERROR_SAYS(configured(with("", "seeds = [0]")), "training.seeds");
  EXPECT_ERROR_SAYS(configured(with("", "learning_rates = [1e-3, 1e-3]")), "learning_rates");
  EXPECT_ERROR_SAYS(configured(with("", "", "[\"2\"]")), "model.shapes");
}

TEST(ManoStudy, ATinyStudyRunsToItsReportAndIsTheSameAgain) {
  const char* const tiny = R"(
[task]
modulus = 5
lengths = [1, 2]
[model]
shapes = ["1x1", "1x2", "2x1"]
hidden_size = 16
heads = 2
intermediate_size = 24
norm_placement = "pre"
[training]
steps = [6, 6]
seeds = [1, 2]
learning_rates = [1e-2]
sequence_length = 32
sequences = 2
validations = 3
[evaluation]
longest_examples = 40
other_examples = 10
)";
  const TempDir directory, again;
  const Json results = run_tiny(*make_mano_study(), tiny, directory, 2).value();
  EXPECT_EQ(results.at("cells").size(), 12u);
  const Json& cell = results.at("cells").at("L2-1x2-s1");
  EXPECT_EQ(cell.at("steps"), Json({2, 4, 6}));
  EXPECT_EQ(cell.at("loop_accuracy").size(), 2u);
  EXPECT_EQ(results.at("claims").size(), 3u);
  EXPECT_THAT(report_text(directory), HasSubstr("looped 1x2"));
  EXPECT_TRUE(file_exists(directory.file("out/curves-2.png")));
  const Json other = run_tiny(*make_mano_study(), tiny, again).value();
  EXPECT_EQ(other.at("cells").at("L2-1x2-s1").at("accuracy_by_length"),
            cell.at("accuracy_by_length"));
}

}  // namespace
}  // namespace looplm
