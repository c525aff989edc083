#include "eval/tune_depth.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "infer/test_model.h"

namespace looplm {
namespace {

using testing::HasSubstr;

// From the project's folder, where tests run.
constexpr const char* kSmall = "models/small";
constexpr const char* kSums = "tasks/sums.yaml";

TEST(TuneDepth, TheBundledModelSavesAQuarterForHalfAPointOnQuestionsItHasNotSeen) {
  const std::unique_ptr<Model> model = Model::load(kSmall, {.threads = 2}).value();
  const Task task = read_task(kSums).value();
  TuneOptions options;
  options.resampling.resamples = 300;
  const TuneResult r = tune_depth(*model, task, options).value();
  EXPECT_EQ(r.questions, 1000);
  EXPECT_EQ(r.held_out, 1000);
  ASSERT_TRUE(r.tuned.has_value());
  const TunedDepth& t = *r.tuned;
  EXPECT_EQ(t.task, "sums");
  EXPECT_EQ(t.loops, 4);
  EXPECT_LE(t.mean_loops, 0.75 * 4);
  EXPECT_LE(t.loss, 0.5);
  EXPECT_NEAR(t.loss, 100 * (r.full - r.tuned_value), 1e-9);
  EXPECT_LE(t.loss_low, t.loss);
  EXPECT_GE(t.loss_high, t.loss);
  EXPECT_LE(r.chosen_loss.high, 0.5);
  for (size_t i = 1; i < t.curve.size(); ++i) {
    EXPECT_GT(t.curve[i].mean_loops, t.curve[i - 1].mean_loops);
    EXPECT_GT(t.curve[i].threshold, t.curve[i - 1].threshold);
  }
  // The threshold's own depth on the half that it was chosen on is on the curve.
  const double aimed = t.curve[t.curve.size() / 2].mean_loops;
  EXPECT_EQ(t.exit_at(aimed).value().threshold, t.curve[t.curve.size() / 2].threshold);

  // More may be lost: no deeper, and with much allowed as little as there is.
  options.allowed = 100;
  const TuneResult any = tune_depth(*model, task, options).value();
  EXPECT_LT(any.tuned->mean_loops, t.mean_loops);
  EXPECT_EQ(any.tuned->threshold, any.tuned->curve.front().threshold);
}

TEST(TuneDepth, RefusalsSayWhy) {
  const std::unique_ptr<Model> model = Model::load(kSmall, {.threads = 2}).value();
  const auto message = [&](const char* file, const TuneOptions& options) {
    return tune_depth(*model, read_task(file).value(), options).status().message();
  };
  EXPECT_THAT(message("tasks/sums_written.yaml", {}), HasSubstr("is answered in writing"));
  TuneOptions few;
  few.limits.questions = 19;
  EXPECT_THAT(message(kSums, few), HasSubstr("has 19 questions"));
}

}  // namespace
}  // namespace looplm
