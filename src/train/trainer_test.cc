// Whole runs on tiny models: what must not change a single bit, and what must.
#include "train/trainer.h"

#include <atomic>
#include <cmath>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "looplm/tokenizer_trainer.h"
#include "looplm/train.h"

#include "base/file.h"
#include "base/file_lock.h"
#include "base/json.h"
#include "base/rng.h"
#include "model/safetensors.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

void write_data(const std::string& path, uint64_t seed, int documents) {
  TokenShardWriter writer(64);
  Rng rng(seed);
  for (int d = 0; d < documents; ++d) {
    std::vector<int32_t> tokens;
    const uint32_t start = rng.below(60), stride = 1 + rng.below(4), length = 3 + rng.below(30);
    for (uint32_t i = 0; i < length; ++i) {
      tokens.push_back(static_cast<int32_t>((start + i * stride) % 61));
    }
    writer.add(tokens, d % 3);
  }
  ASSERT_OK(writer.write(path));
}

struct Recorder : TrainObserver {
  void on_start(const TrainStart& s) override { start = s; }
  void on_step(const StepReport& r) override {
    steps.push_back(r);
    if (stop_after > 0 && r.step == stop_after) stop = true;
  }
  void on_validation(const ValidationReport& r) override { validations.push_back(r); }
  void on_checkpoint(const std::string& d) override { checkpoints.push_back(d); }
  void on_note(const std::string& n) override { notes.push_back(n); }

  TrainStart start;
  std::vector<StepReport> steps;
  std::vector<ValidationReport> validations;
  std::vector<std::string> checkpoints;
  std::vector<std::string> notes;
  int64_t stop_after = 0;
  std::atomic<bool> stop{false};
};

