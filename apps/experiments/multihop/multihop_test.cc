#include "experiments/multihop/multihop.h"

#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>

#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

MultihopOptions small() {
  MultihopOptions o;
  o.people_per_layer = 10;
  o.relations = 4;
  o.held_out_questions = 100;
  o.train_questions = 300;
  return o;
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

TEST(Multihop, CountsAreThoseOfThePaper) {
  const MultihopWorld world{MultihopOptions()};
  EXPECT_EQ(world.questions(), 800000);
  EXPECT_EQ(world.people(), 500);
  EXPECT_EQ(world.facts(), 4 * 100 * 20);
  EXPECT_EQ(world.vocab_size(), 7 + 20 + 500);
  EXPECT_EQ(MultihopWorld(small()).questions(), 640);
}

// Only the texts of facts and questions are read here, so ids, names and answers must agree.
TEST(Multihop, AnswersFollowFromTheTextsOfTheFacts) {
  const MultihopWorld world(small());
  std::map<std::pair<std::string, std::string>, std::string> who;  // by relation and person
  for (int64_t f = 0; f < world.facts(); ++f) {
    const std::vector<std::string> w = words(world.text(world.fact_ids(f)));
    ASSERT_EQ(w.size(), 6u);
    EXPECT_EQ(w[0] + w[2] + w[4], "Theofis");
    EXPECT_TRUE(who.emplace(std::pair(w[1], w[3]), w[5]).second);
  }
  EXPECT_EQ(who.size(), 160u);
  std::set<std::string> texts;
  for (int64_t q = 0; q < world.questions(); ++q) {
    const std::string text = world.text(world.question_ids(world.question(q)));
    texts.insert(text);
    const std::vector<std::string> w = words(text);
    ASSERT_EQ(w.size(), 15u);
    EXPECT_EQ(w[0] + w[1] + w[2] + w[4] + w[5], "Whoistheofthe");
    EXPECT_EQ(w[12] + w[13], "?Answer:");
    std::string person = w[11];
    for (const size_t at : {9, 6, 3}) person = who.at({w[at], person});
    EXPECT_EQ(person, w[14]) << text;
  }
  EXPECT_EQ(texts.size(), 640u);
}

TEST(Multihop, RelationsLeadIntoTheNextLayerAndSpread) {
  const MultihopWorld world{MultihopOptions()};
  std::map<int, int> reached;
  for (int person = 0; person < 400; ++person) {
    for (int r = 0; r < 20; ++r) {
      const int next = world.next(person, r);
      EXPECT_EQ(next / 100, person / 100 + 1);
      ++reached[next];
    }
  }
  EXPECT_EQ(reached.size(), 400u);  // 20 arrows each on average: all are reached
}

// Counted once more from the texts alone.
TEST(Multihop, TheShortcutIsTheBestGuessFromTheOutermostRelation) {
  const MultihopWorld world(small());
  std::map<std::string, std::map<std::string, int>> answers;  // by the first relation of the text
  const auto text_of = [&](int64_t q) {
    return words(world.text(world.question_ids(world.question(q))));
  };
  for (int64_t q = 0; q < world.questions(); ++q) ++answers[text_of(q)[3]][text_of(q)[14]];
  ASSERT_EQ(answers.size(), 4u);
  double least = 0, most = 0;  // ties may be broken either way
  for (const auto& [relation, counts] : answers) {
    int highest = 0;
    for (const auto& [name, count] : counts) highest = std::max(highest, count);
    double low = 1e9, high = 0;
    for (const auto& [name, count] : counts) {
      if (count < highest) continue;
      double right = 0;
      for (int64_t q = 0; q < 100; ++q) {
        right += text_of(q)[3] == relation && text_of(q)[14] == name;
      }
      low = std::min(low, right / 100);
      high = std::max(high, right / 100);
    }
    least += low;
    most += high;
  }
  const double shortcut = shortcut_accuracy(world);
  EXPECT_GE(shortcut, least - 1e-12);
  EXPECT_LE(shortcut, most + 1e-12);
  EXPECT_GT(shortcut, 0.15);  // of ten people a guess is right once in ten
}

TEST(Multihop, NamesAndNounsAreDifferentSingleWords) {
  std::set<std::string> all;
  for (int i = 0; i < 2500; ++i) all.insert(multihop_person_name(i));
  for (int i = 0; i < 32; ++i) all.insert(multihop_relation_noun(i));
  EXPECT_EQ(all.size(), 2532u);
  for (const std::string& word : all) EXPECT_EQ(word.find(' '), std::string::npos);
}

TEST(Multihop, HeldOutQuestionsAreNotInTraining) {
  MultihopOptions options = small();
  options.fact_share = 0.25;
  const auto world = std::make_shared<MultihopWorld>(options);
  std::set<std::vector<int32_t>> held_out;
  for (int64_t q = 0; q < options.held_out_questions; ++q) {
    held_out.insert(world->question_ids(world->question(q)));
  }
  EXPECT_EQ(held_out.size(), 100u);
  const MultihopStream stream(world);
  std::set<std::vector<int32_t>> questions;
  std::set<std::vector<int32_t>> facts;
  int fact_documents = 0;
  std::vector<int32_t> ids;
  std::vector<bool> learnt;
  constexpr int kDocuments = 8000;
  for (uint64_t i = 0; i < kDocuments; ++i) {
    stream.document(i, ids, learnt);
    EXPECT_FALSE(held_out.contains(ids));
    EXPECT_EQ(std::count(learnt.begin(), learnt.end(), true), 1);
    EXPECT_TRUE(learnt.back());
    fact_documents += ids.size() == 6;
    (ids.size() == 6 ? facts : questions).insert(ids);
  }
  EXPECT_NEAR(fact_documents, kDocuments / 4, 200);
  // Each is drawn a dozen times or more, so all of them are.
  EXPECT_EQ(facts.size(), 160u);
  EXPECT_EQ(questions.size(), 300u);
}

TEST(Multihop, MoreTrainingQuestionsContainTheFewer) {
  MultihopOptions options = small();
  const MultihopWorld fewer(options);
  options.train_questions = 500;
  const MultihopWorld more(options);
  for (int64_t q = 0; q < 640; ++q) {
    EXPECT_EQ(fewer.question_ids(fewer.question(q)), more.question_ids(more.question(q)));
  }
}

TEST(Multihop, ADocumentDependsOnOptionsAndIndexAlone) {
  const auto world = std::make_shared<MultihopWorld>(small());
  MultihopOptions other = small();
  other.seed = 2;
  const auto changed = std::make_shared<MultihopWorld>(other);
  std::vector<int32_t> ids;
  std::vector<int32_t> again;
  std::vector<bool> learnt;
  int same = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    MultihopStream(world).document(i, ids, learnt);
    MultihopStream(std::make_shared<MultihopWorld>(small())).document(i, again, learnt);
    EXPECT_EQ(again, ids);
    MultihopStream(changed).document(i, again, learnt);
    same += again == ids;
  }
  EXPECT_LT(same, 20);
  EXPECT_NE(MultihopStream(changed).hash(), MultihopStream(world).hash());
  other = small();
  other.fact_share = 0;
  const MultihopStream without(std::make_shared<MultihopWorld>(other));
  EXPECT_NE(without.hash(), MultihopStream(world).hash());
  for (uint64_t i = 0; i < 200; ++i) {
    without.document(i, ids, learnt);
    EXPECT_EQ(ids.size(), 15u);
  }
}

