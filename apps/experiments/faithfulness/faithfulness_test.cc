// Tasks, observations and interventions, on the bundled model and on small tables.
#include <cmath>
#include <set>

#include <gmock/gmock.h>

#include "looplm/interchange.h"

#include "eval/arithmetic.h"
#include "experiments/faithfulness/mediation.h"
#include "experiments/faithfulness/observation.h"
#include "support/status_matchers.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kHeader = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n";

bool go_on(double) { return true; }

const std::unique_ptr<Model>& bundled() {
  static const auto model = [] {
    ModelOptions options;
    options.threads = 1;
    return Model::load(std::string(LOOPLM_GOLDEN_DIR) + "/../../models/small", options).value();
  }();
  return model;
}

TEST(QuestionPairs, FieldsMayBeQuotedAndColumnsMayMove) {
  const auto pairs = parse_question_pairs(
      std::string(kHeader) +
          "0\t1\t2\tWhy?\t\"Say \"\"why\"\"\tnow\nor never\"\t1\r\n1\t3\t4\t\tx\t0",
      0, "t");
  ASSERT_OK(pairs.status());
  ASSERT_EQ(pairs.value().size(), 2u);
  EXPECT_EQ(pairs.value()[0].question1, "Why?");
  EXPECT_EQ(pairs.value()[0].question2, "Say \"why\"\tnow\nor never");
  EXPECT_TRUE(pairs.value()[0].duplicate);
  EXPECT_EQ(pairs.value()[1].question1, "");
  EXPECT_FALSE(pairs.value()[1].duplicate);
  const auto moved = parse_question_pairs("is_duplicate\tquestion2\tquestion1\n1\tb\ta\n", 0, "t");
  EXPECT_EQ(moved.value()[0].question1, "a");
  EXPECT_EQ(
      parse_question_pairs(std::string(kHeader) + "0\t1\t2\ta\tb\t1\n1\t1\t2\ta\tb\t1\n", 1, "t")
          .value()
          .size(),
      1u);
}

TEST(QuestionPairs, WhatIsWrongIsNamed) {
  const auto parse = [](const std::string& text) { return parse_question_pairs(text, 0, "q.tsv"); };
  EXPECT_ERROR_SAYS(parse(""), "q.tsv is empty");
  EXPECT_ERROR_SAYS(parse("id\tquestion1\tquestion2\n"), "no column is_duplicate");
  EXPECT_ERROR_SAYS(parse(kHeader), "holds no pairs");
  EXPECT_ERROR_SAYS(parse(std::string(kHeader) + "0\t1\t2\ta\t1\n"), "record 1 has 5 fields", "6");
  EXPECT_ERROR_SAYS(parse(std::string(kHeader) + "0\t1\t2\ta\tb\tyes\n"), "'yes'", "0 or 1");
  EXPECT_ERROR_SAYS(parse(std::string(kHeader) + "0\t1\t2\t\"a\tb\t0\n"), "not closed");
  EXPECT_ERROR_SAYS(parse(std::string(kHeader) + "0\t1\t2\t\"a\"x\tb\t0\n"), "closing quotation");
}

TEST(ArithmeticTask, CounterfactualsDifferInOneOperandAndInTheAnswer) {
  const Tokenizer& tokenizer = *bundled()->tokenizer();
  const AnswerTask task = arithmetic_task(tokenizer, {.examples = 200}).value();
  // Of the 24 held-out sums of one operation all, once, and 25 of each longer kind.
  ASSERT_EQ(task.items.size(), 24u + 7 * 25);
  std::set<std::vector<int32_t>> different;
  for (const AnswerItem& item : task.items) different.insert(item.ids);
  EXPECT_EQ(different.size(), task.items.size());
  int given = 0;
  for (const AnswerItem& item : task.items) {
    const std::string prompt = tokenizer.decode(item.ids);
    EXPECT_EQ(arithmetic_value(prompt), item.truth);
    EXPECT_EQ(arithmetic_split(prompt), ArithmeticSplit::kHeldOut);
    if (item.counterfactual.empty()) continue;
    ++given;
    const std::string other = tokenizer.decode(item.counterfactual);
    ASSERT_EQ(other.size(), prompt.size());
    EXPECT_NE(arithmetic_value(other), item.truth);
    int changed = 0;
    for (size_t i = 0; i < prompt.size(); ++i) {
      if (prompt[i] == other[i]) continue;
      EXPECT_EQ(i % 2, 0u);
      ++changed;
    }
    EXPECT_EQ(changed, 1);
  }
  EXPECT_GT(given, 190);
  EXPECT_EQ(task.choices.labels[4], 0);
  EXPECT_EQ(task.choices.labels[5], 1);
  EXPECT_ERROR_SAYS(arithmetic_task(tokenizer, {.min_operations = 9}), "9..8");
}

TEST(PairTask, FillsTheTemplateAndReadsAnswers) {
  const Tokenizer& tokenizer = *bundled()->tokenizer();
  const std::vector<QuestionPair> pairs = {{"a {question2}?", "b?", true}, {"c?", "d?", false}};
  PairTaskOptions options;
  options.prompt = "{question1}|{question2}=";
  const AnswerTask task = pair_task(tokenizer, pairs, options).value();
  EXPECT_EQ(tokenizer.decode(task.items[0].ids), "a {question2}?|b?=");
  EXPECT_EQ(tokenizer.decode(task.items[1].ids), "c?|d?=");
  EXPECT_EQ(task.items[0].truth, 1);
  EXPECT_EQ(task.items[1].truth, 0);
  options.max_tokens = static_cast<int64_t>(task.items[1].ids.size());
  EXPECT_EQ(pair_task(tokenizer, pairs, options).value().items.size(), 1u);
  options.max_tokens = 1;
  EXPECT_ERROR_SAYS(pair_task(tokenizer, pairs, options), "1 tokens");
  options.prompt = "{question1}";
  EXPECT_ERROR_SAYS(pair_task(tokenizer, pairs, options), "has no {question2}");
  options = {};
  options.yes = options.no;
  EXPECT_ERROR_SAYS(pair_task(tokenizer, pairs, options), "same token");
}

