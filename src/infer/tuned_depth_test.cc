#include "infer/tuned_depth.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;

ModelConfig four_loops() {
  ModelConfig config;
  config.loops = 4;
  config.exit_gate = true;
  return config;
}

TunedDepth tuned(const std::string& task) {
  return {.task = task,
          .kind = ExitKind::kGate,
          .loops = 4,
          .threshold = 0.4375,
          .mean_loops = 2.5,
          .metric = "acc",
          .allowed = 0.5,
          .loss = 0.25,
          .loss_low = -0.125,
          .loss_high = 0.5,
          .curve = {{0.125, 1.5}, {0.25, 2}, {0.75, 3}}};
}

TEST(TunedDepth, IsReadAsItWasWrittenTheNewestFirst) {
  const TempDir dir;
  EXPECT_TRUE(read_tuned_depths(dir.path(), four_loops()).value().empty());
  for (const char* task : {"sums", "glosses", "sums"}) {
    ASSERT_OK(add_tuned_depth(dir.path(), four_loops(), tuned(task)));
  }
  const std::vector<TunedDepth> all = read_tuned_depths(dir.path(), four_loops()).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].task, "sums");
  EXPECT_EQ(all[1].task, "glosses");
  EXPECT_EQ(all[0].threshold, 0.4375);
  EXPECT_EQ(all[0].mean_loops, 2.5);
  EXPECT_EQ(all[0].metric, "acc");
  EXPECT_EQ(all[0].loss_low, -0.125);
  ASSERT_EQ(all[0].curve.size(), 3u);
  EXPECT_EQ(all[0].curve[2].threshold, 0.75);
  EXPECT_EQ(all[0].exit().kind, ExitKind::kGate);
  EXPECT_EQ(tuned_depth_file("a/b.gguf"), "a/b.depth.json");
}

TEST(TunedDepth, AThresholdForAMeanDepth) {
  const TunedDepth t = tuned("sums");
  EXPECT_EQ(t.exit_at(1.5).value().threshold, 0.125);
  EXPECT_EQ(t.exit_at(2).value().threshold, 0.25);
  EXPECT_EQ(t.exit_at(2.5).value().threshold, 0.5);
  EXPECT_EQ(t.exit_at(3).value().threshold, 0.75);
  for (const double outside : {1.0, 3.5, -1.0}) {
    EXPECT_THAT(t.exit_at(outside).status().message(),
                HasSubstr("'sums' was measured from 1.50 to 3.00"));
  }
}

TEST(TunedDepth, AFileThatDoesNotFitIsRefused) {
  const TempDir dir;
  ASSERT_OK(add_tuned_depth(dir.path(), four_loops(), tuned("sums")));
  const std::string good = read_text_file(tuned_depth_file(dir.path())).value();
  ModelConfig other = four_loops();
  other.loops = 2;
  EXPECT_THAT(read_tuned_depths(dir.path(), other).status().message(),
              HasSubstr("'sums' was tuned for 4 loops; the model has 2"));
  other = four_loops();
  other.exit_gate = false;
  EXPECT_THAT(read_tuned_depths(dir.path(), other).status().message(), HasSubstr("no exit gate"));
  const auto message = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    EXPECT_OK(write_text_file(tuned_depth_file(dir.path()), text));
    return read_tuned_depths(dir.path(), four_loops()).status().message();
  };
  EXPECT_THAT(message("\"exit\": \"q\"", "\"exit\": \"never\""), HasSubstr("no rule is called"));
  EXPECT_THAT(message("0.4375", "4"), HasSubstr("threshold"));
  EXPECT_THAT(message("\"tuned\"", "\"other\""), HasSubstr("the list 'tuned'"));
  EXPECT_THAT(message("3.0", "1.75"), HasSubstr("do not rise"));
  EXPECT_THAT(message("\"curve\"", "\"line\""), HasSubstr("'curve' is not a list"));
  EXPECT_THAT(message("{", "["), HasSubstr("looplm-depth.json"));
}

}  // namespace
}  // namespace looplm