class TrainerTest : public testing::Test {
 protected:
  void SetUp() override {
    write_data(dir_.file("train.tokens"), 1, 300);
    write_data(dir_.file("val.tokens"), 2, 40);
    run_file_ = dir_.file("run.toml");
    ASSERT_OK(write_text_file(run_file_, R"(
[model]
vocab_size = 64
hidden_size = 32
layers = 2
heads = 4
kv_heads = 2
intermediate_size = 48
loops = 3
[data]
train = ")" + dir_.file("train.tokens") + R"("
validation = ")" + dir_.file("val.tokens") + R"("
sequence_length = 24
[batch]
sequences = 3
accumulate = 2
[optimizer]
learning_rate = 5e-3
[schedule]
kind = "cosine"
warmup = 3
[run]
steps = 12
out = ")" + dir_.file("run") + R"("
log_every = 1
checkpoint_every = 4
)"));
  }

  std::string out(const std::string& name) const { return "run.out=\"" + dir_.file(name) + "\""; }

  Status run(const std::string& name, std::vector<std::string> overrides, Recorder& recorder,
             bool resume = false, int threads = 2) {
    overrides.push_back(out(name));
    TrainOptions options;
    options.run_file = run_file_;
    options.overrides = overrides;
    options.resume = resume;
    options.threads = threads;
    options.stop = &recorder.stop;
    return train(options, recorder);
  }
  // Runs and returns the final fp32 weights' bytes.
  std::string final_weights(const std::string& name, const std::vector<std::string>& overrides,
                            int threads = 2) {
    Recorder recorder;
    const Status status = run(name, overrides, recorder, false, threads);
    EXPECT_TRUE(status.ok()) << status.message();
    return weights_of(name);
  }
  std::string weights_of(const std::string& name) const {
    return read_text_file(dir_.file(name) + "/checkpoints/step-00000012/model.safetensors").value();
  }

  TempDir dir_;
  std::string run_file_;
};

TEST_F(TrainerTest, LearnsLogsValidatesAndSaves) {
  Recorder r;
  ASSERT_OK(run("a", {"run.steps=60", "run.checkpoint_every=20", "run.validate_every=30"}, r));
  ASSERT_EQ(r.steps.size(), 60u);
  for (const StepReport& s : r.steps) {
    EXPECT_GT(s.peak_share, 0);
    EXPECT_LE(s.peak_share, 1);
    EXPECT_GT(s.targets, 0);
  }
  EXPECT_TRUE(r.notes.empty());
  EXPECT_LT(r.steps.back().nll.back(), 0.85 * r.steps.front().nll.back());
  ASSERT_EQ(r.validations.size(), 2u);
  EXPECT_LT(r.validations[1].nll[2], r.validations[0].nll[2]);
  EXPECT_EQ(r.validations[1].nll.size(), 3u);
  ASSERT_EQ(r.validations[1].accuracy.size(), 3u);
  EXPECT_GT(r.validations[1].accuracy[2], r.validations[0].accuracy[2]);
  EXPECT_LE(r.validations[1].accuracy[2], 1);
  const std::vector<double>& exit = r.validations[1].exit;
  ASSERT_EQ(exit.size(), 3u);
  EXPECT_NEAR(exit[0] + exit[1] + exit[2], 1, 1e-6);
  EXPECT_NEAR(exit[0] + 2 * exit[1] + 3 * exit[2], r.validations[1].mean_exit, 1e-6);
  EXPECT_GT(r.start.memory.size(), 5u);
  // keep = 2 checkpoints, the newest.
  EXPECT_FALSE(is_directory(dir_.file("a/checkpoints/step-00000020")));
  EXPECT_TRUE(is_directory(dir_.file("a/checkpoints/step-00000040")));
  EXPECT_TRUE(file_exists(dir_.file("a/model/config.json")));
  std::ifstream log(dir_.file("a/log.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(log, line); ++lines) EXPECT_OK(parse_json(line, "log"));
  EXPECT_EQ(lines, 62);
}

TEST_F(TrainerTest, ValidatesEachSetOnEveryDocumentOnce) {
  // More and fewer targets than a batch has rows; 3 * 24 of them.
  write_data(dir_.file("few.tokens"), 3, 2);
  Recorder both;
  ASSERT_OK(run("both",
                {"run.validate_every=6", "data.validation=[\"" + dir_.file("val.tokens") +
                                             "\", \"" + dir_.file("few.tokens") + "\"]"},
                both));
  ASSERT_EQ(both.validations.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(both.validations[i].set, static_cast<int64_t>(i % 2));
    EXPECT_EQ(both.validations[i].step, i < 2 ? 6 : 12);
    const std::string path = dir_.file(i % 2 == 0 ? "val.tokens" : "few.tokens");
    const TokenShard shard = std::move(TokenShard::open(path).value());
    int64_t targets = 0;
    for (int64_t d = 0; d < shard.documents(); ++d) {
      for (int64_t t = 1; t < shard.document_length(d); ++t) targets += shard.is_learnt(d, t);
    }
    EXPECT_EQ(both.validations[i].tokens, targets);
  }
  // Apart they say the same.
  Recorder few;
  ASSERT_OK(run("few", {"data.validation=\"" + dir_.file("few.tokens") + "\""}, few));
  EXPECT_EQ(few.validations.back().nll, both.validations.back().nll);
}

TEST_F(TrainerTest, TakesStreamsInPlaceOfShards) {
  // The successor of a token, modulo the vocabulary: soon learnt.
  class Successors : public DocumentStream {
   public:
    int64_t vocab_size() const override { return 64; }
    uint64_t hash() const override { return 1; }
    void document(uint64_t index, std::vector<int32_t>& ids,
                  std::vector<bool>& learnt) const override {
      ids.clear();
      for (uint64_t i = 0; i < 8; ++i) ids.push_back(static_cast<int32_t>((index * 5 + i) % 64));
      learnt.assign(ids.size(), true);
    }
  };
  const auto train_on = [&](const std::string& name, std::vector<std::string> overrides,
                            Recorder& recorder) {
    TrainOptions options;
    options.run_file = run_file_;
    options.overrides = std::move(overrides);
    options.overrides.push_back(out(name));
    options.threads = 2;
    options.streams = {std::make_shared<Successors>()};
    return train(options, recorder);
  };
  Recorder r;
  EXPECT_ERROR_SAYS(train_on("both", {}, r), "data.train");
  ASSERT_OK(write_text_file(run_file_, R"(
[model]
vocab_size = 64
hidden_size = 32
layers = 1
heads = 2
intermediate_size = 48
loops = 2
[data]
sequence_length = 24
[optimizer]
learning_rate = 1e-2
[run]
steps = 80
out = "x"
log_every = 1
)"));
  ASSERT_OK(train_on("streamed", {}, r));
  EXPECT_LT(r.steps.back().nll.back(), 0.3 * r.steps.front().nll.back());
  EXPECT_ERROR_SAYS(run("none", {}, r), "data.train is missing");
}

TEST_F(TrainerTest, ResultsDoNotDependOnMemoryPolicyOrThreads) {
  const std::string expected = final_weights("base", {});
  EXPECT_EQ(final_weights("all", {"compute.memory=\"keep_all\""}), expected);
  EXPECT_EQ(final_weights("loop", {"compute.memory=\"loop_inputs\""}), expected);
  EXPECT_EQ(final_weights("one", {}, 1), expected);
  EXPECT_EQ(final_weights("five", {}, 5), expected);
  EXPECT_NE(final_weights("seed", {"run.seed=9"}), expected);
  const std::string bf16 = final_weights("bf16", {"compute.dtype=\"bf16\""});
  EXPECT_NE(bf16, expected);
  EXPECT_EQ(
      final_weights("bf16 loop", {"compute.dtype=\"bf16\"", "compute.memory=\"loop_inputs\""}, 3),
      bf16);
  EXPECT_NE(
      final_weights("bf16 but attention", {"compute.dtype=\"bf16\"", "compute.attention=\"f32\""}),
      bf16);
}

TEST_F(TrainerTest, AStoppedRunResumesBitForBit) {
  const std::string expected = final_weights("straight", {});
  Recorder first;
  first.stop_after = 7;
  const Status stopped = run("stopped", {}, first);
  EXPECT_EQ(stopped.code(), StatusCode::kCancelled);
  EXPECT_ERROR_SAYS(stopped, "step 7 of 12", "--resume");
  Recorder refused;
  EXPECT_ERROR_SAYS(run("stopped", {}, refused), "already holds a run", "--resume");
  const Status other = run("stopped", {"objective.beta=0.3", "run.log_every=2"}, refused, true);
  EXPECT_ERROR_SAYS(other, "other settings", "objective.beta is 0.3", "made with 0.1");
  EXPECT_EQ(std::count(other.message().begin(), other.message().end(), '\n'), 1);
  EXPECT_ERROR_SAYS(run("stopped", {"run.steps=6"}, refused, true), "run.steps is 6", "7 steps");
  write_data(dir_.file("other.tokens"), 3, 300);
  EXPECT_ERROR_SAYS(
      run("stopped", {"data.train=\"" + dir_.file("other.tokens") + "\""}, refused, true),
      "other.tokens", "other contents");
  Recorder second;
  ASSERT_OK(run("stopped", {}, second, true));
  EXPECT_EQ(second.start.first_step, 8);
  EXPECT_EQ(weights_of("stopped"), expected);
}

TEST_F(TrainerTest, AFinishedRunGoesOnToMoreSteps) {
  const std::vector<std::string> constant = {"schedule.kind=\"constant\""};
  const std::string expected = final_weights("straight", constant);
  Recorder first;
  ASSERT_OK(run("grown", {constant[0], "run.steps=5"}, first));
  Recorder second;
  ASSERT_OK(run("grown", constant, second, true));
  EXPECT_EQ(second.start.first_step, 6);
  EXPECT_TRUE(second.start.notes.empty());
  EXPECT_EQ(weights_of("grown"), expected);
  // Rates that look at the end of the run are other rates from here on.
  Recorder cosine;
  ASSERT_OK(run("cosine", {"run.steps=5"}, cosine));
  EXPECT_EQ(cosine.steps.back().learning_rate, 0);
  ASSERT_OK(run("cosine", {}, cosine, true));
  ASSERT_EQ(cosine.start.notes.size(), 1u);
  EXPECT_THAT(cosine.start.notes[0],
              testing::AllOf(testing::HasSubstr("run.steps is 12"),
                             testing::HasSubstr("made with 5"), testing::HasSubstr("cosine")));
  EXPECT_GT(cosine.steps[5].learning_rate, 0);
}

TEST_F(TrainerTest, AStartInBf16ResumesAndOldStatesAreRefusedInWords) {
  Recorder start;
  ASSERT_OK(run("start", {}, start));  // its model is bf16
  const std::string toml = read_text_file(run_file_).value();
  ASSERT_OK(write_text_file(run_file_, "[model]\nfrom = \"" + dir_.file("start/model") + "\"\n" +
                                           toml.substr(toml.find("[data]"))));
  const std::string expected = final_weights("straight", {});
  Recorder first;
  first.stop_after = 7;
  EXPECT_EQ(run("stopped", {}, first).code(), StatusCode::kCancelled);
  Recorder second;
  ASSERT_OK(run("stopped", {}, second, true));
  EXPECT_EQ(weights_of("stopped"), expected);
  const std::string state = dir_.file("stopped/checkpoints/step-00000012/train_state.json");
  std::string json = read_text_file(state).value();
  std::string lacking = json;
  lacking.replace(lacking.find("\"offset\""), 8, "\"ofset\"");
  ASSERT_OK(write_text_file(state, lacking));
  EXPECT_ERROR_SAYS(run("stopped", {}, second, true), "train_state.json",
                    "'cursors[].offset' is missing");
  std::string late = json;
  late.replace(late.find("\"optimizer_steps\": 12"), 21,
               "\"optimizer_steps\": 9000000000000000000");
  ASSERT_OK(write_text_file(state, late));
  EXPECT_ERROR_SAYS(run("stopped", {}, second, true), "'optimizer_steps' is 9000000000000000000");
  json.replace(json.find("\"format\": 2"), 11, "\"format\": 1");
  ASSERT_OK(write_text_file(state, json));
  EXPECT_ERROR_SAYS(run("stopped", {}, second, true), "train_state.json", "'format' is 1",
                    "model.from");
}

// Two runs in one directory would mix their logs and checkpoints.
TEST_F(TrainerTest, ARunHasItsDirectoryAlone) {
  Recorder r;
  {
    std::filesystem::create_directories(dir_.file("shared"));
    auto other = FileLock::try_lock_directory(dir_.file("shared"));
    ASSERT_OK(other);
    ASSERT_TRUE(other->has_value());
    EXPECT_ERROR_SAYS(run("shared", {}, r), "another run is writing", "shared", "run.out");
    EXPECT_TRUE(std::filesystem::is_empty(dir_.file("shared")));
  }
  EXPECT_OK(run("shared", {"run.steps=4"}, r));  // it has ended
}

// Before the first step, and not after the last.
TEST_F(TrainerTest, RefusesADirectoryWhereItsModelHasNoPlace) {
  Recorder r;
  std::filesystem::create_directories(dir_.file("notes/model"));
  ASSERT_OK(write_text_file(dir_.file("notes/model/todo.txt"), "mine"));
  EXPECT_ERROR_SAYS(run("notes", {}, r), "notes/model", "todo.txt");
  std::filesystem::rename(dir_.file("notes/model"), dir_.file("notes/best"));
  EXPECT_ERROR_SAYS(run("notes", {"run.keep_best=true", "run.validate_every=1"}, r), "notes/best",
                    "todo.txt");
  EXPECT_TRUE(file_exists(dir_.file("notes/best/todo.txt")));
  EXPECT_FALSE(file_exists(dir_.file("notes/log.jsonl")));

  ASSERT_OK(run("first", {"run.steps=4"}, r));
  EXPECT_ERROR_SAYS(run("first/model", {}, r), "first/model", "holds a model", "run.out");
  EXPECT_FALSE(file_exists(dir_.file("first/model/log.jsonl")));
}

TEST_F(TrainerTest, AKilledRunLosesOnlyWhatFollowedItsLastCheckpoint) {
  const std::string expected = final_weights("straight", {});
  Recorder recorder;
  ASSERT_OK(run("killed", {}, recorder));
  // As if the process had died after step 9: the checkpoint of step 8 stands, later files and half
  // a checkpoint lie around.
  std::filesystem::remove_all(dir_.file("killed/checkpoints/step-00000012"));
  std::filesystem::remove_all(dir_.file("killed/model"));
  std::filesystem::create_directories(dir_.file("killed/checkpoints/step-00000012.99.1.tmp"));
  ASSERT_OK(
      write_text_file(dir_.file("killed/checkpoints/step-00000012.99.1.tmp/config.json"), "{"));
  // Of a process that is no more, whatever this machine's numbers are.
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ::waitpid(gone, nullptr, 0);
  const auto abandoned = [&](const std::string& name) {
    return dir_.file(fmt::format("killed/{}.{}.3.tmp", name, gone));
  };
  ASSERT_OK(write_text_file(abandoned("log.jsonl"), "{}"));
  std::filesystem::create_directories(abandoned("best"));
  std::filesystem::create_directories(abandoned("checkpoints/step-00000012"));
  ASSERT_OK(write_text_file(dir_.file("killed/notes.7.tmp"), "mine"));
  Recorder resumed;
  ASSERT_OK(run("killed", {}, resumed, true));
  for (const char* name : {"log.jsonl", "best", "checkpoints/step-00000012"}) {
    EXPECT_FALSE(std::filesystem::exists(abandoned(name))) << name;
  }
  EXPECT_TRUE(file_exists(dir_.file("killed/notes.7.tmp")));
  EXPECT_EQ(resumed.start.first_step, 9);
  EXPECT_EQ(weights_of("killed"), expected);
  // The log holds every step once.
  std::ifstream log(dir_.file("killed/log.jsonl"));
  std::vector<int64_t> steps;
  for (std::string line; std::getline(log, line);) {
    const Json json = parse_json(line, "log").value();
    if (!json.contains("validation")) steps.push_back(json["step"].get<int64_t>());
  }
  ASSERT_EQ(steps.size(), 12u);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], static_cast<int64_t>(i) + 1);
}

TEST_F(TrainerTest, StageTwoChangesTheGateAlone) {
  Recorder one;
  ASSERT_OK(run("stage1", {"compute.save_dtype=\"f32\""}, one));
  const std::string toml = read_text_file(run_file_).value();
  const size_t model = toml.find("[model]"), data = toml.find("[data]");
  ASSERT_OK(write_text_file(
      run_file_, toml.substr(0, model) + "[model]\nfrom = \"" + dir_.file("stage1/model") +
                     "\"\n[objective]\nkind = \"stage2\"\n" + toml.substr(data)));
  Recorder two;
  ASSERT_OK(run("stage2", {"compute.save_dtype=\"f32\""}, two));
  EXPECT_EQ(two.start.trained_parameters, 33);
  EXPECT_LT(two.steps.back().loss, two.steps.front().loss);
  const Safetensors before = std::move(Safetensors::open(dir_.file("stage1/model")).value());
  const Safetensors after = std::move(Safetensors::open(dir_.file("stage2/model")).value());
  for (const std::string& name : before.names()) {
    const TensorView x = before.find(name).value(), y = after.find(name).value();
    const bool same = std::equal(x.data, x.data + x.bytes(), y.data);
    EXPECT_EQ(same, name.find("early_exit_gate") == std::string::npos) << name;
  }
}

class StageTwoTest : public TrainerTest {
 protected:
  // run_file_ becomes Stage II from a trained model.
  void SetUp() override {
    TrainerTest::SetUp();
    Recorder one;
    ASSERT_OK(run("stage1", {}, one));
    const std::string toml = read_text_file(run_file_).value();
    stage_two_ = "[objective]\nkind = \"stage2\"\n" + toml.substr(toml.find("[data]"));
    start_from("stage1/model");
  }
  void start_from(const std::string& name) {
    ASSERT_OK(
        write_text_file(run_file_, "[model]\nfrom = \"" + dir_.file(name) + "\"\n" + stage_two_));
  }
  std::string gate_of(const std::string& name) const {
    return read_text_file(dir_.file(name) + "/checkpoints/step-00000012/trained.safetensors")
        .value();
  }
  std::string stage_two_;
};

TEST_F(StageTwoTest, HoldsAndSavesTheGateAloneAndResumesBitForBit) {
  Recorder straight;
  ASSERT_OK(run("straight", {}, straight));
  uint64_t trained = 0;
  for (const PlannedMemory& item : straight.start.memory) {
    if (item.name == "trained parameters" || item.name == "gradients" ||
        item.name == "optimiser moments") {
      trained += item.bytes;
    }
  }
  EXPECT_EQ(trained, 4 * 33 * sizeof(float));
  uint64_t bytes = 0;
  const std::string saved = dir_.file("straight/checkpoints/step-00000012");
  for (const auto& file : std::filesystem::directory_iterator(saved)) bytes += file.file_size();
  EXPECT_LT(bytes, 8000u);
  EXPECT_FALSE(file_exists(saved + "/model.safetensors"));

  Recorder first;
  first.stop_after = 7;
  EXPECT_EQ(run("stopped", {}, first).code(), StatusCode::kCancelled);
  Recorder second;
  ASSERT_OK(run("stopped", {}, second, true));
  EXPECT_EQ(second.start.first_step, 8);
  EXPECT_EQ(gate_of("stopped"), gate_of("straight"));
  EXPECT_EQ(read_text_file(dir_.file("stopped/model/model.safetensors")).value(),
            read_text_file(dir_.file("straight/model/model.safetensors")).value());
}

TEST_F(StageTwoTest, AStartThatChangedIsRefused) {
  Recorder r;
  r.stop_after = 7;
  EXPECT_EQ(run("stopped", {}, r).code(), StatusCode::kCancelled);
  Recorder other;
  const std::string toml = read_text_file(run_file_).value();
  // NOLINTNEXTLINE(bugprone-parent-virtual-call)
  TrainerTest::SetUp();
  ASSERT_OK(run("other", {"model.seed=2"}, other));
  ASSERT_OK(write_text_file(run_file_, toml));
  std::filesystem::remove_all(dir_.file("stage1/model"));
  std::filesystem::rename(dir_.file("other/model"), dir_.file("stage1/model"));
  EXPECT_ERROR_SAYS(run("stopped", {}, r, true), "frozen weights", "stage1/model", "step-00000007");
}

TEST_F(TrainerTest, ATrainerWorksOverAModelInMemoryAndShowsItsWeights) {
  RunConfig config = read_run_config(run_file_).value();
  ParameterSet from(config.model.config);
  Rng rng(5);
  for (float& value : from.values()) value = 0.1f * (rng.uniform() - 0.5f);
  config.compute.save_dtype = DType::kF32;
  auto made = Trainer::create(
      config, {.threads = 2, .start = StartModel{config.model.config, from.source()}});
  ASSERT_OK(made);
  Trainer& trainer = **made;
  const auto value = [&](const std::string& name) {
    return *reinterpret_cast<const float*>(trainer.weights()(name).value().data);
  };
  EXPECT_EQ(value(kHeadName), *from.find(kHeadName));
  auto before = trainer.validate();
  ASSERT_OK(before);
  for (int i = 0; i < 12; ++i) ASSERT_OK(trainer.step());
  EXPECT_EQ(trainer.steps_done(), 12);
  EXPECT_NE(value(kHeadName), *from.find(kHeadName));
  auto after = trainer.validate();
  ASSERT_OK(after);
  EXPECT_LT((*after)[0].loss, (*before)[0].loss);

  // Stage II on the same weights: what is frozen is the caller's, what is saved is whole.
  const TensorSource current = trainer.weights();
  config.objective.kind = ObjectiveKind::kStageTwo;
  auto gate =
      Trainer::create(config, {.threads = 2, .start = StartModel{config.model.config, current}});
  ASSERT_OK(gate);
  ASSERT_OK((*gate)->step());
  EXPECT_EQ((*gate)->weights()(kHeadName).value().data, current(kHeadName).value().data);
  ASSERT_OK((*gate)->save_model(dir_.file("whole")));
  const Safetensors whole = std::move(Safetensors::open(dir_.file("whole")).value());
  for (const std::string& name : whole.names()) {
    const TensorView x = whole.find(name).value(), y = (*gate)->weights()(name).value();
    EXPECT_TRUE(std::equal(x.data, x.data + x.bytes(), y.data)) << name;
  }
  config.model.from = "somewhere";
  EXPECT_ERROR_SAYS(Trainer::create(config, {.start = StartModel{config.model.config, current}}),
                    "model.from");
}

TEST_F(TrainerTest, AStepWithoutTargetsChangesNothingAndIsNotMeasured) {
  // Documents of prompts longer than a row, with an answer at the end: most rows teach nothing.
  TokenShardWriter writer(64);
  for (int d = 0; d < 4; ++d) writer.add(std::vector<int32_t>(100, 1 + d), 98);
  ASSERT_OK(writer.write(dir_.file("long.tokens")));
  Recorder r;
  ASSERT_OK(run("long",
                {"data.train=\"" + dir_.file("long.tokens") + "\"", "batch.sequences=1",
                 "batch.accumulate=1", "run.log_every=100"},
                r));
  int64_t empty = 0;
  for (const StepReport& s : r.steps) {
    if (s.targets > 0) continue;
    ++empty;
    EXPECT_TRUE(std::isnan(s.loss) && std::isnan(s.nll[0]) && std::isnan(s.gradient_norm));
    EXPECT_TRUE(std::isnan(s.mean_exit) && std::isnan(s.exit_entropy));
  }
  EXPECT_GT(empty, 6);
  ASSERT_EQ(r.notes.size(), 2u);
  EXPECT_THAT(r.notes[0], testing::HasSubstr("no token to learn"));
  EXPECT_THAT(r.notes[1], testing::HasSubstr(std::to_string(empty) + " of 12 steps"));
  EXPECT_EQ(r.start.data_targets, 8);
  const std::string log = read_text_file(dir_.file("long/log.jsonl")).value();
  EXPECT_THAT(log, testing::HasSubstr("\"targets\":0,\"loss\":null,\"nll\":[null,null,null]"));
  // Nothing at all to learn is no run.
  TokenShardWriter none(64);
  none.add(std::vector<int32_t>(10, 1), 10);
  ASSERT_OK(none.write(dir_.file("none.tokens")));
  const std::string path = "\"" + dir_.file("none.tokens") + "\"";
  EXPECT_ERROR_SAYS(run("none", {"data.train=" + path}, r), "data.train", "no token to learn");
  EXPECT_ERROR_SAYS(run("none", {"data.validation=" + path}, r), "none.tokens",
                    "no token to learn");
}

TEST_F(TrainerTest, DataOfAnotherTokenizerIsRefusedByName) {
  TokenizerTrainerOptions options;
  options.vocab_size = 260;
  auto trainer = std::move(TokenizerTrainer::create(options).value());
  for (int i = 0; i < 20; ++i) trainer.add("the cat and the dog");
  std::filesystem::create_directory(dir_.file("tok"));
  ASSERT_OK(write_text_file(dir_.file("tok/tokenizer.json"), trainer.train().value()));
  const auto tokenizer = std::move(Tokenizer::load(dir_.file("tok")).value());
  const auto write = [&](const std::string& name, const Vocabulary& vocabulary) {
    TokenShardWriter writer(vocabulary);
    writer.add(std::vector<int32_t>{1, 2, 3, 4});
    ASSERT_OK(writer.write(dir_.file(name)));
  };
  write("same.tokens", vocabulary_of(*tokenizer));
  write("other.tokens", {15, 99});
  write("unknown.tokens", tokenizer->vocab_size());
  const auto train_on = [&](const std::string& data, const std::string& validation,
                            bool with_tokenizer) {
    Recorder r;
    std::vector<std::string> overrides = {"data.train=\"" + dir_.file(data) + "\"",
                                          "data.validation=\"" + dir_.file(validation) + "\"",
                                          "model.vocab_size=300"};
    if (with_tokenizer) overrides.push_back("model.tokenizer=\"" + dir_.file("tok") + "\"");
    std::filesystem::remove_all(dir_.file("run"));
    return run("run", overrides, r);
  };
  EXPECT_OK(train_on("same.tokens", "same.tokens", true));
  EXPECT_OK(train_on("unknown.tokens", "same.tokens", true));
  EXPECT_OK(train_on("other.tokens", "other.tokens", false));
  const std::string size = std::to_string(tokenizer->vocab_size()) + " tokens";
  EXPECT_ERROR_SAYS(train_on("other.tokens", "other.tokens", true), "other.tokens", "15 tokens",
                    "tokenizer of", "/tok'", size.c_str());
  EXPECT_ERROR_SAYS(train_on("same.tokens", "other.tokens", false), "same.tokens", "other.tokens");
}

TEST_F(TrainerTest, DataThatIsNotThereIsNamedByItsKey) {
  Recorder r;
  EXPECT_ERROR_SAYS(run("none", {"data.train=\"\""}, r), "data.train: ");
  EXPECT_ERROR_SAYS(run("none", {"data.validation=\"x\""}, r), "data.validation: ", "'x'");
}

TEST_F(TrainerTest, ARunBeyondTheMachinesMemoryIsNotBegun) {
  Recorder r;
  const Status status = run("vast", {"batch.sequences=80000000"}, r);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), testing::HasSubstr("TiB, and this machine has"));
  EXPECT_FALSE(std::filesystem::exists(dir_.file("vast")));
  // Its plan is made without it.
  TrainOptions options;
  options.run_file = run_file_;
  for (const char* vast : {"batch.sequences=80000000", "batch.accumulate=50000000"}) {
    options.overrides = {vast};
    const auto plan = plan_training(options);
    ASSERT_OK(plan);
    EXPECT_GT(plan.value().step_flops, 1e15) << vast;
  }
}

