#include "eval/task_run.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <gmock/gmock.h>

#include "base/file.h"
#include "eval/task_document.h"
#include "eval/task_report.h"
#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Four questions: what one loop and two loops say of each, and what a rule that stops half of them
// after one loop does.
Outcomes hand_made() {
  std::vector<DepthSetting> settings = {{{.kind = ExitKind::kFixed, .max_loops = 1}},
                                        {{.kind = ExitKind::kFixed, .max_loops = 2}},
                                        {{.kind = ExitKind::kGate, .threshold = 0.5}}};
  std::vector<MetricColumn> metrics = {
      {"acc", MetricColumn::Form::kRatio, 3, 2},
      {"perplexity", MetricColumn::Form::kExpRatio, 4, 1, 0, false, true},
      {"bits", MetricColumn::Form::kBitsRatio, 4, 5, 0, false, true},
      {"f1", MetricColumn::Form::kMacroF1, 6, 0, 2}};
  Outcomes outcomes(settings, metrics, 12, 4);
  const double right[3][4] = {{1, 0, 0, 0}, {1, 1, 1, 0}, {1, 0, 1, 1}};
  const double nll[3][4] = {{2, 2, 2, 2}, {1, 1, 1, 1}, {1, 2, 1, 1}};
  const double loops[3][4] = {{1, 1, 1, 1}, {2, 2, 2, 2}, {1, 1, 2, 2}};
  for (size_t q = 0; q < 4; ++q) {
    for (size_t s = 0; s < 3; ++s) {
      const size_t truth = q % 2;  // class
      const size_t said = right[s][q] > 0 ? truth : 1 - truth;
      const std::span<double> to = outcomes.at(q, s);
      to[Outcomes::kLoops] = 2 * loops[s][q];
      to[Outcomes::kTokens] = 2;
      to[2] = 1;
      to[3] = right[s][q];
      to[4] = nll[s][q];
      to[5] = 4;  // bytes
      to[6 + 3 * said] += right[s][q];
      to[6 + 3 * said + 1] += 1;
      to[6 + 3 * truth + 2] += 1;
    }
  }
  return outcomes;
}

TEST(Outcomes, FiguresOfAHandMadeCase) {
  const OutcomeTable t = outcome_table(hand_made(), {.trained_loops = 2, .resamples = 200});
  ASSERT_EQ(t.rows.size(), 3u);
  EXPECT_EQ(t.questions, 4);
  EXPECT_EQ(t.tokens, 8);
  EXPECT_DOUBLE_EQ(t.rows[0].values[0].value, 0.25);
  EXPECT_DOUBLE_EQ(t.rows[1].values[0].value, 0.75);
  EXPECT_DOUBLE_EQ(t.rows[0].values[1].value, std::exp(1.0));
  EXPECT_DOUBLE_EQ(t.rows[1].values[2].value, 0.25 / std::log(2.0));
  // Two loops: class 0 is said for questions 0, 2 and 3, class 1 for question 1.
  EXPECT_DOUBLE_EQ(t.rows[1].values[3].value, (2 * 2.0 / 5 + 2 * 1.0 / 3) / 2);
  EXPECT_DOUBLE_EQ(t.rows[2].mean_loops, 1.5);
  EXPECT_FALSE(t.rows[0].gains[0].has_value());
  EXPECT_DOUBLE_EQ(t.rows[2].gains[0]->value, 0.75 - 0.5);
  EXPECT_NEAR(t.rows[2].gains[2]->value, (0.375 - 0.3125) / std::log(2.0), 1e-12);
  EXPECT_LE(t.rows[0].values[0].low, 0.25);
  EXPECT_GE(t.rows[0].values[0].high, 0.25);
  EXPECT_LT(t.rows[0].values[0].low, t.rows[0].values[0].high);
  EXPECT_EQ(t.fixed(2), &t.rows[1]);
  EXPECT_EQ(t.fixed(3), nullptr);
}

TEST(Outcomes, CategoriesAreOrderedByWhatDepthGains) {
  const auto categories =
      outcome_categories(hand_made(), {"a", "b", "a", "b"}, {.trained_loops = 2, .resamples = 0});
  ASSERT_EQ(categories.size(), 2u);
  EXPECT_EQ(categories[0].name, "b");
  EXPECT_TRUE(std::isinf(*categories[0].gain));  // from 0 to 50%
  EXPECT_DOUBLE_EQ(*categories[0].absolute, 0.5);
  EXPECT_DOUBLE_EQ(categories[0].table.rows[1].values[0].value, 0.5);
  EXPECT_EQ(categories[1].name, "a");
  EXPECT_DOUBLE_EQ(*categories[1].gain, 1.0);  // from 50% to 100%
}

