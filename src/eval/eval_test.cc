#include <fstream>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "looplm/trace.h"

#include "eval/data_report.h"
#include "eval/depth_scores.h"
#include "eval/examples.h"
#include "eval/text_table.h"
#include "infer/position.h"
#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::HasSubstr;

ExitOptions gate_exit(double threshold) {
  return {.kind = ExitKind::kGate, .threshold = threshold};
}

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
      EXPECT_EQ(s.exit_loop(token, gate_exit(threshold), trained), exit) << threshold;
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
  EXPECT_EQ(a.difference, b.difference);
  EXPECT_EQ(a.norm, b.norm);
  EXPECT_EQ(a.margin, b.margin);
  EXPECT_EQ(a.entropy, b.entropy);
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
      const LoopReading& cell = seen.at(t, static_cast<int64_t>(i) - 1);
      const size_t row = static_cast<size_t>(t) * example_.ids.size() + i - 1;
      const std::span<const float> logits(all.data() + row * vocabulary, vocabulary);
      const size_t at = s.at(t, token);
      EXPECT_EQ(s.gate[at], cell.gate_logit);
      EXPECT_EQ(s.difference[at], cell.hidden_difference);
      EXPECT_EQ(s.norm[at], cell.hidden_norm);
      EXPECT_EQ(s.entropy[at], cell.entropy);
      EXPECT_EQ(s.margin[at], summarize(logits).margin());
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
          const auto rule = make_exit_rule(exit, true);
          if (!rule.ok()) continue;  // a share above 1
          const int64_t last = max_loops == 0 ? trained : max_loops;
          PositionReader reader(model_->config(), rule.value(), ReadOut::kSelected, min_loops,
                                last);
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

// What the engine runs for each token that it writes is what is decided afterwards of the text, for
// thresholds in general position, at both ends of their range, and equal to a figure of the first
// token.
TEST(Exits, OfflineAreThoseOfTheEngine) {
  TempDir dir;
  std::map<ExitKind, std::map<int64_t, int>> seen;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    ModelConfig config = small_config();
    config.loops = 2 + static_cast<int64_t>(seed);
    const std::string path = dir.file(fmt::format("model-{}", seed));
    write_test_checkpoint(path, random_parameters(config, seed), config);
    const auto model = Model::load(path, {.threads = 1}).value();
    const std::vector<int32_t> prompt = random_ids(5, config.vocab_size, seed);
    const auto check = [&](const ExitOptions& exit) {
      GenerateOptions o;
      o.max_tokens = 6;
      o.ignore_eos = true;
      o.exit = exit;
      const Generation text = generate(*model, prompt, o).value();
      EvalExample example;
      example.ids = prompt;
      for (const GeneratedToken& token : text.tokens) example.ids.push_back(token.id);
      example.scored.assign(example.ids.size(), false);
      std::fill(example.scored.begin() + std::ssize(prompt), example.scored.end(), true);
      const int64_t loops = exit.max_loops == 0 ? config.loops : exit.max_loops;
      const DepthScores s = score_depths(*model, example, loops).value();
      for (int64_t i = 0; i < s.tokens; ++i) {
        const int64_t decoded = text.tokens[static_cast<size_t>(i)].loops;
        EXPECT_EQ(s.exit_loop(i, exit, config.loops), decoded)
            << exit_kind_name(exit.kind) << " " << exit.threshold << ", token " << i;
        ++seen[exit.kind][decoded];
      }
      return s;
    };
    for (const ExitRuleInfo& rule : exit_rules()) {
      for (const auto& [min_loops, max_loops] : {std::pair(1, 0), std::pair(2, 7)}) {
        const auto with = [&](double threshold) {
          return ExitOptions{rule.kind, threshold, min_loops, max_loops};
        };
        std::vector<double> thresholds = {0, 1, 0.3, 0.7, rule.threshold};
        // The first token's figures are the same whatever the exit.
        const DepthScores fixed = check({ExitKind::kFixed, 1, min_loops, max_loops});
        ExitRule figures(rule.kind, 0);
        for (int64_t t = 0; t < fixed.loops; ++t) {
          const double f = figures.figure(fixed.figures(t, 0));
          for (const double at : {f, std::nextafter(f, 0), std::nextafter(f, INFINITY)}) {
            if (std::isfinite(at)) thresholds.push_back(at);
          }
        }
        for (const double threshold : thresholds) {
          if (threshold <= rule.most_threshold) check(with(threshold));
        }
      }
    }
  }
  for (const auto& [kind, loops] : seen) {
    EXPECT_GE(loops.size(), kind == ExitKind::kFixed ? 5u : 4u) << exit_kind_name(kind);
  }
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

// As looplm eval --data measures them.
TaskResult measured(const std::vector<DepthScores>& scores, const std::vector<double>& thresholds,
                    int64_t resamples = 1000) {
  const int64_t loops = scores.front().loops;
  const Task task = data_task("d.jsonl", "");
  TaskQuestions questions;
  std::vector<size_t> first = {0};
  for (size_t i = 0; i < scores.size(); ++i) {
    questions.questions.emplace_back().texts.resize(1);
    first.push_back(i + 1);
  }
  TaskResult result;
  result.table = outcome_table(
      scored_outcomes(task, questions, scores, first,
                      depth_settings(depths_to(loops), {{ExitKind::kGate, thresholds}}, {}, loops),
                      loops),
      {.trained_loops = loops, .resamples = resamples});
  return result;
}