// As of a copy that was cut off and filled with zeros: of the right length, with tokens of the
// vocabulary.
TEST_F(TrainerTest, DamagedDataIsRefused) {
  for (const char* key : {"train", "validation"}) {
    std::string text = read_text_file(dir_.file("val.tokens")).value();
    text.replace(text.size() - 80, 80, std::string(80, '\0'));
    ASSERT_OK(write_text_file(dir_.file("damaged.tokens"), text));
    Recorder r;
    EXPECT_ERROR_SAYS(
        run(key, {fmt::format("data.{}=\"{}\"", key, dir_.file("damaged.tokens"))}, r),
        "damaged.tokens", "contents hash to");
    EXPECT_FALSE(std::filesystem::exists(dir_.file(key)));
  }
}

TEST_F(TrainerTest, APlanSaysWhatTheRunWillAndWritesNothing) {
  TrainOptions options;
  options.run_file = run_file_;
  options.overrides = {out("planned")};
  const auto plan = plan_training(options);
  ASSERT_OK(plan);
  const TrainPlan& p = plan.value();
  EXPECT_FALSE(file_exists(dir_.file("planned")));
  EXPECT_EQ(p.sequences, 3);

  Recorder recorder;
  ASSERT_OK(run("planned", {}, recorder));
  const TrainStart& start = recorder.start;
  EXPECT_EQ(p.start.parameters, start.parameters);
  EXPECT_EQ(p.start.trained_parameters, start.trained_parameters);
  EXPECT_EQ(p.start.tokens_per_step, start.tokens_per_step);
  EXPECT_EQ(p.start.data_targets, start.data_targets);
  EXPECT_EQ(p.start.steps, 12);
  EXPECT_GT(p.start.peak_flops, 0);
  // 6 operations per weight of the blocks at each of 3 loops, and of the head; attention besides.
  const double blocks = 2 * (32 * (32 + 2 * 16) + 32 * 32 + 3 * 32 * 48), head = 32 * 64;
  const double products = 6 * 2 * 3 * 24 * 3 * (blocks + head);
  EXPECT_GT(p.step_flops, products);
  EXPECT_LT(p.step_flops, 1.2 * products);

  uint64_t total = 0;
  ASSERT_EQ(p.start.memory.size(), start.memory.size());
  for (size_t i = 0; i < start.memory.size(); ++i) {
    EXPECT_EQ(p.start.memory[i].name, start.memory[i].name);
    EXPECT_EQ(p.start.memory[i].bytes, start.memory[i].bytes);
    total += start.memory[i].bytes;
  }
  ASSERT_EQ(p.choices.size(), 3u);
  EXPECT_GT(p.choices[0].bytes, p.choices[1].bytes);
  EXPECT_GT(p.choices[1].bytes, p.choices[2].bytes);
  for (const TrainPlan::Choice& c : p.choices) {
    EXPECT_EQ(c.chosen, c.memory == "block_inputs");
    if (c.chosen) {
      EXPECT_EQ(c.bytes, total);
    }
  }
}

