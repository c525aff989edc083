#include "train/run_config.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/status_matchers.h"
#include "train/schedule.h"

namespace looplm {
namespace {

constexpr const char* kRun = R"(
[model]
vocab_size = 256
hidden_size = 64
layers = 2
heads = 4
intermediate_size = 96
loops = 4
[data]
train = ["a", { path = "b", weight = 2.5 }]
validation = "v"
sequence_length = 32
[batch]
sequences = 4
[objective]
kind = "stage1"
beta = 0.05
prior = "geometric"
geometric_parameter = 0.3
[optimizer]
learning_rate = 1e-3
[schedule]
kind = "wsd"
warmup = 5
decay = 10
[run]
steps = 100
out = "runs/x"
[compute]
dtype = "bf16"
memory = "loop_inputs"
)";

Result<RunConfig> parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_run_config(text, "run.toml", overrides);
}
Result<RunConfig> parse_with(const std::vector<std::string>& overrides) {
  return parse(kRun, overrides);
}

TEST(RunConfig, ReadsEveryTable) {
  auto run = parse(kRun);
  ASSERT_OK(run);
  EXPECT_EQ(run->model.config.hidden_size, 64);
  EXPECT_EQ(run->model.config.head_dim, 16);
  EXPECT_EQ(run->model.config.kv_heads, 4);
  ASSERT_EQ(run->data.train.size(), 2u);
  EXPECT_EQ(run->data.train[1].path, "b");
  EXPECT_EQ(run->data.train[1].weight, 2.5);
  EXPECT_EQ(run->objective.prior.kind, ExitPrior::Kind::kGeometric);
  EXPECT_EQ(run->schedule.peak, 1e-3);
  EXPECT_EQ(run->run.steps, 100);
  EXPECT_EQ(run->compute.dtype, DType::kBf16);
  EXPECT_EQ(run->compute.memory, MemoryPolicy::kLoopInputs);
}

TEST(RunConfig, OverridesReplaceAndAddKeys) {
  auto run = parse_with(
      {"batch.sequences=9", "run.out=\"other\"", "optimizer.clip=0.5", "data.train=\"one\""});
  ASSERT_OK(run);
  EXPECT_EQ(run->batch.sequences, 9);
  EXPECT_EQ(run->run.out, "other");
  EXPECT_EQ(run->optimizer.clip, 0.5);
  EXPECT_EQ(run->data.train.size(), 1u);
  EXPECT_ERROR_SAYS(parse_with({"batch.sequences"}), "key=value");
  EXPECT_ERROR_SAYS(parse_with({"batch.sequences=]"}), "override");
}