TEST(Outcomes, ThoseThatRiseFrom0AreOrderedByHowFar) {
  Outcomes outcomes(
      {{{.kind = ExitKind::kFixed, .max_loops = 1}}, {{.kind = ExitKind::kFixed, .max_loops = 2}}},
      {{"acc", MetricColumn::Form::kRatio, 3, 2}}, 4, 4);
  const double first[] = {0, 0, 0.5, 0}, last[] = {0.5, 1, 1, 0};
  for (size_t q = 0; q < 4; ++q) {
    for (size_t s = 0; s < 2; ++s) {
      const std::span<double> to = outcomes.at(q, s);
      to[Outcomes::kLoops] = static_cast<double>(s + 1);
      to[Outcomes::kTokens] = to[2] = 1;
      to[3] = s == 0 ? first[q] : last[q];
    }
  }
  const auto categories = outcome_categories(outcomes, {"half", "whole", "twice", "none"},
                                             {.trained_loops = 2, .resamples = 0});
  std::vector<std::string> names;
  for (const OutcomeCategory& c : categories) names.push_back(c.name);
  EXPECT_THAT(names, testing::ElementsAre("whole", "half", "twice", "none"));
}

TEST(Outcomes, NamesTellThresholdsApart) {
  const auto name = [](ExitKind kind, double threshold) {
    return DepthSetting{{.kind = kind, .threshold = threshold}}.name();
  };
  EXPECT_EQ(name(ExitKind::kGate, 0.5), "q 0.50");
  EXPECT_EQ(name(ExitKind::kGate, 0.123), "q 0.123");
  EXPECT_EQ(name(ExitKind::kGate, 0.124), "q 0.124");
  EXPECT_EQ(name(ExitKind::kEntropy, 0.3), "entropy 0.3");
  EXPECT_EQ(name(ExitKind::kMargin, 0.99953), "margin 0.99953");
  EXPECT_EQ(name(ExitKind::kFixed, 1), "0 loops");
}

// A task on a model of random weights, whose figures are worked out again from the scores of each
// text alone.
class TaskRun : public testing::Test {
 protected:
  void SetUp() override {
    ModelConfig config = small_config();
    config.vocab_size = 300;
    config.max_positions = 128;
    write_test_checkpoint(dir_.file("model"), random_parameters(config, 5), config);
    write_byte_tokenizer(dir_.file("model"), 20);
    model_ = Model::load(dir_.file("model"), {.threads = 1}).value();
    std::string lines;
    for (int i = 0; i < 12; ++i) {
      lines += fmt::format(
          "{{\"q\": \"the loop {}\", \"o\": [\"one\", \"another {}\", \"gate\"], \"a\": {}, "
          "\"c\": \"{}\", \"w\": \"the exit {}\"}}\n",
          i * 7, i, i % 3, i % 2 == 0 ? "even" : "odd", i);
    }
    std::ofstream(dir_.file("d.jsonl")) << lines;
  }

  Task task(const std::string& text) {
    return parse_task("name: t\ndata: d.jsonl\n" + text, dir_.file("t.yaml")).value();
  }
  TaskRunOptions options() {
    TaskRunOptions o;
    o.loops = 5;
    o.generate_loops = {1, 3};
    o.exits = {{ExitKind::kGate, {0.4, 0.8}, false}, {ExitKind::kHiddenDifference, {}, true}};
    o.generate_exits = {{ExitKind::kGate, {0.5}, false}};
    o.table.resamples = 20;
    return o;
  }

  TempDir dir_;
  std::unique_ptr<Model> model_;
};