TEST_F(TrainerTest, TheMostSequencesThatFitAreTheMost) {
  const auto run = read_run_config(run_file_, {});
  ASSERT_OK(run);
  const ModelConfig& model = run.value().model.config;
  const MatrixFormat f32 = float_format(DType::kF32);
  const uint64_t usable = training_memory(run.value(), model, f32, 2).total() * 5 / 2;
  for (const TrainPlan::Choice& c : memory_choices(run.value(), model, f32, 2, usable)) {
    RunConfig other = run.value();
    other.compute.memory = value_named(kMemoryPolicyNames, c.memory).value();
    other.batch.sequences = c.most_sequences;
    EXPECT_LE(training_memory(other, model, f32, 2).total(), usable) << c.memory;
    ++other.batch.sequences;
    EXPECT_GT(training_memory(other, model, f32, 2).total(), usable) << c.memory;
  }
  for (const TrainPlan::Choice& c : memory_choices(run.value(), model, f32, 2, 1000)) {
    EXPECT_EQ(c.most_sequences, 0);
  }
}

TEST_F(TrainerTest, APlanRefusesWhatTheRunWould) {
  TrainOptions options;
  options.run_file = run_file_;
  options.overrides = {"data.train=\"nowhere.tokens\""};
  EXPECT_THAT(plan_training(options).status().message(), testing::HasSubstr("nowhere.tokens"));
  options.overrides = {"data.sequence_length=4096"};
  EXPECT_THAT(plan_training(options).status().message(), testing::HasSubstr("4096"));
  options.overrides = {"model.exit_gate=false", "objective.kind=\"stage1\""};
  EXPECT_THAT(plan_training(options).status().message(), testing::HasSubstr("gate"));
}

