#include "experiments/safety/safety_study.h"

#include <cstdlib>
#include <map>
#include <mutex>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "experiments/core/test_study.h"
#include "support/scripted_server.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST(SafetySettings, ShippedOnesHaveTheirCellsAndMistakesAreNamed) {
  for (const auto& [name, cells] : {std::pair("paper", 8u * 2), std::pair("base", 8u * 4 + 1)}) {
    const auto study = make_safety_study();
    const std::string file = fmt::format("{}/studies/safety/{}.toml", project_root(), name);
    ASSERT_OK(configure_text(*study, read_text_file(file).value()));
    EXPECT_EQ(study->cells().size(), cells);
  }
  const auto with = [](const std::string& change) {
    return shipped_with(*make_safety_study(), change);
  };
  EXPECT_OK(with("generation.max_tokens=9"));
  EXPECT_ERROR_SAYS(with("judge.kind='gpt'"), "judge.kind is \"gpt\"");
  EXPECT_ERROR_SAYS(with("judge.kind='openai'"), "judge.base_url is missing");
  EXPECT_ERROR_SAYS(with("judge.extra='[1]'"), "judge.extra is '[1]'");
  EXPECT_ERROR_SAYS(with("judge.rubrik='x'"), "rubrik");
  EXPECT_ERROR_SAYS(with("generation.loops=[1,1]"), "generation.loops");
  EXPECT_ERROR_SAYS(with("generation.loops=[0]"), "generation.loops");
  EXPECT_ERROR_SAYS(with("generation.seeds=[1,2]"), "temperature 0");
  EXPECT_ERROR_SAYS(with("generation.top_p=0"), "top_p");
  EXPECT_ERROR_SAYS(with("prompts.template='xml'"), "prompts.template");
  EXPECT_ERROR_SAYS(with("prompts.system='x'"), "prompts.system");
  EXPECT_ERROR_SAYS(with("states.second=''"), "both first and second");
  EXPECT_ERROR_SAYS(with("states.scatter=[9]"), "states.scatter");
  EXPECT_ERROR_SAYS(with("model.dtype='f64'"), "model.dtype");
}

// Scores by a fixed rule, the length of the answer, and fails as real ones do: 500 and 429 at first
// sight, a reply without a score at the third. While `out_of_money`, says so for one prompt.
class FailingJudge {
 public:
  ScriptedAnswer operator()(const HttpCall& message) {
    const std::string question =
        Json::parse(message.body).at("messages").at(0).at("content").get<std::string>();
    const std::lock_guard lock(mutex_);
    if (out_of_money && question.starts_with("P=How do I toast nuts")) {
      return {402, "out of money"};
    }
    const int nth = ++asked_[question];
    if (nth == 1) return {500, "busy"};
    if (nth == 2) return {429, "slower"};
    if (nth == 3) return reply("I would say 3");
    if (nth > 4) ++paid_twice;
    return reply("score: " + std::to_string(1 + question.size() % 5));
  }
  static ScriptedAnswer reply(const std::string& text) {
    const Json body = {{"choices", {{{"message", {{"content", text}}}}}}};
    return {200, body.dump()};
  }

  std::atomic<bool> out_of_money = true;
  int paid_twice = 0;

 private:
  std::mutex mutex_;
  std::map<std::string, int> asked_;
};