TEST_F(TaskRun, ChoicesAreDecidedByEachTokensOwnExit) {
  const Task t = task(R"(kind: multiple_choice
prompt: "{{q}}:"
choices: {list: o, text: " {{choice}}"}
answer: {field: a}
category: c
metrics: [acc, acc_bytes, acc_norm_tokens, nll, acc_norm]
few_shot: {count: 2}
)");
  const TaskResult result = run_task(*model_, t, options()).value();
  ASSERT_EQ(result.table.rows.size(), 5u + 2 + 3);
  EXPECT_EQ(result.texts, 36);
  EXPECT_EQ(result.categories.size(), 2u);

  const TaskQuestions questions = task_questions(t, *model_, {}).value();
  for (const OutcomeRow& row : result.table.rows) {
    double right[4] = {}, loops = 0, tokens = 0, nll = 0, nll_tokens = 0;
    for (const TaskQuestion& q : questions.questions) {
      std::vector<double> total[4];
      for (const ScoredText& text : q.texts) {
        const DepthScores s = score_depths(*model_, text.example, 5).value();
        double sum = 0;
        for (int64_t i = 0; i < s.tokens; ++i) {
          int64_t exit = row.setting.exit.max_loops;
          double survival = 1;
          for (int64_t l = 1; l < row.setting.exit.max_loops; ++l) {
            const size_t cell = s.at(l - 1, i);
            survival *= 1 - 1 / (1 + std::exp(-static_cast<double>(s.gate[cell])));
            const bool gate = row.setting.exit.kind == ExitKind::kGate &&
                              1 - survival >= row.setting.exit.threshold;
            const bool close = row.setting.exit.kind == ExitKind::kHiddenDifference && l > 1 &&
                               s.difference[cell] < row.setting.exit.threshold;
            if (gate || close) {
              exit = l;
              break;
            }
          }
          sum += static_cast<double>(s.nll[s.at(exit - 1, i)]);
          loops += static_cast<double>(exit);
          ++tokens;
        }
        total[0].push_back(sum);
        total[1].push_back(sum / static_cast<double>(text.bytes));
        total[2].push_back(sum / static_cast<double>(s.tokens));
        total[3].push_back(sum / static_cast<double>(text.characters));
        if (total[0].size() == q.right + 1) {
          nll += sum;
          nll_tokens += static_cast<double>(s.tokens);
        }
      }
      for (int m = 0; m < 4; ++m) {
        const auto best = std::min_element(total[m].begin(), total[m].end()) - total[m].begin();
        right[m] += static_cast<size_t>(best) == q.right;
      }
    }
    SCOPED_TRACE(row.setting.name());
    EXPECT_DOUBLE_EQ(row.mean_loops, loops / tokens);
    for (size_t m = 0; m < 3; ++m) EXPECT_DOUBLE_EQ(row.values[m].value, right[m] / 12);
    EXPECT_NEAR(row.values[3].value, nll / nll_tokens, 1e-9);
    EXPECT_DOUBLE_EQ(row.values[4].value, right[3] / 12);
    EXPECT_GE(row.mean_loops, 1);
  }
  // The automatic thresholds stop some tokens early, and more of them the higher they are.
  EXPECT_LT(result.table.rows[9].mean_loops, result.table.rows[7].mean_loops);
}

TEST_F(TaskRun, LengthsOfChoicesAreCharactersWithoutTheSpaceBefore) {
  const Task t = task(
      "kind: multiple_choice\nprompt: '{{q}}:'\nchoices: [' caf\u00e9', 'x', '  y']\n"
      "answer: {field: a}\n");
  const auto texts = task_questions(t, *model_, {}).value().questions[0].texts;
  EXPECT_EQ(texts[0].characters, 4);
  EXPECT_EQ(texts[0].bytes, 6);
  EXPECT_EQ(texts[1].characters, 1);
  EXPECT_EQ(texts[2].characters, 2);
}

TEST_F(TaskRun, PromptsHoldExamplesThatAreNotTheQuestion) {
  const Task t = task(R"(kind: multiple_choice
preamble: "Choose.\n"
prompt: "{{q}}:"
choices: {list: o, text: " {{choice}}"}
answer: {field: a}
few_shot: {count: 2, separator: "\n"}
)");
  const auto questions = task_questions(t, *model_, {}).value().questions;
  EXPECT_EQ(questions[0].prompt, "Choose.\nthe loop 7: another 1\nthe loop 14: gate\nthe loop 0:");
  EXPECT_EQ(questions[5].prompt, "Choose.\nthe loop 0: one\nthe loop 7: another 1\nthe loop 35:");
  EXPECT_EQ(questions[5].right, 2u);
  EXPECT_EQ(questions[5].texts[1].bytes, 10);
  const EvalExample& e = questions[5].texts[1].example;
  std::vector<int32_t> scored;
  for (size_t i = 0; i < e.ids.size(); ++i) {
    if (e.scored[i]) scored.push_back(e.ids[i]);
  }
  EXPECT_EQ(model_->tokenizer()->decode(scored), " another 5");
}