TEST_F(TrainerTest, APlanSaysWhatAStartWouldRefuseInItsPlace) {
  TrainOptions options;
  options.run_file = run_file_;
  const auto refusal = [&](const std::string& name, std::vector<std::string> overrides = {}) {
    overrides.push_back(out(name));
    options.overrides = overrides;
    const auto plan = plan_training(options);
    EXPECT_OK(plan);
    return plan.ok() ? plan.value().refusal.message() : "";
  };
  EXPECT_EQ(refusal("new/deeper"), "");
  EXPECT_THAT(refusal("new", {"batch.sequences=80000000"}), testing::HasSubstr("the run takes"));
  ASSERT_OK(write_text_file(dir_.file("file"), "x"));
  EXPECT_THAT(refusal("file"), testing::HasSubstr("file' is not a directory"));
  EXPECT_THAT(refusal("file/x"), testing::HasSubstr("file' is not a directory"));

  Recorder r;
  ASSERT_OK(run("old", {"run.steps=4"}, r));
  EXPECT_THAT(refusal("old"), testing::HasSubstr("already holds a run at step 4"));
  options.resume = true;
  EXPECT_EQ(refusal("old"), "");
  EXPECT_THAT(refusal("old", {"run.steps=3"}), testing::HasSubstr("run.steps is 3"));
  EXPECT_THAT(refusal("old", {"batch.sequences=2"}), testing::HasSubstr("batch.sequences is 2"));
  ASSERT_OK(write_text_file(dir_.file("old/model/mine"), "x"));
  EXPECT_THAT(refusal("old"), testing::HasSubstr("holds 'mine'"));
  const auto lock = FileLock::try_lock_directory(dir_.file("old"));
  ASSERT_OK(lock);
  EXPECT_THAT(refusal("old"), testing::HasSubstr("another run is writing"));
}