TEST(SafetyStudy, RunsAgainstAFailingJudgeAndDoesNotPayTwice) {
  const TempDir directory;
  const std::string& folder = directory.path();
  ASSERT_OK(make_directories(folder + "/prompts"));
  const std::pair<const char*, const char*> files[] = {
      // The last one ends the first run.
      {"prompts/cooking.txt",
       "How do I boil an egg?\nWhat is a good soup?\nHow long for pasta?\nHow do I toast nuts?\n"},
      {"prompts/weather.txt", "Will it rain?\nIs snow likely?\nHow cold is it?\n"},
      // Other prompts than those above, so that no question is asked for two reasons.
      {"first.txt", "What is jam?\nWhy salt water?\n"},
      {"second.txt", "Is it windy?\nWhen does it thaw?\n"},
      {"rubric.txt", "P={prompt} R={response}"}};
  for (const auto& [name, text] : files) ASSERT_OK(write_text_file(directory.file(name), text));
  FailingJudge judge;
  const ScriptedServer server(std::ref(judge));
  setenv("LOOPLM_TEST_JUDGE_KEY", "key", 1);
  const std::string toml = R"(
[model]
directory = "{root}/models/small"
[prompts]
path = ")" + folder + R"(/prompts"
[generation]
loops = [1, 2]
max_tokens = 12
[judge]
kind = "openai"
base_url = ")" + server.url() +
                           R"("
model = "scripted"
api_key_variable = "LOOPLM_TEST_JUDGE_KEY"
rubric = ")" + folder + R"(/rubric.txt"
wait_seconds = 0.001
parallel = 2
[states]
first = ")" + folder + R"(/first.txt"
second = ")" + folder + R"(/second.txt"
loops = 2
folds = 2
)";
  const auto run = [&] { return run_tiny(*make_safety_study(), toml, directory); };
  EXPECT_ERROR_SAYS(run(), "HTTP status 402: out of money");
  EXPECT_GT(server.requests(), 3);
  judge.out_of_money = false;
  const Json results = run().value();
  EXPECT_EQ(judge.paid_twice, 0);
  EXPECT_THAT(results.dump(), testing::Not(HasSubstr("\"key\"")));
  // Scores follow from the answers by the rule.
  for (const char* loops : {"1", "2"}) {
    const Json& cells = results.at("cells");
    const Json& list = cells.at(std::string("answers-main-loops=") + loops).at("answers");
    const Json& judged = cells.at(std::string("judge-main-loops=") + loops).at("judged");
    ASSERT_EQ(list.size(), 7u);
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string question = "P=" + list[i].at("prompt").get<std::string>() +
                                   " R=" + *final_answer(list[i].at("text").get<std::string>(), "");
      EXPECT_EQ(judged.at(i).at("score").get<size_t>(), 1 + question.size() % 5) << question;
    }
    EXPECT_EQ(list[0].at("category"), "cooking");
    EXPECT_EQ(list[6].at("category"), "weather");
  }
  EXPECT_THAT(report_text(directory), HasSubstr("harmful rate"));
  EXPECT_THAT(report_text(directory), HasSubstr("states_loop2"));
  EXPECT_TRUE(file_exists(directory.file("out/score.png")));

  // Another run of the same settings has nothing left to do.
  const int after = server.requests();
  EXPECT_OK(run());
  EXPECT_EQ(server.requests(), after);
}

// Results of two depths: how many of `answers` have score 5, and the others' score.
void add_depth(CellResults& results, int64_t loops, int answers, int harmful, double other,
               int unfinished = 0) {
  Json cell = {{"trained_loops", 2}, {"answers", Json::array()}};
  Json judged = {{"judged", Json::array()}};
  for (int i = 0; i < answers; ++i) {
    cell["answers"].push_back({{"category", "one"}, {"tokens", 4}});
    Json judgement = {{"score", i < harmful ? 5 : other}};
    if (i >= answers - unfinished) judgement = {{"score", nullptr}, {"unfinished", true}};
    judged["judged"].push_back(judgement);
  }
  results[answers_id(PromptGroup::kMain, loops)] = cell;
  results[judge_id(PromptGroup::kMain, loops)] = judged;
}

SafetySettings judged_settings() {
  SafetySettings s;
  s.loops = {1, 2, 3};
  s.judge.kind = JudgeKind::kOpenAi;
  s.paper_harmful_rate = 0.009;
  return s;
}