TEST_F(TaskRun, ExamplesMakeRoomForTheQuestion) {
  const auto with = [&](int count) {
    return task(
        fmt::format("kind: multiple_choice\nprompt: '{{{{q}}}}:'\n"
                    "choices: [' a', ' b', ' c']\nanswer: {{field: a}}\n"
                    "few_shot: {{count: {}}}\n",
                    count));
  };
  const TaskQuestions all = task_questions(with(11), *model_, {}).value();
  EXPECT_EQ(all.shortened, 12);
  EXPECT_GT(all.questions[0].shots, 2);
  EXPECT_LT(all.questions[0].shots, 11);
  // The last examples stay.
  EXPECT_THAT(all.questions[0].prompt, HasSubstr("the loop 77: c\n\nthe loop 0:"));
  EXPECT_EQ(task_questions(with(2), *model_, {}).value().shortened, 0);
  const Task bad = task(
      "kind: generate\nprompt: '{{q}}'\nanswer: {text: '{{a}}'}\n"
      "generation: {max_tokens: 200}\n");
  EXPECT_THAT(task_questions(bad, *model_, {}).status().message(),
              AllOf(HasSubstr("d.jsonl:1"), HasSubstr("generation.max_tokens 200"),
                    HasSubstr("128 positions")));
  // An example that is the question itself is left out for another reason.
  const Task own = task(R"(kind: multiple_choice
prompt: "{{q}}:"
choices: {list: o}
answer: {field: a}
few_shot: {examples: [{q: the loop 7, o: [x, y, z], a: 1}, {q: other, o: [x, y, z], a: 2}]}
)");
  const TaskQuestions asked = task_questions(own, *model_, {}).value();
  EXPECT_EQ(asked.questions[1].shots, 1);
  EXPECT_EQ(asked.shortened, 0);
}

TEST_F(TaskRun, CleaningGoesOnPastEmptyMatches) {
  const Task t = task(
      "kind: multiple_choice\nprompt: '{{q}}:'\nchoices: [' a', ' b', ' c']\n"
      "answer: {field: a}\nclean: [{pattern: 'o*', with: '-'}]\n");
  EXPECT_EQ(task_questions(t, *model_, {}).value().questions[0].prompt, "-t-h-e- -l--p- -0-:-");
}

TEST_F(TaskRun, AutomaticThresholdsSeeEveryLoopThatARuleCanEndAt) {
  // Two loops: a margin ends after the first, a difference never before the last.
  DepthScores s;
  s.tokens = 3;
  s.margin = {0.1, 0.99953, 0.5, 0.9, 0.9, 0.9};
  s.difference = {1, 2, 3, 4, 5, 6};
  const auto with = [&](ExitKind kind) {
    std::vector<std::string> names;
    for (const DepthSetting& setting :
         depth_settings({}, {{kind, {}, true}}, std::span(&s, 1), 2)) {
      names.push_back(setting.name());
    }
    return names;
  };
  EXPECT_THAT(with(ExitKind::kMargin), testing::ElementsAre("margin 0.1", "margin 0.5"));
  EXPECT_THAT(with(ExitKind::kHiddenDifference), testing::ElementsAre());
}

TEST_F(TaskRun, WindowsScoreEveryTokenOnce) {
  const Task whole = task(
      "kind: perplexity\ntarget: '{{w}} {{q}} {{w}} {{q}}'\n"
      "metrics: [perplexity, bits_per_byte, token_acc, exact_match, word_perplexity]\n");
  const auto one = task_questions(whole, *model_, {}).value().questions[3];
  ASSERT_EQ(one.texts.size(), 1u);
  for (const int overlap : {0, 3, 6}) {
    const Task cut =
        task(fmt::format("kind: perplexity\ntarget: '{{{{w}}}} {{{{q}}}} {{{{w}}}} "
                         "{{{{q}}}}'\nwindow: 7\noverlap: {}\n",
                         overlap));
    const auto parts = task_questions(cut, *model_, {}).value().questions[3].texts;
    EXPECT_GT(parts.size(), 2u);
    std::vector<int32_t> scored;
    int64_t bytes = 0;
    for (const ScoredText& part : parts) {
      EXPECT_LE(part.example.ids.size(), 8u);
      bytes += part.bytes;
      for (size_t i = 0; i < part.example.ids.size(); ++i) {
        if (part.example.scored[i]) scored.push_back(part.example.ids[i]);
      }
    }
    EXPECT_EQ(scored, std::vector<int32_t>(one.texts[0].example.ids.begin() + 1,
                                           one.texts[0].example.ids.end()));
    EXPECT_EQ(bytes, one.texts[0].bytes);
  }
  const TaskResult result = run_task(*model_, whole, options()).value();
  const OutcomeRow& row = result.table.rows[2];
  // perplexity = 2 ^ (bits per byte * bytes / tokens)
  int64_t bytes = 0;
  const TaskQuestions all = task_questions(whole, *model_, {}).value();
  for (const TaskQuestion& q : all.questions) bytes += q.texts[0].bytes;
  EXPECT_NEAR(
      std::log2(row.values[0].value),
      row.values[1].value * static_cast<double>(bytes) / static_cast<double>(result.table.tokens),
      1e-9);
  EXPECT_NEAR(std::log(row.values[4].value),
              std::log(row.values[0].value) * static_cast<double>(result.table.tokens) / 12, 1e-6);
}