TEST_F(TrainerTest, FewerLoopsThanTheModelsSayHowToRunIt) {
  Recorder r;
  ASSERT_OK(run("short", {"objective.loops=2", "run.steps=4"}, r));
  ASSERT_EQ(r.start.notes.size(), 1u);
  EXPECT_THAT(r.start.notes[0],
              testing::AllOf(testing::HasSubstr("still says 3"), testing::HasSubstr("--loops 2"),
                             testing::HasSubstr("\"max_loops\": 2}")));
}

TEST_F(TrainerTest, BadRunsSayWhatIsWrong) {
  Recorder r;
  EXPECT_ERROR_SAYS(run("x", {"data.train=\"nowhere\""}, r), "nowhere");
  EXPECT_ERROR_SAYS(run("x", {"model.vocab_size=60"}, r), "vocabulary of 64", "60");
  EXPECT_ERROR_SAYS(run("x", {"model.exit_gate=false"}, r), "exit gate");
  EXPECT_ERROR_SAYS(run("x", {"data.sequence_length=4096"}, r), "4096", "2048 positions");
  EXPECT_ERROR_SAYS(run("x", {"objective.kind=\"stage2\"", "objective.loops=1"}, r),
                    "objective.kind is stage2", "1 loop");
  EXPECT_ERROR_SAYS(run("x",
                        {"optimizer.learning_rate=1e3", "optimizer.clip=0", "schedule.warmup=0",
                         "schedule.kind=\"constant\"", "optimizer.weight_decay=1000"},
                        r),
                    "step", "learning rate");
  ASSERT_OK(write_text_file(dir_.file("file"), "x"));
  EXPECT_ERROR_SAYS(run("file", {}, r), "file");
}

}  // namespace
}  // namespace looplm