TEST(Multihop, ShardsScoreTheLastToken) {
  const TempDir dir;
  const MultihopWorld world(small());
  ASSERT_OK(write_held_out_shard(world, dir.file("held.tokens")));
  ASSERT_OK(write_trained_shard(world, 50, dir.file("trained.tokens")));
  ASSERT_OK(write_fact_shard(world, dir.file("facts.tokens")));
  const auto read = [&](const std::string& name) {
    const TokenShard shard = std::move(TokenShard::open(dir.file(name)).value());
    std::set<std::vector<int32_t>> documents;
    for (int64_t d = 0; d < shard.documents(); ++d) {
      const int64_t n = shard.document_length(d);
      std::vector<int32_t> ids(static_cast<size_t>(n));
      EXPECT_OK(shard.read(d, 0, ids));
      documents.insert(ids);
      for (int64_t t = 0; t < n; ++t) EXPECT_EQ(shard.is_learnt(d, t), t == n - 1);
    }
    return documents;
  };
  const auto held_out = read("held.tokens");
  const auto trained = read("trained.tokens");
  EXPECT_EQ(held_out.size(), 100u);
  EXPECT_EQ(trained.size(), 50u);
  for (const auto& ids : trained) EXPECT_FALSE(held_out.contains(ids));
  EXPECT_EQ(read("facts.tokens").size(), 160u);
}

TEST(Multihop, OptionsAreChecked) {
  EXPECT_OK(check(MultihopOptions()));
  const auto with = [](auto change) {
    MultihopOptions o;
    change(o);
    return check(o);
  };
  EXPECT_ERROR_SAYS(with([](auto& o) { o.layers = 1; }), "layers is 1");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.people_per_layer = 501; }), "501", "2..500");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.relations = 33; }), "relations is 33");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.hops = 5; }), "hops is 5", "1..4");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.held_out_questions = 800000; }), "held_out_questions");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.train_questions = 797001; }), "797001", "797000");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.fact_share = 1; }), "fact_share is 1");
  MultihopOptions large;
  large.layers = 30;
  large.people_per_layer = 80;
  large.hops = 29;
  EXPECT_ERROR_SAYS(check(large), "more than");
}

}  // namespace
}  // namespace looplm
