#include "experiments/safety/judge.h"

#include <map>
#include <mutex>

#include <gmock/gmock.h>

#include "support/scripted_server.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST(ParseScore, TakesTheLastLineAndNothingElse) {
  EXPECT_EQ(parse_score("Because.\nscore: 4"), 4);
  EXPECT_EQ(parse_score("#thescore: 5\n\n"), 5);
  EXPECT_EQ(parse_score("**Score:** 1"), 1);
  for (const char* text : {"", "score: 6", "score: 0", "score: 4.5", "score: 4/5", "score: 45",
                           "score:", "4", "score: 4\nor perhaps 5", "the score: is 4", "score = 4",
                           "The response deserves score: 4"}) {
    EXPECT_EQ(parse_score(text), std::nullopt) << text;
  }
}

TEST(Rubric, IsFilledInOneSweep) {
  EXPECT_EQ(fill_rubric("<{prompt}> <{response}> {x}", {"a {response}", "b {prompt}"}),
            "<a {response}> <b {prompt}> {x}");
  EXPECT_TRUE(check_rubric("{response}{prompt}").ok());
  EXPECT_THAT(check_rubric("{prompt}").message(), HasSubstr("{response}"));
  EXPECT_THAT(check_rubric("{response}").message(), HasSubstr("{prompt}"));
}

TEST(RuleScore, CountsWordsOrRepeats) {
  EXPECT_EQ(rule_score("Salt and pepper", {"salt", "PEPPER", "oil"}), 3);
  EXPECT_EQ(rule_score("nothing", {"salt"}), 1);
  EXPECT_EQ(rule_score("a b c d e f", {"a", "b", "c", "d", "e", "f"}), 5);
  EXPECT_EQ(rule_score("", {}), 1);
  EXPECT_EQ(rule_score("abcdefghij", {}), 1);
  EXPECT_EQ(rule_score(std::string(100, 'a'), {}), 5);
  // "abcd" twice: 5 runs, 1 seen before: 1 + floor(5 / 5).
  EXPECT_EQ(rule_score("abcdabcd", {}), 2);
}

// A judge by a fixed rule: the digit that the response holds is its score. It refuses the first
// request for each response with 500, answers the second one without a score, and hangs up once.
class ScriptedJudge {
 public:
  ScriptedAnswer operator()(const HttpCall& message) {
    const std::string question =
        Json::parse(message.body).at("messages").at(0).at("content").get<std::string>();
    const std::lock_guard lock(mutex_);
    const int nth = ++asked_[question];
    if (nth == 1) return {500, "busy"};
    if (nth == 2) return {.hang_up = true};
    if (nth == 3) return {429, "slower", {{"Retry-After", "0.001"}}};
    const std::string score(1, question[question.find("R=") + 2]);
    return reply(nth == 4 ? "score: high" : "It says so.\nscore: " + score);
  }
  static ScriptedAnswer reply(const std::string& text) {
    const Json body = {{"model", "scripted"},
                       {"choices", {{{"message", {{"content", text}}}}}},
                       {"usage", {{"prompt_tokens", 10}, {"completion_tokens", 2}}}};
    return {200, body.dump()};
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> asked_;
};

JudgeOptions options_for(const ScriptedServer& server) {
  JudgeOptions options;
  options.kind = JudgeKind::kOpenAi;
  options.endpoint.base_url = server.url();
  options.endpoint.model = "scripted";
  options.endpoint.first_wait = std::chrono::milliseconds(1);
  options.rubric = "P={prompt} R={response}";
  return options;
}

TEST(Judge, GetsScoresThroughFailures) {
  ScriptedJudge script;
  const ScriptedServer server(std::ref(script));
  std::vector<JudgedPair> pairs;
  for (int i = 0; i < 12; ++i) {
    pairs.push_back({std::to_string(i), std::to_string(1 + i % 5)});
  }
  std::map<size_t, Judgement> judged;
  const Status status = judge_all(options_for(server), pairs, [&](size_t i, const Judgement& j) {
    judged[i] = j;
    return Status();
  });
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(judged.size(), pairs.size());
  for (const auto& [i, judgement] : judged) {
    EXPECT_EQ(judgement.score, 1 + static_cast<int>(i) % 5) << i;
    EXPECT_EQ(judgement.tries, 5);
    EXPECT_EQ(judgement.prompt_tokens, 20);
    EXPECT_EQ(judgement.model, "scripted");
    EXPECT_THAT(judgement.reply, HasSubstr("It says so."));
  }
  EXPECT_EQ(server.requests(), 60);
}

TEST(Judge, RepliesWithoutAScoreAreKeptAsSuch) {
  const ScriptedServer server([](const auto&) { return ScriptedJudge::reply("score: 3 or 4"); });
  JudgeOptions options = options_for(server);
  options.score_tries = 2;
  const Judgement judgement = judge(options, {"p", "r"}).value();
  EXPECT_EQ(judgement.score, std::nullopt);
  EXPECT_EQ(judgement.reply, "score: 3 or 4");
  EXPECT_EQ(server.requests(), 2);
}

TEST(Judge, AnErrorEndsTheWorkAndSaysWhose) {
  const ScriptedServer server([](const HttpCall& m) {
    return m.body.find("R=bad") != std::string::npos ? ScriptedAnswer{400, "no such model"}
                                                     : ScriptedJudge::reply("score: 2");
  });
  std::vector<JudgedPair> pairs(200, {"p", "fine"});
  pairs[3].response = "bad";
  size_t kept = 0;
  const Status status = judge_all(options_for(server), pairs, [&](size_t, const Judgement&) {
    ++kept;
    return Status();
  });
  EXPECT_THAT(status.message(), HasSubstr("judging 4"));
  EXPECT_THAT(status.message(), HasSubstr("400: no such model"));
  EXPECT_GE(kept, 3u);
  EXPECT_LT(server.requests(), 200);
}

}  // namespace
}  // namespace looplm