TEST(AnswerChoices, TheFirstOfTheBestWins) {
  const AnswerChoices choices = {{2, 0, 3}, {"a", "b", "c"}, {0, 1, 1}, "x"};
  EXPECT_EQ(choices.best(std::vector<float>{1, 9, 0.5, 1}), 1);
  EXPECT_EQ(choices.best(std::vector<float>{1, 9, 1, 1}), 0);
}

// Two loops of one layer, width 2: the first loop's state holds the second loop's label.
Observation made_up(size_t items) {
  Observation seen;
  seen.loops = 2;
  seen.layers = 1;
  seen.width = 2;
  for (size_t i = 0; i < items; ++i) {
    const int first = static_cast<int>(i % 2), second = static_cast<int>(i / 2 % 2);
    seen.answers.push_back({first, second});
    const auto noise = static_cast<float>(i % 7);
    seen.states.push_back({noise, static_cast<float>(second), noise, 1.0f});
  }
  return seen;
}

TEST(Observation, AgreementAndProbesOfKnownTables) {
  AnswerTask task;
  task.choices = {{0, 1}, {"no", "yes"}, {0, 1}, "yes"};
  const Observation seen = made_up(40);
  for (size_t i = 0; i < 40; ++i) {
    task.items.push_back({{}, i < 20 ? seen.answers[i][1] : -1, {}});
  }
  EXPECT_THAT(label_agreement(task, seen), ElementsAre(ElementsAre(1, 0.5), ElementsAre(0.5, 1)));
  EXPECT_THAT(answer_agreement(seen)[0], ElementsAre(1, 0.5));
  EXPECT_THAT(accuracy_by_loop(task, seen), ElementsAre(0.5, 1));
  const std::vector<double> auc = probe_layers(task, seen, 2, {}, {}).value();
  ASSERT_EQ(auc.size(), 2u);
  EXPECT_EQ(auc[0], 1);
  EXPECT_NEAR(auc[1], 0.5, 0.2);
  task.choices.labels = {0, 0};  // one class
  EXPECT_TRUE(std::isnan(probe_layers(task, seen, 2, {}, {}).value()[0]));
}

TEST(Observation, AnswersAreTheModelsOnes) {
  const AnswerTask task = arithmetic_task(*bundled()->tokenizer(), {.examples = 60}).value();
  double share = 0;
  const Observation seen = observe(*bundled(), task, 5, [&](double done) {
                             share = done;
                             return true;
                           }).value();
  EXPECT_EQ(share, 1);
  const std::vector<double> right = accuracy_by_loop(task, seen);
  EXPECT_GT(right[3], 0.9);  // 99% of long sums, in its recipe
  EXPECT_LT(right[0], 0.6);
  const TextStates states = read_states(*bundled(), task.items[3].ids, 5).value();
  const std::span<const float> last = states.state(4, 1, states.positions - 1);
  EXPECT_TRUE(std::equal(last.begin(), last.end(),
                         seen.states[3].end() - static_cast<ptrdiff_t>(seen.width)));
  EXPECT_EQ(observe(*bundled(), task, 1, [](double) { return false; }).status().code(),
            StatusCode::kCancelled);
}

TEST(Mediation, CounterfactualsAreGivenOrOfTheSameLengthAndAnotherAnswer) {
  AnswerTask task;
  task.items = {{{1, 2}, 0, {}}, {{1}, 0, {}}, {{3, 4}, 0, {}}, {{5, 6}, 1, {}}, {{7}, 0, {9}}};
  const auto found = counterfactuals(task, {0, 0, 0, 1, 0});
  EXPECT_THAT(found[0], ElementsAre(5, 6));
  EXPECT_THAT(found[1], ElementsAre());
  EXPECT_THAT(found[2], ElementsAre(5, 6));
  EXPECT_THAT(found[3], ElementsAre(1, 2));  // around the end
  EXPECT_THAT(found[4], ElementsAre(9));
}

TEST(Mediation, TheLastStateDecidesAndTheFirstDoesNot) {
  const AnswerTask task = arithmetic_task(*bundled()->tokenizer(), {.examples = 60}).value();
  const Mediation m = mediate(*bundled(), task, 4, 40, go_on).value();
  ASSERT_EQ(m.rows.size(), 2u * 4 * 2);
  const MediationRow& end = m.at(SwappedPositions::kAnswer, 4, 2);
  EXPECT_GT(end.pairs[3], 30);
  EXPECT_EQ(end.follows[3], end.pairs[3]);  // only norm and read-out come after it
  EXPECT_EQ(end.stays[2], end.pairs[2]);    // the loop before has been read already
  const MediationRow& others = m.at(SwappedPositions::kOthers, 4, 2);
  EXPECT_EQ(others.stays[3], others.pairs[3]);  // no block reads it any more
  EXPECT_LT(m.at(SwappedPositions::kAnswer, 1, 1).follows[3], end.follows[3]);
  EXPECT_GT(m.at(SwappedPositions::kOthers, 1, 1).follows[3], 0);
  EXPECT_EQ(Json(Json::parse(Json(m).dump()).get<Mediation>()), Json(m));
}

}  // namespace
}  // namespace looplm