TEST(SafetyReport, ARateOfNoneHasAnInterval) {
  CellResults results;
  for (int64_t loops : {1, 2, 3}) add_depth(results, loops, 100, 0, 1);
  const StudyReport report = safety_report(judged_settings(), results);
  // Of 100 answers none: up to 3.7% may be harmful, so 0.9% are no contradiction.
  EXPECT_THAT(report.claims.at(0).finding, HasSubstr("0.000 [0.000, 0.037] at 2 loops"));
  EXPECT_EQ(report.claims.at(0).verdict, Verdict::kReproduced);
  add_depth(results, 2, 100, 20, 1);
  EXPECT_EQ(safety_report(judged_settings(), results).claims.at(0).verdict,
            Verdict::kNotReproduced);
}

TEST(SafetyReport, AnswersThatWereCutOffAreNotScored) {
  CellResults results;
  for (int64_t loops : {1, 2, 3}) add_depth(results, loops, 100, 30, 1, 40);
  const StudyReport report = safety_report(judged_settings(), results);
  EXPECT_THAT(report.claims.at(0).finding, HasSubstr("0.500 ["));
  EXPECT_THAT(report.claims.at(0).finding, HasSubstr("40 unfinished"));
}

TEST(SafetyReport, BeyondTheTrainedDepthScoresMustFallToo) {
  const auto improves = [](double one, double two, double three) {
    CellResults results;
    add_depth(results, 1, 100, 0, one);
    add_depth(results, 2, 100, 0, two);
    add_depth(results, 3, 100, 0, three);
    return safety_report(judged_settings(), results).claims.at(1).verdict;
  };
  EXPECT_EQ(improves(4, 3, 2), Verdict::kReproduced);
  EXPECT_EQ(improves(4, 3, 3), Verdict::kPartly);
  EXPECT_EQ(improves(4, 3, 4), Verdict::kPartly);
  EXPECT_EQ(improves(3, 3, 2), Verdict::kNotReproduced);
}

TEST(SafetyCells, AnUnfinishedAnswerIsNotJudged) {
  const TempDir directory;
  SafetySettings s;
  s.answer_after = "</think>";
  CellContext context;
  context.directory = directory.path();
  context.progress = [](double, const std::string&) {};
  const Json answers = {{"answers",
                         {{{"prompt", "a"}, {"text", "<think> cut"}},
                          {{"prompt", "b"}, {"text", "<think></think> done"}}}}};
  const OrderedJson judged = run_judge(s, answers, context).value();
  EXPECT_TRUE(judged.at("judged").at(0).at("score").is_null());
  EXPECT_EQ(judged.at("judged").at(0).at("unfinished"), true);
  EXPECT_EQ(judged.at("judged").at(1).at("score"), 1);
}

TEST(SafetyStudy, WithoutItsKeyTheJudgeIsNotAsked) {
  const TempDir directory;
  unsetenv("LOOPLM_TEST_NO_SUCH_KEY");
  const std::vector<std::string> overrides = {"generation.loops=[1]",
                                              "generation.max_tokens=1",
                                              "prompts.per_category=1",
                                              "states.first=''",
                                              "states.second=''",
                                              "judge.kind='openai'",
                                              "judge.base_url='http://127.0.0.1:9'",
                                              "judge.model='m'",
                                              "judge.rubric='{study}/rubric.txt'",
                                              "judge.api_key_variable='LOOPLM_TEST_NO_SUCH_KEY'"};
  EXPECT_ERROR_SAYS(run_shipped(*make_safety_study(), directory, overrides),
                    "LOOPLM_TEST_NO_SUCH_KEY, which the environment does not hold");
}

// With a rule in the judge's place the report must not claim anything about safety.
TEST(SafetyStudy, AStandInIsNamedAsSuch) {
  const TempDir directory;
  ASSERT_OK(
      run_shipped(*make_safety_study(), directory,
                  {"generation.loops=[1,4]", "generation.max_tokens=8", "prompts.per_category=3",
                   "states.loops=4", "states.scatter=[4]", "states.folds=4"}));
  const std::string report = report_text(directory);
  EXPECT_THAT(report, HasSubstr("stand-in"));
  EXPECT_THAT(report, HasSubstr("say nothing about safety"));
  EXPECT_THAT(report, HasSubstr("not tested"));
}

}  // namespace
}  // namespace looplm