TEST(RunConfig, ErrorsNameKeyValueAndExpectation) {
  EXPECT_ERROR_SAYS(parse("[run\n"), "run.toml line 1");
  EXPECT_ERROR_SAYS(parse("x = 1\nx = 2"), "run.toml line 2");
  EXPECT_ERROR_SAYS(parse_with({"batch.sequencess=1"}), "batch.sequencess", "not a known key",
                    "accumulate");
  EXPECT_ERROR_SAYS(parse_with({"typo.x=1"}), "typo", "not a known key");
  EXPECT_ERROR_SAYS(parse_with({"batch.sequences=0"}), "batch.sequences is 0", "from 1");
  EXPECT_ERROR_SAYS(parse_with({"batch.sequences=\"many\""}), "batch.sequences is", "many");
  EXPECT_ERROR_SAYS(parse_with({"batch=3"}), "batch is 3", "table");
  EXPECT_ERROR_SAYS(parse_with({"optimizer.learning_rate=nan"}), "optimizer.learning_rate is nan");
  EXPECT_ERROR_SAYS(parse_with({"optimizer.learning_rate=-1"}), "optimizer.learning_rate");
  EXPECT_ERROR_SAYS(parse_with({"schedule.final_learning_rate=1.0"}), "at most", "0.001");
  EXPECT_ERROR_SAYS(parse_with({"schedule.kind=\"linear\""}), "linear", "cosine");
  EXPECT_ERROR_SAYS(parse_with({"schedule.warmup=95"}), "105 steps", "run.steps is 100");
  EXPECT_ERROR_SAYS(parse_with({"objective.kind=\"rl\""}), "objective.kind is 'rl'", "last_loop");
  EXPECT_ERROR_SAYS(parse_with({"objective.prior=\"beta\""}), "objective.prior", "geometric");
  EXPECT_ERROR_SAYS(parse_with({"objective.teacher=\"file\""}), "objective.teacher is file",
                    "expected distil");
  EXPECT_OK(parse_with({"objective.teacher=\"file\"", "objective.kind=\"distil\""}));
  EXPECT_ERROR_SAYS(parse_with({"compute.dtype=\"f16\""}), "compute.dtype", "f16", "bf16");
  EXPECT_ERROR_SAYS(parse_with({"compute.memory=\"none\""}), "compute.memory", "loop_inputs");
  EXPECT_ERROR_SAYS(parse_with({"model.heads=3"}), "model");
  EXPECT_ERROR_SAYS(parse_with({"model.preset=\"big\""}), "model.preset", "big");
  EXPECT_ERROR_SAYS(parse_with({"model.from=\"m\""}), "not a known key");
  for (const char* key : {"heads = 3", "head_dim = 8", "norm_placement = \"pre\""}) {
    const std::string name = "model." + std::string(key).substr(0, std::string(key).find(' '));
    EXPECT_ERROR_SAYS(parse(fmt::format("[model]\nfrom = \"m\"\n{}\n", key)), name.c_str(),
                      "is not a known key beside model.from", "shape");
  }
  EXPECT_ERROR_SAYS(parse_with({"data.train=x"}), "'data.train=x': 'x' is not a TOML value",
                    "data.train=\"...\"");
  EXPECT_ERROR_SAYS(parse_with({"data.train="}), "nothing is not a TOML value");
  EXPECT_ERROR_SAYS(parse_with({"data.train=3"}), "data.train");
  EXPECT_ERROR_SAYS(parse_with({"data.train=[{weight=1}]"}), "data.train.path is missing");
  EXPECT_ERROR_SAYS(parse_with({"data.train=[]"}), "data.train");
  EXPECT_ERROR_SAYS(parse_with({"batch.sequences=1099511627776", "data.sequence_length=16777216"}),
                    "batch.sequences");
  EXPECT_ERROR_SAYS(parse_with({"batch.accumulate=1099511627776"}),
                    "batch.sequences is 4, batch.accumulate 1099511627776", "4294967296 tokens");
  EXPECT_ERROR_SAYS(parse("[model]\nhidden_size = 8"), "model.vocab_size is missing");
  EXPECT_ERROR_SAYS(parse(""), "model.from is missing", "model.preset");
}

TEST(RunConfig, WrittenAndReadAgainIsTheSame) {
  const std::vector<std::vector<std::string>> changes = {
      {},
      {"model.eos_token_id=[3, 5]", "model.bos_token_id=-1", "model.pad_token_id=7"},
      {"model.rope_theta=1234567.891", "model.kv_heads=2", "model.head_dim=8",
       "model.rms_norm_eps=1e-12", "model.norm_placement=\"pre\"", "model.type=\"llama\""},
      {"data.train=\"a \\\"quoted\\\" \\u0001 name\"", "data.validation=[\"x\", \"y\"]"},
      {"objective.kind=\"stage2\"", "objective.loops=9", "objective.gamma=0.1234567890123456789"},
      {"run.seed=9223372036854775807", "compute.save_dtype=\"f32\"", "compute.threads=3"},
  };
  for (const std::vector<std::string>& overrides : changes) {
    auto run = parse_with(overrides);
    ASSERT_OK(run);
    const std::string written = write_run_config(*run);
    auto again = parse(written);
    ASSERT_OK(again);
    EXPECT_EQ(*again, *run) << written;
    EXPECT_EQ(write_run_config(*again), written);
  }
  for (const std::string& preset : model_preset_names()) {
    const std::string text =
        "[model]\npreset = \"" + preset + "\"\n[run]\nout = \"x\"\nsteps = 1\n";
    EXPECT_EQ(parse(write_run_config(parse(text).value())).value(), parse(text).value()) << preset;
  }
  // Versions before this key multiplied in fp32, so a run that they began goes on only with that.
  EXPECT_EQ(parse_written_run_config(kRun, "run")->compute.attention, AttentionProducts::kF32);
  // In fp32 they multiplied as they do now.
  std::string f32 = kRun;
  f32.replace(f32.find("dtype = \"bf16\""), 14, "dtype = \"f32\"");
  EXPECT_EQ(parse_written_run_config(f32, "run").value(), parse(f32).value());
  const std::string written = write_run_config(parse(kRun).value());
  EXPECT_EQ(parse_written_run_config(written, "run").value(), parse(kRun).value());
  const char* from = "[model]\nfrom = \"m\"\ntokenizer = \"t\"\n[run]\nout = \"x\"\nsteps = 1\n";
  EXPECT_EQ(parse(write_run_config(parse(from).value())).value(), parse(from).value());
}