struct Row {
  double mean_loops;
  Estimate nll, accuracy, exact;
  std::optional<Estimate> nll_gain, accuracy_gain;
};
std::vector<Row> rows_of(const TaskResult& result) {
  std::vector<Row> rows;
  for (const OutcomeRow& r : result.table.rows) {
    rows.push_back({r.mean_loops, r.values[0], r.values[1], r.values[2], r.gains[0], r.gains[1]});
  }
  return rows;
}

TEST(DepthTable, FiguresOfAHandMadeCase) {
  struct {
    std::vector<Row> rows;
  } const table = {rows_of(measured(hand_made(), {0.5}))};
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_DOUBLE_EQ(table.rows[0].nll.value, 2.5);
  EXPECT_DOUBLE_EQ(table.rows[0].accuracy.value, 0.25);
  EXPECT_DOUBLE_EQ(table.rows[0].exact.value, 0);
  EXPECT_DOUBLE_EQ(table.rows[1].nll.value, 1);
  EXPECT_DOUBLE_EQ(table.rows[1].accuracy.value, 0.75);
  EXPECT_DOUBLE_EQ(table.rows[1].exact.value, 0.5);
  const Row& q = table.rows[2];
  EXPECT_DOUBLE_EQ(q.mean_loops, 1.75);
  EXPECT_DOUBLE_EQ(q.nll.value, 4.5 / 4);
  EXPECT_DOUBLE_EQ(q.accuracy.value, 0.75);
  EXPECT_DOUBLE_EQ(q.nll_gain->value, (0.25 * 2.5 + 0.75 * 1) - 4.5 / 4);
  EXPECT_DOUBLE_EQ(q.accuracy_gain->value, 0.75 - (0.25 * 0.25 + 0.75 * 0.75));
  // Resamples are aa, ab, ba or bb: the extremes are those of each example alone.
  EXPECT_DOUBLE_EQ(table.rows[0].nll.low, 1.5);
  EXPECT_DOUBLE_EQ(table.rows[0].nll.high, 3.5);
  EXPECT_EQ(rows_of(measured(hand_made(), {0.5}))[0].nll.low, table.rows[0].nll.low);
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
    const Estimate accuracy = rows_of(measured(scores, {}, 200))[0].accuracy;
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
    const int64_t loops = s.exit_loop(0, gate_exit(q), 2);
    EXPECT_GE(loops, before);
    before = loops;
  }
  EXPECT_EQ(s.exit_loop(0, gate_exit(0.4999), 2), 1);
  EXPECT_EQ(s.exit_loop(0, gate_exit(0.5001), 2), 2);
}

TEST(DepthTable, InterpolatesBetweenFixedDepths) {
  // Fixed depths of 1, 2 and 3 loops at 4, 2 and 1 nats, and a rule at 0 nats.
  const auto gain_at = [](double mean_loops) {
    std::vector<DepthSetting> settings = depth_settings(depths_to(3), {}, {}, 3);
    settings.push_back({gate_exit(0.5)});
    Outcomes outcomes(settings, {{"nll", MetricColumn::Form::kRatio, 2, 1, 0, false, true}}, 3, 1);
    const double nll[] = {4, 2, 1, 0}, loops[] = {1, 2, 3, mean_loops};
    for (size_t s = 0; s < 4; ++s) {
      outcomes.at(0, s)[Outcomes::kLoops] = loops[s];
      outcomes.at(0, s)[Outcomes::kTokens] = 1;
      outcomes.at(0, s)[2] = nll[s];
    }
    return outcome_figures(outcomes, std::vector<uint32_t>{0})[3].gains[0];
  };
  EXPECT_DOUBLE_EQ(gain_at(1).value(), 4);
  EXPECT_DOUBLE_EQ(gain_at(1.25).value(), 3.5);
  EXPECT_DOUBLE_EQ(gain_at(3).value(), 1);
  EXPECT_EQ(gain_at(3.5), std::nullopt);  // outside what was measured
}

TEST(Report, TablesFitTheWidthInParts) {
  const TableCells rows = {{"exit", "loops", "nll", "\u03b2"}, {"q", "1", "2.5", ""}};
  const std::string whole = text_table(rows, TableFormat::kText);
  EXPECT_EQ(whole, "exit  loops  nll  \u03b2\nq         1  2.5\n");
  EXPECT_EQ(text_table(rows, TableFormat::kText, 19), whole);
  EXPECT_EQ(text_table(rows, TableFormat::kText, 18),
            "exit  loops  nll\nq         1  2.5\n\nexit  \u03b2\nq\n");
  EXPECT_EQ(text_table(rows, TableFormat::kText, 3),
            "exit  loops\nq         1\n\nexit  nll\nq     2.5\n\nexit  \u03b2\nq\n");
  EXPECT_EQ(text_table(rows, TableFormat::kMarkdown, 3), text_table(rows, TableFormat::kMarkdown));
}

