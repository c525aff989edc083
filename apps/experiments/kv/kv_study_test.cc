#include "experiments/kv/kv_study.h"

#include <cmath>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "experiments/core/test_study.h"
#include "experiments/kv/kv_measure.h"

namespace looplm {
namespace {

constexpr const char* kTiny = R"(
resamples = 20
[training]
start = "{root}/models/small"
seeds = [1, 2]
sequences = 1
sequence_length = 64
[[training.phases]]
longest = 2
steps = 2
learning_rate = 1e-4
[sums]
min_lines = 1
max_lines = 2
examples = 4
[texts]
model = "{root}/models/small"
file = "{root}/models/recipe/held-out-glosses.txt"
)";

TEST(KvStudy, RunsAndReports) {
  TempDir directory;
  const auto study = make_kv_study();
  const Json json = run_tiny(*study, kTiny, directory).value();
  EXPECT_EQ(json.at("cells").size(), 2u * 8 + 7);
  const std::string report = report_text(directory);
  EXPECT_THAT(report, testing::HasSubstr("last, prompt too"));
  EXPECT_THAT(report, testing::HasSubstr("4.0 times less"));
  EXPECT_THAT(report, testing::HasSubstr("nll (nats per token)"));
}

TEST(KvStudy, WrongSettingsAreNamed) {
  EXPECT_ERROR_SAYS(configure_text(*make_kv_study(), "resamples = 1"), "phases");
  const std::string good =
      "[training]\nstart = \"m\"\n[[training.phases]]\nlongest = 1\nsteps = 1\n";
  EXPECT_OK(configure_text(*make_kv_study(), good));
  EXPECT_ERROR_SAYS(configure_text(*make_kv_study(), good + "[sums]\nmin_lines = 5\n"), "5..4");
  EXPECT_ERROR_SAYS(configure_text(*make_kv_study(), good + "[texts]\nmodel = \"m\"\n"), "file");
  EXPECT_ERROR_SAYS(configure_text(*make_kv_study(), good + "[sums]\nlines = 5\n"), "lines");
}

// Cells of two models whose work breaks, of every sum, after these shares under each condition.
CellResults broken_after(const std::map<std::string, std::vector<double>>& shares) {
  CellResults results;
  for (const KvCondition& c : kv_conditions()) {
    for (const int seed : {1, 2}) {
      const double share = c.kv == KvPolicy::kFull ? 1 : shares.at(c.id()).at(seed - 1);
      const std::string flags(4, share == 1 ? '1' : '0');
      results[fmt::format("sums-{}-{}", c.id(), seed)] = {
          {"exact", flags},
          {"answer", flags},
          {"before_mistake", std::vector<double>(4, share)},
          {"bytes_per_position", c.kv == KvPolicy::kFull ? 4 : 1},
          {"bytes_per_position_in_pages", 4}};
    }
  }
  return results;
}

TEST(KvReport, ThePromptsShareIsJudgedModelByModel) {
  const auto prompts = [](double last, double first) {
    // The models differ by more than the prompt does.
    return kv_report(broken_after({{"last", {0.2, 0.8}},
                                   {"mean", {0.2, 0.8}},
                                   {"first", {0.2, 0.8}},
                                   {"last-prompt", {0.2 + last, 0.8 + last - 0.001}},
                                   {"mean-prompt", {0.2, 0.8}},
                                   {"first-prompt", {0.2 + first, 0.8 + first - 0.001}}}),
                     {1, 2}, 10)
        .value()
        .claims[3];
  };
  const Claim sooner = prompts(-0.1, -0.1);
  EXPECT_EQ(sooner.verdict, Verdict::kPartly);
  EXPECT_THAT(sooner.finding, testing::HasSubstr("last -10.0 ["));
  EXPECT_EQ(prompts(-0.1, 0.1).verdict, Verdict::kNotReproduced);
  EXPECT_EQ(prompts(0, 0).verdict, Verdict::kNotReproduced);
}

TEST(PairedMean, IsTheDifferenceOfWeightedMeansWithItsSpread) {
  std::vector<double> values, base;
  const std::vector<double> weights(400, 2.0);
  for (int i = 0; i < 400; ++i) {
    values.push_back(i % 4 == 0 ? 2 : 0);
    base.push_back(i % 2 == 0 ? 2 : 0);
  }
  const Estimate alone = paired_mean(values, weights, {}, 500);
  EXPECT_NEAR(alone.value, 0.25, 1e-12);
  // The standard error is sqrt(.25 * .75 / 400) = 0.0217.
  EXPECT_NEAR(alone.high - alone.low, 2 * 1.96 * 0.0217, 0.012);
  const Estimate less = paired_mean(values, weights, base, 500);
  EXPECT_NEAR(less.value, -0.25, 1e-12);
  EXPECT_LT(less.high, -0.19);
  EXPECT_GT(less.low, -0.31);
}

}  // namespace
}  // namespace looplm