TEST(RunConfig, MadeInCodeIsCheckedAndCompletedAsAFileIs) {
  RunConfig made;
  made.model.config.vocab_size = 256;
  made.model.config.hidden_size = 64;
  made.model.config.layers = 2;
  made.model.config.heads = 4;
  made.model.config.intermediate_size = 96;
  made.run.steps = 10;
  auto complete = complete_run_config(made);
  ASSERT_OK(complete);
  EXPECT_EQ(complete->model.config.kv_heads, 4);
  EXPECT_EQ(complete->model.config.head_dim, 16);
  EXPECT_EQ(complete->model.config.max_positions, 2048);
  made.batch.sequences = 0;
  EXPECT_ERROR_SAYS(complete_run_config(made), "batch.sequences is 0", "from 1");
  made.batch.sequences = 1;
  made.run.out = "not UTF-8: \xff";
  EXPECT_ERROR_SAYS(complete_run_config(made), "invalid utf-8");
}

TEST(RunConfig, DifferencesAreTheKeysThatChangeNumbersAndNothingElse) {
  const RunConfig base = parse(kRun).value();
  EXPECT_TRUE(run_differences(base, parse_with({"run.log_every=3", "compute.memory=\"keep_all\"",
                                                "compute.threads=1", "run.out=\"y\"", "run.keep=9",
                                                "run.steps=200"})
                                        .value())
                  .empty());
  for (const char* change :
       {"model.hidden_size=32", "model.seed=2", "data.sequence_length=16", "batch.sequences=5",
        "batch.accumulate=2", "objective.beta=0.2", "objective.loops=3", "optimizer.beta2=0.99",
        "optimizer.learning_rate=2e-3", "schedule.warmup=6", "run.seed=2", "compute.dtype=\"f32\"",
        "compute.attention=\"f32\""}) {
    const auto differences = run_differences(base, parse_with({change}).value());
    const std::string key = std::string(change).substr(0, std::string(change).find('='));
    // Others may follow from it: head_dim from hidden_size.
    const auto named = std::find_if(differences.begin(), differences.end(),
                                    [&](const RunKeyDifference& d) { return d.key == key; });
    ASSERT_NE(named, differences.end()) << change;
    EXPECT_EQ(named->now, std::string(change).substr(key.size() + 1) == "2e-3"
                              ? "0.002"
                              : std::string(change).substr(key.size() + 1));
  }
  // In fp32 two words say the same.
  const RunConfig f32 = parse_with({"compute.dtype=\"f32\""}).value();
  EXPECT_TRUE(run_differences(
                  f32, parse_with({"compute.dtype=\"f32\"", "compute.attention=\"f32\""}).value())
                  .empty());
  const auto weight = run_differences(base, parse_with({"data.train=[\"a\", \"b\"]"}).value());
  ASSERT_EQ(weight.size(), 1u);
  EXPECT_EQ(weight[0].key, "data.train.weight");
  EXPECT_EQ(weight[0].before, "[1, 2.5]");
}

TEST(Schedule, Shapes) {
  Schedule s;
  s.peak = 1;
  s.final = 0.1;
  s.warmup_steps = 10;
  const auto at = [&](int64_t step) { return s.at(step, 110); };
  EXPECT_DOUBLE_EQ(at(1), 0.1);
  EXPECT_DOUBLE_EQ(at(10), 1);
  EXPECT_DOUBLE_EQ(at(110), 1);
  s.kind = Schedule::Kind::kCosine;
  EXPECT_DOUBLE_EQ(at(10), 1);
  EXPECT_DOUBLE_EQ(at(60), 0.55);
  EXPECT_DOUBLE_EQ(at(110), 0.1);
  s.kind = Schedule::Kind::kWarmupStableDecay;
  s.decay_steps = 20;
  EXPECT_DOUBLE_EQ(at(90), 1);
  EXPECT_DOUBLE_EQ(at(100), 0.55);
  EXPECT_DOUBLE_EQ(at(110), 0.1);
}

}  // namespace
}  // namespace looplm