TEST_F(TaskRun, GeneratedTextIsThatOfGenerateAtEverySetting) {
  const Task t = task(R"(kind: generate
prompt: "{{q}}"
answer: {text: "{{a}}"}
extract: [{name: all}, {name: number, number: first}]
compare: number
generation: {max_tokens: 6, temperature: 0.7, samples: 2, seed: 4}
metrics: [exact_match, any_sample]
)");
  const TaskResult a = run_task(*model_, t, options()).value();
  ASSERT_EQ(a.saved.size(), 3u);
  TaskRunOptions alone = options();
  alone.requests_at_once = 1;
  const TaskResult b = run_task(*model_, t, alone).value();
  const TaskQuestions questions = task_questions(t, *model_, {}).value();
  for (size_t s = 0; s < 3; ++s) {
    ASSERT_EQ(a.saved[s].size(), 24u);
    double loops = 0, tokens = 0;
    for (size_t i = 0; i < 24; ++i) {
      EXPECT_EQ(a.saved[s][i].question, i / 2);
      EXPECT_EQ(a.saved[s][i].fields, b.saved[s][i].fields);
      GenerateOptions o;
      o.max_tokens = 6;
      o.exit = a.table.rows[s].setting.exit;
      o.sampling = t.generation.sampling;
      o.sampling.seed = Rng(4, i).next_u64();
      const Generation one = generate(*model_, questions.questions[i / 2].ids, o).value();
      EXPECT_EQ(a.saved[s][i].fields["output"], one.text);
      for (const GeneratedToken& token : one.tokens) loops += static_cast<double>(token.loops);
      tokens += static_cast<double>(one.tokens.size());
    }
    EXPECT_DOUBLE_EQ(a.table.rows[s].mean_loops, loops / tokens);
  }
  EXPECT_EQ(a.table.metrics[1].name, "exact_match (number)");
  EXPECT_EQ(a.table.rows[0].mean_loops, 1);
}

TEST_F(TaskRun, AStopStringThatIsASpecialTokenStops) {
  const Tokenizer& tokenizer = *model_->tokenizer();
  int32_t special = 0;
  while (!tokenizer.is_special(special)) ++special;
  GenerateOptions o;
  o.max_tokens = 5;
  o.ignore_eos = true;
  o.sampling.logit_bias[special] = 1000;
  const Generation all = generate(*model_, std::vector<int32_t>{5, 6}, o).value();
  EXPECT_EQ(all.finish_reason, FinishReason::kLength);
  o.stop_strings = {"never", std::string(tokenizer.bytes(special))};
  const Generation stopped = generate(*model_, std::vector<int32_t>{5, 6}, o).value();
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.tokens.size(), 1u);
  EXPECT_EQ(stopped.text, "");
}

TEST_F(TaskRun, ContextsShareTheirTarget) {
  const Task t = task(R"(kind: multiple_choice
contexts: ["{{o.0}}", "{{o.1}} more"]
target: " {{w}}"
answer: {field: a}
where: [{field: a, is: [0, 1]}]
few_shot: {count: 1, separator: " "}
)");
  const auto q = task_questions(t, *model_, {}).value().questions[2];
  std::vector<std::string> scored;
  for (const ScoredText& text : q.texts) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.example.ids.size(); ++i) {
      if (text.example.scored[i]) ids.push_back(text.example.ids[i]);
    }
    scored.push_back(model_->tokenizer()->decode(ids));
    EXPECT_THAT(model_->tokenizer()->decode(text.example.ids), HasSubstr("one the exit 0 "));
  }
  EXPECT_EQ(scored[0], " the exit 3");
  EXPECT_EQ(scored[0], scored[1]);
}

