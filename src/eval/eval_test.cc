#include <fstream>
#include <map>

#include <gmock/gmock.h>

#include "looplm/trace.h"

#include "eval/depth_scores.h"
#include "eval/depth_table.h"
#include "eval/examples.h"
#include "eval/report.h"
#include "infer/position.h"
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
      EXPECT_EQ(s.nll[s.at(t, token)], -target->log_probability);
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

// Examples that share beginnings of every kind: nothing, all but the last token, a whole text, more
// than a page; answers of several lengths.
std::vector<EvalExample> alike(int64_t vocab_size) {
  const std::vector<int32_t> stem = random_ids(70, vocab_size, 11);
  std::vector<EvalExample> examples;
  for (size_t shared : {70u, 70u, 31u, 70u, 0u, 69u, 32u, 33u, 1u, 70u}) {
    EvalExample e;
    e.ids.assign(stem.begin(), stem.begin() + static_cast<ptrdiff_t>(shared));
    const std::vector<int32_t> own = random_ids(2 + static_cast<int64_t>(examples.size()) * 7,
                                                vocab_size, shared + examples.size());
    e.ids.insert(e.ids.end(), own.begin(), own.end());
    e.scored.assign(e.ids.size(), false);
    for (size_t i = std::max<size_t>(1, shared); i < e.ids.size(); i += 1 + examples.size() % 3) {
      e.scored[i] = true;
    }
    examples.push_back(e);
  }
  EvalExample again = examples[3];
  again.scored[10] = again.scored[60] = true;
  examples.push_back(again);
  again.ids.resize(40);
  again.scored.resize(40);
  examples.push_back(again);
  return examples;
}

void expect_same(const DepthScores& a, const DepthScores& b) {
  EXPECT_EQ(a.loops, b.loops);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.right, b.right);
  EXPECT_EQ(a.best, b.best);
  EXPECT_TRUE(same_bits(a.nll, b.nll));
  EXPECT_TRUE(same_bits(a.gate, b.gate));
  EXPECT_TRUE(same_bits(a.difference, b.difference));
  EXPECT_TRUE(same_bits(a.norm, b.norm));
  EXPECT_TRUE(same_bits(a.margin, b.margin));
  EXPECT_TRUE(same_bits(a.entropy, b.entropy));
}

TEST_F(EvalModel, ManyTextsAtOnceScoreAsEachAlone) {
  const std::vector<EvalExample> examples = alike(model_->config().vocab_size);
  std::vector<DepthScores> alone;
  for (const EvalExample& e : examples) alone.push_back(score_depths(*model_, e, 4).value());
  const auto state = static_cast<uint64_t>(2 * model_->config().hidden_size) * sizeof(float);
  for (const int64_t lanes : {1, 5, 64, 256}) {
    for (const uint64_t states : {1, 100, 10000}) {
      double share = 0;
      ScoreOptions options;
      options.pass_lanes = lanes;
      options.state_bytes = states * state;
      options.progress = [&](double now) {
        EXPECT_GT(now, 0);
        EXPECT_GE(now, share);
        share = now;
      };
      const auto together = score_depths(*model_, examples, 4, options).value();
      ASSERT_EQ(together.size(), examples.size());
      for (size_t e = 0; e < examples.size(); ++e) {
        SCOPED_TRACE(e);
        expect_same(together[e], alone[e]);
      }
      EXPECT_EQ(share, 1);
    }
  }
  EXPECT_EQ(model_->parts().pages.pages_in_use(), 0);
}

TEST_F(EvalModel, WhatTextsShareIsReadOnce) {
  const std::vector<EvalExample> examples = alike(model_->config().vocab_size);
  std::vector<std::vector<int32_t>> prefixes;
  for (const EvalExample& e : examples) {
    size_t last = e.ids.size();
    while (!e.scored[last - 1]) --last;
    for (size_t n = 1; n < last; ++n)
      prefixes.emplace_back(e.ids.begin(), e.ids.begin() + static_cast<ptrdiff_t>(n));
  }
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  const PassRunner& runner = *model_->parts().runner;
  const int64_t lanes = runner.lanes_run(), passes = runner.passes();
  ASSERT_OK(score_depths(*model_, examples, 2));
  EXPECT_EQ(runner.lanes_run() - lanes, 2 * static_cast<int64_t>(prefixes.size()));
  EXPECT_LT(runner.passes() - passes, 2 * 12);
}

