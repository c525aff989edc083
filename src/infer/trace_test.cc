// Values are held by golden_test.cc.
#include "looplm/trace.h"

#include "infer/test_model.h"
#include "kernels/ref/reference.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class TraceTest : public testing::Test {
 protected:
  void SetUp() override {
    write_test_checkpoint(directory_.file("model"), parameters_, config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 31);
  std::vector<int32_t> ids_ = random_ids(37, config_.vocab_size, 32);
  std::unique_ptr<Model> model_;
};

TEST_F(TraceTest, CellsAreWhatTheLogitsAndStatesSay) {
  TraceOptions options;
  options.top = 4;
  options.loops = 5;  // beyond the trained three
  int calls = 0;
  std::vector<std::vector<float>> rows(5 * ids_.size());
  options.on_logits = [&](int64_t loop, int64_t token, std::span<const float> logits) -> Status {
    rows[static_cast<size_t>(loop) * ids_.size() + static_cast<size_t>(token)].assign(
        logits.begin(), logits.end());
    ++calls;
    return {};
  };
  const Trace t = trace(*model_, ids_, options).value();
  EXPECT_EQ(calls, 5 * 37);
  EXPECT_EQ(t.loops, 5);
  EXPECT_EQ(t.ids, ids_);
  const PromptResult r = read_prompt(*model_->parts().runner, model_->parts().pages, ids_, 5, 256);
  const auto e = static_cast<size_t>(config_.hidden_size);
  for (int64_t token = 0; token < 37; ++token) {
    double sum = 0;
    for (int64_t loop = 0; loop < 5; ++loop) {
      const LoopReading& cell = t.at(loop, token);
      const size_t at = static_cast<size_t>(loop * 37 + token);
      const std::vector<float>& logits = rows[at];
      const std::vector<double> exact(logits.begin(), logits.end());
      const ref::LogitSummary expected_summary =
          ref::logit_summary(exact.data(), config_.vocab_size);
      EXPECT_NEAR(cell.entropy, expected_summary.entropy, 1e-6);
      EXPECT_EQ(cell.entropy, summarize(logits).entropy);
      const std::vector<float> zero(e);
      const std::span<const float> h = {&r.normed[at * e], e};
      EXPECT_NEAR(cell.hidden_norm, relative_error(h, zero), 1e-9 * cell.hidden_norm);
      if (loop == 0) {
        EXPECT_EQ(cell.hidden_difference, 0);
      } else {
        const std::span<const float> before = {&r.normed[(at - 37) * e], e};
        const double expected = relative_error(h, before) * t.at(loop - 1, token).hidden_norm;
        EXPECT_NEAR(cell.hidden_difference, expected, 1e-9 * expected);
      }
      ASSERT_EQ(cell.top.size(), 4u);
      for (size_t k = 0; k < 4; ++k) {
        const float logit = logits[static_cast<size_t>(cell.top[k].id)];
        EXPECT_NEAR(cell.top[k].log_probability,
                    static_cast<double>(logit) - expected_summary.log_sum, 1e-6);
        EXPECT_EQ(std::count_if(logits.begin(), logits.end(), [&](float x) { return x > logit; }),
                  static_cast<ptrdiff_t>(k));
      }
      sum += cell.exit_probability;
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST_F(TraceTest, ChunksChangeNothing) {
  const Trace whole = trace(*model_, ids_, {}).value();
  for (int64_t chunk : {1, 5, 17}) {
    TraceOptions options;
    options.prompt_chunk = chunk;
    const Trace t = trace(*model_, ids_, options).value();
    for (size_t i = 0; i < whole.cells.size(); ++i) {
      const LoopReading &a = t.cells[i], &b = whole.cells[i];
      EXPECT_EQ(a.gate_logit, b.gate_logit);
      EXPECT_EQ(a.exit_probability, b.exit_probability);
      EXPECT_EQ(a.hidden_difference, b.hidden_difference);
      EXPECT_EQ(a.hidden_norm, b.hidden_norm);
      EXPECT_EQ(a.entropy, b.entropy);
      ASSERT_EQ(a.top.size(), b.top.size());
      EXPECT_EQ(a.top[0].id, b.top[0].id);
    }
  }
}

TEST_F(TraceTest, WithoutAGateTheLastLoopIsTheExit) {
  const auto plain = std::move(Model::load(golden("no_gate"))).value();
  const Trace t = trace(*plain, std::vector<int32_t>{1, 2, 3}, {}).value();
  for (int64_t loop = 0; loop < t.loops; ++loop) {
    EXPECT_EQ(t.at(loop, 1).exit_probability, loop + 1 == t.loops ? 1 : 0);
    EXPECT_EQ(t.at(loop, 1).gate_logit, 0);
  }
}

TEST_F(TraceTest, WrongRequestsAreNamed) {
  const auto with = [&](auto change) {
    TraceOptions options;
    change(options);
    return trace(*model_, ids_, options);
  };
  EXPECT_ERROR_SAYS(trace(*model_, {}, {}), "no tokens");
  const std::vector<int32_t> high = {61}, many(257, 1);
  EXPECT_ERROR_SAYS(trace(*model_, high, {}), "61", "0 to 60");
  EXPECT_ERROR_SAYS(trace(*model_, many, {}), "257", "256 positions");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.loops = 257; }), "loops is 257", "1 to 256");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.top = -1; }), "top is -1");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.prompt_chunk = 0; }), "prompt_chunk is 0");
  int calls = 0;
  EXPECT_ERROR_SAYS(with([&](auto& o) {
                      o.on_logits = [&](int64_t, int64_t, std::span<const float>) {
                        ++calls;
                        return io_error("the disk is full");
                      };
                    }),
                    "the disk is full");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace looplm
