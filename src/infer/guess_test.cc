// Speculation through guess maps: what is proposed, and that nothing else sees them.
#include <cmath>

#include "looplm/engine.h"

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "model/adapter.h"
#include "model/quantized_checkpoint.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class GuessingModel : public testing::Test {
 protected:
  GuessingModel() {
    write_test_checkpoint(directory_.file("plain"), parameters_, config_);
    write_test_checkpoint(directory_.file("guessing"), parameters_, config_);
    write_random_guesses(directory_.file("guessing"), config_, 8);
  }

  std::unique_ptr<Model> load(const std::string& name, ModelOptions options = {}) const {
    options.threads = 2;
    return std::move(Model::load(directory_.file(name), options)).value();
  }
  GenerateOptions speculating(CommitKind kind = CommitKind::kLoop, double threshold = 1) const {
    GenerateOptions o;
    o.max_tokens = 20;
    o.ignore_eos = true;
    o.speculate = {kind, threshold};
    return o;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 3);
  std::vector<int32_t> prompt_ = random_ids(12, config_.vocab_size, 4);
};

// The states of a text, mapped here and read out, say what each loop had to propose.
TEST_F(GuessingModel, EarlyLoopsProposeWhatTheirMappedStateSays) {
  ModelOptions exact;
  exact.kv = KvType::kF32;
  const auto model = load("guessing", exact);
  const Generation got = generate(*model, prompt_, speculating()).value();
  std::vector<int32_t> text = prompt_;
  for (const GeneratedToken& token : got.tokens) text.push_back(token.id);
  const auto tokens = static_cast<int64_t>(text.size());
  PassRunner& runner = *model->parts().runner;
  const PromptResult plain = read_prompt(runner, model->parts().pages, text, config_.loops, 256);
  const GuessMaps& maps = *model->parts().guesses;
  std::vector<float> mapped(static_cast<size_t>(config_.hidden_size));
  std::vector<float> logits(static_cast<size_t>(config_.vocab_size));
  int64_t changed = 0;
  for (size_t i = 0; i < got.tokens.size(); ++i) {
    const std::vector<int32_t>& proposals = got.tokens[i].proposals;
    ASSERT_EQ(proposals.size(), 3u);
    for (int64_t loop = 0; loop < 3; ++loop) {
      const int64_t row = loop * tokens + static_cast<int64_t>(prompt_.size() + i) - 1;
      const float* state = plain.normed.data() + row * config_.hidden_size;
      LogitSummary summary;
      runner.read_out(state, 1, logits.data(), &summary);
      const int32_t unmapped = summary.best;
      if (loop < 2) {
        maps.forward(loop, state, 1, mapped.data(), runner.device());
        runner.read_out(mapped.data(), 1, logits.data(), &summary);
      }
      EXPECT_EQ(proposals[static_cast<size_t>(loop)], summary.best) << i << " " << loop;
      changed += summary.best != unmapped;
    }
    EXPECT_EQ(proposals[2], got.tokens[i].id);
  }
  EXPECT_GT(changed, 5);
}

TEST_F(GuessingModel, EverythingElseIsAsWithout) {
  const auto plain = load("plain"), guessing = load("guessing");
  std::vector<GenerateOptions> modes = {speculating(), speculating(CommitKind::kAuto),
                                        speculating(CommitKind::kMargin, 0.05),
                                        speculating(CommitKind::kGate, 0.4)};
  modes.push_back(speculating());
  modes.back().exit = {ExitKind::kGate, 0.5, 1, 0};
  modes.push_back(speculating());
  modes.back().exit = {ExitKind::kMargin, 0.1, 1, 0};
  modes.push_back(speculating());
  modes.back().exit.max_loops = 4;
  modes.push_back(speculating());
  modes.back().plan.prompt = modes.back().plan.output = ReadLoops::kEvery;
  modes.push_back(speculating());
  modes.back().read_out = ReadOut::kWeighted;
  for (size_t i = 0; i < modes.size(); ++i) {
    for (const double temperature : {0.0, 0.9}) {
      SCOPED_TRACE(i);
      modes[i].sampling.temperature = temperature;
      GenerateOptions unspeculated = modes[i];
      unspeculated.speculate = {};
      const std::string expected = answer_text(generate(*plain, prompt_, unspeculated).value());
      EXPECT_EQ(answer_text(generate(*plain, prompt_, modes[i]).value()), expected);
      EXPECT_EQ(answer_text(generate(*guessing, prompt_, modes[i]).value()), expected);
    }
  }
}

TEST_F(GuessingModel, MapsThatOverflowProposeNothing) {
  write_test_checkpoint(directory_.file("wild"), parameters_, config_);
  write_random_guesses(directory_.file("wild"), config_, 8, 3e38f);
  const auto plain = load("plain"), wild = load("wild");
  const Generation got = generate(*wild, prompt_, speculating()).value();
  EXPECT_EQ(answer_text(got), answer_text(generate(*plain, prompt_, speculating()).value()));
  for (const GeneratedToken& token : got.tokens) {
    EXPECT_EQ(token.proposals, (std::vector<int32_t>{-1, -1, token.id}));
  }
}

TEST_F(GuessingModel, RunInEveryFormat) {
  for (const WeightType type :
       {WeightType::kF32, WeightType::kBf16, WeightType::kInt8, WeightType::kInt4}) {
    ModelOptions options;
    options.weights = type;
    const auto plain = load("plain", options), guessing = load("guessing", options);
    const Generation got = generate(*guessing, prompt_, speculating()).value();
    const Generation without = generate(*plain, prompt_, speculating()).value();
    EXPECT_EQ(answer_text(got), answer_text(without));
    int64_t other = 0;
    for (size_t i = 0; i < got.tokens.size(); ++i) {
      other += got.tokens[i].proposals != without.tokens[i].proposals;
    }
    EXPECT_GT(other, 0);
  }
}

// They were trained without it.
TEST_F(GuessingModel, AdaptersDoWithout) {
  const AdapterSettings settings = {.rank = 2, .alpha = 4, .targets = {}};
  ParameterSet values(adapter_specs(config_, settings));
  Rng rng(9);
  for (float& value : values.values()) value = 0.3f * (2 * rng.uniform() - 1);
  ASSERT_OK(save_adapter(directory_.file("adapter"), settings, values, "plain"));
  ModelOptions merged;
  merged.adapter = directory_.file("adapter");
  EXPECT_EQ(load("guessing", merged)->parts().guesses, nullptr);
  const auto plain = load("plain"), guessing = load("guessing");
  const auto proposals = [&](Model& model) {
    EXPECT_OK(model.add_adapter("named", directory_.file("adapter")));
    Engine engine(model, {});
    Request r;
    r.prompt = prompt_;
    r.options = speculating();
    r.adapter = "named";
    std::vector<std::vector<int32_t>> all;
    r.done = [&](const Generation& got) {
      for (const GeneratedToken& token : got.tokens) all.push_back(token.proposals);
    };
    EXPECT_TRUE(engine.submit(std::move(r)).ok());
    engine.run();
    return all;
  };
  EXPECT_EQ(proposals(*guessing), proposals(*plain));
}

TEST_F(GuessingModel, AFileOfAnotherModelIsAnError) {
  ModelConfig other = config_;
  other.loops = 4;
  write_random_guesses(directory_.file("plain"), other, 8);
  EXPECT_ERROR_SAYS(Model::load(directory_.file("plain")), "guess.safetensors", "guess.loop3.bias",
                    "not a guess map of this model");
}

}  // namespace
}  // namespace looplm