TEST_F(EvalModel, FiguresAreThoseOfTheTrace) {
  const DepthScores s = score_depths(*model_, example_, 4).value();
  TraceOptions options;
  options.loops = 4;
  std::vector<float> all;  // (chunk of all tokens: loops, tokens, V)
  options.on_logits = [&](int64_t, int64_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
    return Status();
  };
  const Trace seen = trace(*model_, example_.ids, options).value();
  const auto vocabulary = static_cast<size_t>(model_->config().vocab_size);
  int64_t token = 0;
  for (size_t i = 1; i < example_.ids.size(); ++i) {
    if (!example_.scored[i]) continue;
    for (int64_t t = 0; t < 4; ++t) {
      const TracedLoop& cell = seen.at(t, static_cast<int64_t>(i) - 1);
      const size_t row = static_cast<size_t>(t) * example_.ids.size() + i - 1;
      const std::span<const float> logits(all.data() + row * vocabulary, vocabulary);
      const size_t at = s.at(t, token);
      EXPECT_EQ(s.gate[at], cell.gate_logit);
      EXPECT_EQ(s.difference[at], static_cast<float>(cell.hidden_difference));
      EXPECT_EQ(s.norm[at], static_cast<float>(cell.hidden_norm));
      EXPECT_EQ(s.entropy[at], static_cast<float>(cell.entropy));
      EXPECT_EQ(s.margin[at], static_cast<float>(summarize(logits).margin()));
      EXPECT_EQ(s.best[at], cell.top[0].id);
    }
    ++token;
  }
}

// The engine's own rules, fed with the states and logits of every loop.
TEST_F(EvalModel, ExitsAreThoseOfDecoding) {
  const int64_t loops = 5, trained = 3;
  const DepthScores s = score_depths(*model_, example_, loops).value();
  Model::Parts& parts = model_->parts();
  const PromptResult read = read_prompt(*parts.runner, parts.pages, example_.ids, loops, 7);
  const auto tokens = static_cast<int64_t>(example_.ids.size());
  const int64_t width = model_->config().hidden_size, vocabulary = model_->config().vocab_size;
  std::map<int64_t, int> seen;
  for (const ExitKind kind :
       {ExitKind::kFixed, ExitKind::kGate, ExitKind::kHiddenDifference,
        ExitKind::kRelativeDifference, ExitKind::kMargin, ExitKind::kEntropy}) {
    for (const double threshold :
         {0.0, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0, 2.0, 3.5, 6.0, 9.0}) {
      for (const int64_t min_loops : {1, 2}) {
        for (const int64_t max_loops : {0, 5}) {
          const ExitOptions exit = {kind, threshold, min_loops, max_loops};
          auto rule = make_exit_rule(exit, true);
          if (!rule.ok()) continue;  // a share above 1
          const int64_t last = max_loops == 0 ? trained : max_loops;
          PositionReader reader(model_->config(), **rule, ReadOut::kSelected, min_loops, last);
          int64_t token = 0;
          for (int64_t i = 0; i + 1 < tokens; ++i) {
            if (!example_.scored[static_cast<size_t>(i) + 1]) continue;
            reader.begin();
            for (int64_t t = 0; t < last; ++t) {
              const int64_t row = t * tokens + i;
              if (reader.observe(t + 1, read.normed.data() + row * width,
                                 read.gate[static_cast<size_t>(row)])) {
                const float* logits = read.logits.data() + row * vocabulary;
                const LogitSummary summary = summarize({logits, static_cast<size_t>(vocabulary)});
                reader.judge(logits, summary, test_device());
              }
            }
            EXPECT_EQ(s.exit_loop(token++, exit, trained), reader.loops());
            ++seen[reader.loops()];
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), 5u);  // every depth occurs
}

TEST_F(EvalModel, ExamplesThatCannotBeScoredAreNamed) {
  const auto error = [&](const EvalExample& bad) {
    return score_depths(*model_, std::vector<EvalExample>{example_, bad}, 2).status().message();
  };
  EvalExample bad = example_;
  bad.ids[4] = 61;
  EXPECT_THAT(error(bad), HasSubstr("example 2: token id 61 is out of range"));
  bad = example_;
  bad.scored.assign(20, false);
  EXPECT_THAT(error(bad), HasSubstr("expected a scored token"));
  bad.ids = random_ids(300, 61, 1);
  bad.scored.assign(300, true);
  bad.scored[0] = false;
  EXPECT_THAT(error(bad), HasSubstr("299 tokens exceed the model's 256"));
  EXPECT_THAT(score_depths(*model_, example_, 0).status().message(), HasSubstr("loops is 0"));
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
