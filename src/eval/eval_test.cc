#include <fstream>

#include <gmock/gmock.h>

#include "looplm/trace.h"

#include "eval/depth_scores.h"
#include "eval/depth_table.h"
#include "eval/examples.h"
#include "eval/report.h"
#include "infer/softmax.h"
#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;

class EvalModel : public testing::Test {
 protected:
  void SetUp() override {
    const ModelConfig config = small_config();
    write_test_checkpoint(dir_.file("model"), random_parameters(config, 5), config);
    model_ = Model::load(dir_.file("model"), {.threads = 1}).value();
    example_.ids = random_ids(20, config.vocab_size, 3);
    example_.scored.assign(20, false);
    for (size_t i : {1u, 7u, 8u, 19u}) example_.scored[i] = true;
  }

  TempDir dir_;
  std::unique_ptr<Model> model_;
  EvalExample example_;
};

TEST_F(EvalModel, ADepthScoresWhatAModelOfThatManyLoopsScores) {
  const DepthScores all = score_depths(*model_, example_, 5).value();
  ASSERT_EQ(all.tokens, 4);
  for (int64_t loops = 1; loops <= 5; ++loops) {
    const DepthScores one = score_depths(*model_, example_, loops).value();
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(one.nll[one.at(loops - 1, i)], all.nll[all.at(loops - 1, i)]);
      EXPECT_EQ(one.right[one.at(loops - 1, i)], all.right[all.at(loops - 1, i)]);
    }
  }
}

TEST_F(EvalModel, ScoresAndExitsAreThoseOfTheTrace) {
  const int64_t trained = model_->config().loops;
  const DepthScores s = score_depths(*model_, example_, trained).value();
  TraceOptions options;
  options.loops = trained;
  options.top = model_->config().vocab_size;
  const Trace seen = trace(*model_, example_.ids, options).value();
  int64_t token = 0;
  for (size_t i = 1; i < example_.ids.size(); ++i) {
    if (!example_.scored[i]) continue;
    const auto at = static_cast<int64_t>(i) - 1;
    for (int64_t t = 0; t < trained; ++t) {
      const std::vector<TopToken>& top = seen.at(t, at).top;
      const auto target = std::find_if(top.begin(), top.end(),
                                       [&](const TopToken& x) { return x.id == example_.ids[i]; });
      EXPECT_FLOAT_EQ(s.nll[s.at(t, token)], -target->log_probability);
      EXPECT_EQ(s.right[s.at(t, token)] != 0, target == top.begin());
    }
    for (double threshold : {0.0, 0.2, 0.5, 0.8, 1.0}) {
      double mass = 0;
      int64_t exit = 0;
      while (exit < trained && (exit == 0 || mass < threshold)) {
        mass += seen.at(exit++, at).exit_probability;
      }
      EXPECT_EQ(s.exit_loop(token, threshold, trained), exit) << threshold;
    }
    ++token;
  }
  EXPECT_EQ(token, s.tokens);
}

// Two examples of two tokens; loop 1 is right once in four, loop 2 three times in four.
std::vector<DepthScores> hand_made() {
  DepthScores a;
  a.loops = 2;
  a.tokens = 2;
  a.nll = {2, 1, 0.5, 0.5};
  a.right = {0, 1, 1, 1};
  a.gate = {-10, 10, 0, 0};  // the first token goes on, the second exits
  DepthScores b = a;
  b.nll = {3, 4, 1, 2};
  b.right = {0, 0, 1, 0};
  b.gate = {-10, -10, 0, 0};
  return {a, b};
}

TEST(DepthTable, FiguresOfAHandMadeCase) {
  DepthTableOptions options;
  options.trained_loops = 2;
  options.thresholds = {0.5};
  const DepthTable table = depth_table(hand_made(), options);
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_DOUBLE_EQ(table.rows[0].nll.value, 2.5);
  EXPECT_DOUBLE_EQ(table.rows[0].accuracy.value, 0.25);
  EXPECT_DOUBLE_EQ(table.rows[0].exact.value, 0);
  EXPECT_DOUBLE_EQ(table.rows[1].nll.value, 1);
  EXPECT_DOUBLE_EQ(table.rows[1].accuracy.value, 0.75);
  EXPECT_DOUBLE_EQ(table.rows[1].exact.value, 0.5);
  const DepthRow& q = table.rows[2];
  EXPECT_DOUBLE_EQ(q.mean_loops, 1.75);
  EXPECT_DOUBLE_EQ(q.nll.value, 4.5 / 4);
  EXPECT_DOUBLE_EQ(q.accuracy.value, 0.75);
  EXPECT_DOUBLE_EQ(q.nll_gain->value, (0.25 * 2.5 + 0.75 * 1) - 4.5 / 4);
  EXPECT_DOUBLE_EQ(q.accuracy_gain->value, 0.75 - (0.25 * 0.25 + 0.75 * 0.75));
  // Resamples are aa, ab, ba or bb: the extremes are those of each example alone.
  EXPECT_DOUBLE_EQ(table.rows[0].nll.low, 1.5);
  EXPECT_DOUBLE_EQ(table.rows[0].nll.high, 3.5);
  EXPECT_EQ(depth_table(hand_made(), options).rows[0].nll.low, table.rows[0].nll.low);
}