TEST(Report, TablesNameEveryDepthAndThreshold) {
  const TaskResult result = measured(hand_made(), {0.5});
  const std::string text = data_text(result, TableFormat::kText);
  EXPECT_THAT(text, HasSubstr("1 loop "));
  EXPECT_THAT(text, HasSubstr("2 loops, as trained"));
  EXPECT_THAT(text, HasSubstr("q 0.50"));
  EXPECT_THAT(text, HasSubstr("75.0%"));
  for (const char* title :
       {"mean loops", "nll (nats)", "accuracy", "exact match", "nll gain", "(points)"}) {
    EXPECT_THAT(text, HasSubstr(title));
  }
  EXPECT_THAT(data_text(result, TableFormat::kMarkdown), HasSubstr("|---|---:|"));
  const OrderedJson json = data_json(result);
  EXPECT_EQ(json["examples"], 2);
  EXPECT_EQ(json["tokens"], 4);
  EXPECT_EQ(json["rows"][0]["loops"], 1);
  EXPECT_EQ(json["rows"][2]["exit"], "q");
  EXPECT_EQ(json["rows"][2]["threshold"], 0.5);
  EXPECT_EQ(json["rows"][1]["accuracy"]["value"], 0.75);
  EXPECT_EQ(json["rows"][1]["exact_match"]["value"], 0.5);
  EXPECT_TRUE(json["rows"][2].contains("nll_gain") && json["rows"][2].contains("accuracy_gain"));
}

TEST(Report, GroupsStandInTheOrderOfTheirValues) {
  TaskResult result = measured(hand_made(), {0.5});
  result.category = "hops";
  for (const char* name : {"b", "10", "9", "a", "-1.5"}) {
    result.categories.push_back({name, result.table, {}, {}});
  }
  std::string order;
  const OrderedJson json = data_json(result);
  for (const auto& [name, group] : json["groups"].items()) order += name + " ";
  EXPECT_EQ(order, "-1.5 9 10 a b ");
  EXPECT_THAT(
      data_text(result, TableFormat::kText),
      testing::AllOf(HasSubstr("after each loop, by hops"), HasSubstr("mean loops, q 0.50")));
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

TEST_F(Examples, TextBeginsAsAPromptDoes) {
  write_byte_tokenizer(dir_.file("."), 0);
  Json file = read_json_file(dir_.file("tokenizer.json")).value();
  file["post_processor"] = Json::parse(R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<b>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<b>"}}],
      "special_tokens": {"<b>": {"ids": [0]}}})");
  const auto tokenizer = Tokenizer::parse(file.dump(), "test").value();
  const std::vector<EvalExample> examples =
      read("{\"text\": \"ab\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n", tokenizer.get())
          .value();
  for (const EvalExample& example : examples) {
    EXPECT_EQ(example.ids, tokenizer->encode("ab").value());
    EXPECT_EQ(example.ids[0], 0);
    EXPECT_EQ(example.ids.size(), 3u) << "no end behind what goes on";
  }
  EXPECT_THAT(examples[0].scored, testing::ElementsAre(false, true, true));
  EXPECT_THAT(examples[1].scored, testing::ElementsAre(false, false, true));

  file["model"]["vocab"].erase("b");
  const auto lossy = Tokenizer::parse(file.dump(), "test").value();
  EXPECT_ERROR_SAYS(read("{\"text\": \"a\"}\n{\"text\": \"ab\"}", lossy.get()), "x.jsonl:2",
                    "token for 'b'");
}

TEST_F(Examples, ChatsAreScoredByTheModelsTemplate) {
  write_byte_tokenizer(dir_.file("."), 0);
  const auto tokenizer = Tokenizer::load(dir_.file(".")).value();
  ChatFiles files;
  files.templates.push_back({"default", "{% for m in messages %}{{ m.content }}{% endfor %}"});
  const Result<ChatTemplate> chat = ChatTemplate::create(files, *tokenizer);
  ASSERT_OK(chat);
  const auto of = [&](const std::string& text) {
    std::ofstream(dir_.file("x.jsonl")) << text;
    return read_examples(dir_.file("x.jsonl"), tokenizer.get(),
                         {.vocab_size = 300, .max_positions = 6}, &chat);
  };
  auto examples = of(R"({"messages": [{"role": "user", "content": "ab"},)"
                     R"( {"role": "assistant", "content": "c"}], "hops": 2})");
  ASSERT_OK(examples);
  EXPECT_EQ((*examples)[0].ids, tokenizer->encode("abc").value());
  EXPECT_THAT((*examples)[0].scored, testing::ElementsAre(false, false, true));
  EXPECT_EQ((*examples)[0].fields["hops"], 2);
  EXPECT_ERROR_SAYS(of(R"({"prompt": "a", "chosen": "b", "rejected": "c"})"), "x.jsonl:1",
                    "preference");
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