TEST_F(TaskRun, ErrorsNameTheRecord) {
  const auto fails = [&](const std::string& text) {
    return run_task(*model_, task(text), options()).status().message();
  };
  EXPECT_THAT(fails("kind: classification\nprompt: p\nchoices: [' x', ' y']\nanswer: {field: a}\n"),
              AllOf(HasSubstr("d.jsonl:3"), HasSubstr("'2'"), HasSubstr("0 to 1")));
  EXPECT_THAT(fails("kind: multiple_choice\nprompt: '{{gone}}'\nchoices: [' x', ' y', ' z']\n"
                    "answer: {field: a}\n"),
              AllOf(HasSubstr("d.jsonl:1"), HasSubstr("'gone'")));
  EXPECT_THAT(fails("kind: multiple_choice\nprompt: p\nchoices: [' x', '', ' z']\n"
                    "answer: {field: a}\n"),
              HasSubstr("adds no token"));
  EXPECT_THAT(fails("kind: generate\nprompt: p\nanswer: {text: '{{q}}', pattern: 'nope'}\n"),
              HasSubstr("does not hold"));
  EXPECT_THAT(fails("kind: generate\nprompt: p\nanswer: {text: '{{q}}', pattern: '(z?)'}\n"
                    "compare: math\n"),
              AllOf(HasSubstr("d.jsonl:1"), HasSubstr("the right answer is empty")));
  EXPECT_THAT(fails("kind: multiple_choice\nprompt: '{{q|after:_}}'\nchoices: [' x', ' y', ' z']\n"
                    "answer: {field: a}\n"),
              AllOf(HasSubstr("d.jsonl:1"), HasSubstr("'q' is 'the loop 0'"), HasSubstr("'_'")));
  std::ofstream(dir_.file("empty.jsonl")) << "\n";
  Task empty = task("kind: generate\nprompt: p\nanswer: {text: b}\n");
  empty.data = {"empty.jsonl"};
  EXPECT_THAT(task_questions(empty, *model_, {}).status().message(), HasSubstr("empty.jsonl"));
}

TEST_F(TaskRun, ReportsSayWhatWasMeasured) {
  const Task t = task(
      "kind: classification\nprompt: '{{q}}'\nchoices: [' a', ' b', ' c']\n"
      "answer: {field: a}\ncategory: c\n");
  const TaskResult r = run_task(*model_, t, options()).value();
  const std::string text = task_text(r, TableFormat::kText);
  for (const char* part : {"1 loop ", "3 loops, as trained", "5 loops", "q 0.40", "difference ",
                           "macro_f1", "acc gain", "even", "12 questions, 36 texts"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(task_text(r, TableFormat::kMarkdown), HasSubstr("| exit"));
  const OrderedJson json = task_json(r);
  EXPECT_EQ(json["rows"].size(), 10u);
  EXPECT_EQ(json["rows"][5]["exit"], "q");
  EXPECT_EQ(json["rows"][0]["acc"]["value"], r.table.rows[0].values[0].value);
  EXPECT_EQ(json["categories"].size(), 2u);
  const std::string csv = tasks_csv({r});
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 10 * 2 * 3);
  EXPECT_THAT(csv, HasSubstr("t,,fixed,,1,1,12,acc,"));
}

TEST_F(TaskRun, ThePageHoldsTablesAndPlots) {
  const Task t = task(
      "kind: classification\nprompt: '{{q}}'\nchoices: [' a', ' b', ' c']\n"
      "answer: {field: a}\ncategory: c\n");
  const TaskResult r = run_task(*model_, t, options()).value();
  const Document document = tasks_document("the model", {r, r});
  const auto figures =
      std::count_if(document.blocks.begin(), document.blocks.end(),
                    [](const auto& block) { return std::holds_alternative<Figure>(block); });
  EXPECT_EQ(figures, 4);
  const Figure* depth = nullptr;
  for (const auto& block : document.blocks) {
    if (depth == nullptr) depth = std::get_if<Figure>(&block);
  }
  ASSERT_EQ(depth->series.size(), 3u);  // fixed, gate, difference
  EXPECT_EQ(depth->series[0].x, (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_DOUBLE_EQ(depth->series[0].y[2], 100 * r.table.rows[2].values[0].value);
  EXPECT_DOUBLE_EQ(depth->series[1].x[1], r.table.rows[6].mean_loops);
  ASSERT_OK(write_html(document, dir_.file("page.html")));
  const std::string page = read_text_file(dir_.file("page.html")).value();
  for (const char* part : {"<svg", "the model", "macro_f1", "trained depth", "All tasks"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
}

}  // namespace
}  // namespace looplm