TEST(DepthTable, IntervalCoversTheTruthAboutAsOftenAsItSays) {
  // Examples of one token, right with chance 0.7: about 95 of 100 intervals hold 0.7.
  int covered = 0;
  for (uint64_t run = 0; run < 100; ++run) {
    Rng rng(run, 1);
    std::vector<DepthScores> scores;
    for (int i = 0; i < 100; ++i) {
      DepthScores s;
      s.loops = s.tokens = 1;
      s.nll = {1};
      s.right = {rng.uniform() < 0.7f};
      s.gate = {0};
      scores.push_back(s);
    }
    DepthTableOptions options;
    options.trained_loops = 1;
    options.resamples = 200;
    const Estimate accuracy = depth_table(scores, options).rows[0].accuracy;
    covered += accuracy.low <= 0.7 && 0.7 <= accuracy.high;
  }
  EXPECT_GE(covered, 86);
  EXPECT_LE(covered, 100);
}

TEST(DepthTable, AHigherThresholdLoopsLonger) {
  DepthScores s = hand_made()[0];
  s.gate = {0, -1, 0, 0};
  int64_t before = 1;
  for (double q = 0; q <= 1; q += 0.05) {
    const int64_t loops = s.exit_loop(0, q, 2);
    EXPECT_GE(loops, before);
    before = loops;
  }
  EXPECT_EQ(s.exit_loop(0, 0.4999, 2), 1);
  EXPECT_EQ(s.exit_loop(0, 0.5001, 2), 2);
}

TEST(DepthTable, Interpolates) {
  EXPECT_DOUBLE_EQ(interpolate({4, 2, 1}, 1), 4);
  EXPECT_DOUBLE_EQ(interpolate({4, 2, 1}, 1.25), 3.5);
  EXPECT_DOUBLE_EQ(interpolate({4, 2, 1}, 3), 1);
  EXPECT_DOUBLE_EQ(interpolate({4}, 1), 4);
}

TEST(Report, TablesNameEveryDepthAndThreshold) {
  DepthTableOptions options;
  options.trained_loops = 2;
  options.thresholds = {0.5};
  const DepthTable table = depth_table(hand_made(), options);
  const std::string text = depth_table_text(table);
  EXPECT_THAT(text, HasSubstr("1 loop "));
  EXPECT_THAT(text, HasSubstr("2 loops, as trained"));
  EXPECT_THAT(text, HasSubstr("q 0.50"));
  EXPECT_THAT(text, HasSubstr("75.0%"));
  EXPECT_THAT(depth_table_markdown(table), HasSubstr("|---|---:|"));
  const OrderedJson json = depth_table_json(table);
  EXPECT_EQ(json["rows"][2]["threshold"], 0.5);
  EXPECT_EQ(json["rows"][1]["accuracy"]["value"], 0.75);
}

class Examples : public testing::Test {
 protected:
  Result<std::vector<EvalExample>> read(const std::string& text,
                                        const Tokenizer* tokenizer = nullptr) {
    std::ofstream(dir_.file("x.jsonl")) << text;
    return read_examples(dir_.file("x.jsonl"), tokenizer,
                         {.vocab_size = 300, .max_positions = 6, .examples = limit_});
  }
  std::string error(const std::string& text) {
    const auto result = read(text);
    EXPECT_FALSE(result.ok()) << text;
    return result.status().message();
  }

  TempDir dir_;
  int64_t limit_ = 0;
};

TEST_F(Examples, ReadIdsAndText) {
  const auto ids = read(R"({"prompt_ids": [1, 2], "completion_ids": [3], "hops": 4})").value();
  EXPECT_THAT(ids[0].ids, testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(ids[0].scored, testing::ElementsAre(false, false, true));
  EXPECT_EQ(ids[0].fields["hops"], 4);

  write_byte_tokenizer(dir_.file("."), 0);
  const auto tokenizer = Tokenizer::load(dir_.file(".")).value();
  const auto text =
      read("{\"prompt\": \"a\", \"completion\": \"bc\"}\n\n{\"text\": \"abc\"}\n", tokenizer.get())
          .value();
  EXPECT_THAT(text[0].scored, testing::ElementsAre(false, true, true));
  EXPECT_THAT(text[1].scored, testing::ElementsAre(false, true, true));
  EXPECT_EQ(text[0].ids, text[1].ids);
  limit_ = 1;
  EXPECT_EQ(read("{\"text\": \"abc\"}\n{\"text\": \"abc\"}\n", tokenizer.get()).value().size(), 1u);
}

TEST_F(Examples, ErrorsNameTheLineAndWhatIsWrong) {
  EXPECT_THAT(error(""), HasSubstr("holds no examples"));
  EXPECT_THAT(error("\n{\"text\": \"a\"}"), HasSubstr("x.jsonl:2"));
  EXPECT_THAT(error("{\"text\": \"a\"}"), HasSubstr("tokenizer.json"));
  EXPECT_THAT(error("{\"prompt_ids\": [1]}"), HasSubstr("'completion_ids'"));
  EXPECT_THAT(error("{\"prompt_ids\": [1], \"completion_ids\": [300]}"), HasSubstr("300"));
  EXPECT_THAT(error("{\"prompt_ids\": [1], \"completion_ids\": [4294967297]}"),
              HasSubstr("out of range"));
  EXPECT_THAT(error("{\"prompt_ids\": [1], \"completion_ids\": []}"),
              HasSubstr("nothing to score"));
  EXPECT_THAT(error("{\"prompt_ids\": [], \"completion_ids\": [1]}"),
              HasSubstr("nothing to score"));
  EXPECT_THAT(error("{\"prompt_ids\": [1,1,1,1,1,1], \"completion_ids\": [1]}"),
              HasSubstr("7 tokens; the model has 6"));
}

}  // namespace
}  // namespace looplm
