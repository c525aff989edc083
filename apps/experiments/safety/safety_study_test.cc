#include "experiments/safety/safety_study.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

#include <gmock/gmock.h>

#include "base/file.h"
#include "experiments/core/runner.h"
#include "experiments/core/settings.h"
#include "experiments/safety/answers.h"
#include "support/scripted_server.h"

namespace looplm {
namespace {

using testing::HasSubstr;

const std::string kRoot = LOOPLM_GOLDEN_DIR "/../..";

std::string fresh_folder(const std::string& name) {
  const std::string path = testing::TempDir() + "/looplm_safety_" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

std::string settings_error(const std::string& change) {
  const std::string file = kRoot + "/studies/safety/laptop.toml";
  const std::string text = effective_settings(file, {change}).value();
  const auto study = make_safety_study();
  return configure_study(*study, text, kRoot, "settings").message();
}

TEST(SafetySettings, ShippedOnesAreReadAndMistakesAreNamed) {
  EXPECT_EQ(settings_error("generation.max_tokens=9"), "");
  const auto paper = make_safety_study();
  const std::string text = effective_settings(kRoot + "/studies/safety/paper.toml", {}).value();
  EXPECT_EQ(configure_study(*paper, text, kRoot, "paper").message(), "");
  EXPECT_EQ(paper->cells().size(), 8u * 2);
  const auto base = make_safety_study();
  const std::string with_states =
      effective_settings(kRoot + "/studies/safety/base.toml", {}).value();
  EXPECT_EQ(configure_study(*base, with_states, kRoot, "base").message(), "");
  EXPECT_EQ(base->cells().size(), 8u * 4 + 1);

  EXPECT_THAT(settings_error("judge.kind='gpt'"), HasSubstr("judge.kind is \"gpt\""));
  EXPECT_THAT(settings_error("judge.kind='openai'"), HasSubstr("judge.base_url is missing"));
  EXPECT_THAT(settings_error("judge.extra='[1]'"), HasSubstr("judge.extra is '[1]'"));
  EXPECT_THAT(settings_error("judge.rubrik='x'"), HasSubstr("rubrik"));
  EXPECT_THAT(settings_error("generation.loops=[1,1]"), HasSubstr("generation.loops"));
  EXPECT_THAT(settings_error("generation.loops=[0]"), HasSubstr("generation.loops"));
  EXPECT_THAT(settings_error("generation.seeds=[1,2]"), HasSubstr("temperature 0"));
  EXPECT_THAT(settings_error("generation.top_p=0"), HasSubstr("top_p"));
  EXPECT_THAT(settings_error("prompts.template='xml'"), HasSubstr("prompts.template"));
  EXPECT_THAT(settings_error("prompts.system='x'"), HasSubstr("prompts.system"));
  EXPECT_THAT(settings_error("states.second=''"), HasSubstr("both first and second"));
  EXPECT_THAT(settings_error("states.scatter=[9]"), HasSubstr("states.scatter"));
  EXPECT_THAT(settings_error("model.dtype='f64'"), HasSubstr("model.dtype"));
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
  const std::string folder = fresh_folder("run");
  std::filesystem::create_directories(folder + "/prompts");
  // The last one ends the first run.
  ASSERT_TRUE(write_text_file(folder + "/prompts/cooking.txt",
                              "How do I boil an egg?\nWhat is a good soup?\nHow long for pasta?\n"
                              "How do I toast nuts?\n")
                  .ok());
  ASSERT_TRUE(write_text_file(folder + "/prompts/weather.txt",
                              "Will it rain?\nIs snow likely?\nHow cold is it?\n")
                  .ok());
  // Other prompts than those above, so that no question is asked for two reasons.
  ASSERT_TRUE(write_text_file(folder + "/first.txt", "What is jam?\nWhy salt water?\n").ok());
  ASSERT_TRUE(write_text_file(folder + "/second.txt", "Is it windy?\nWhen does it thaw?\n").ok());
  ASSERT_TRUE(write_text_file(folder + "/rubric.txt", "P={prompt} R={response}").ok());
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
  ASSERT_TRUE(write_text_file(folder + "/settings.toml", toml).ok());
  StudyRunOptions options;
  options.settings_file = folder + "/settings.toml";
  options.root = kRoot;
  options.out = folder + "/out";
  options.threads = 1;
  {
    const auto study = make_safety_study();
    const Status broke = run_study(*study, options);
    EXPECT_THAT(broke.message(), HasSubstr("HTTP status 402: out of money"));
  }
  const int before = server.requests();
  EXPECT_GT(before, 3);
  judge.out_of_money = false;
  const auto study = make_safety_study();
  const Status status = run_study(*study, options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(judge.paid_twice, 0);

  const std::string text = read_text_file(options.out + "/results.json").value();
  EXPECT_THAT(text, testing::Not(HasSubstr("\"key\"")));
  const Json results = Json::parse(text);
  // Scores follow from the answers by the rule.
  for (const char* loops : {"1", "2"}) {
    const std::string cells = options.out + "/cells/";
    const Json answers =
        read_json_file(cells + "answers-main-loops=" + loops + "/result.json").value();
    const Json judged =
        read_json_file(cells + "judge-main-loops=" + loops + "/result.json").value();
    const Json& list = answers.at("result").at("answers");
    ASSERT_EQ(list.size(), 7u);
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string question = "P=" + list[i].at("prompt").get<std::string>() +
                                   " R=" + *final_answer(list[i].at("text").get<std::string>(), "");
      const Json& j = judged.at("result").at("judged").at(i);
      EXPECT_EQ(j.at("score").get<size_t>(), 1 + question.size() % 5) << question;
    }
    EXPECT_EQ(list[0].at("category"), "cooking");
    EXPECT_EQ(list[6].at("category"), "weather");
  }
  const std::string report = read_text_file(options.out + "/report.md").value();
  EXPECT_THAT(report, HasSubstr("harmful rate"));
  EXPECT_THAT(report, HasSubstr("states_loop2"));
  EXPECT_TRUE(file_exists(options.out + "/score.png"));

  // Another run of the same settings has nothing left to do.
  const int after = server.requests();
  const auto again = make_safety_study();
  EXPECT_TRUE(run_study(*again, options).ok());
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
  const std::string folder = fresh_folder("unfinished");
  SafetySettings s;
  s.answer_after = "</think>";
  CellContext context;
  context.directory = folder;
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
  const std::string folder = fresh_folder("key");
  unsetenv("LOOPLM_TEST_NO_SUCH_KEY");
  StudyRunOptions options;
  options.settings_file = kRoot + "/studies/safety/laptop.toml";
  options.root = kRoot;
  options.out = folder + "/out";
  options.threads = 1;
  options.overrides = {"generation.loops=[1]",
                       "generation.max_tokens=1",
                       "prompts.per_category=1",
                       "states.first=''",
                       "states.second=''",
                       "judge.kind='openai'",
                       "judge.base_url='http://127.0.0.1:9'",
                       "judge.model='m'",
                       "judge.rubric='{study}/rubric.txt'",
                       "judge.api_key_variable='LOOPLM_TEST_NO_SUCH_KEY'"};
  const auto study = make_safety_study();
  EXPECT_THAT(run_study(*study, options).message(),
              HasSubstr("LOOPLM_TEST_NO_SUCH_KEY, which the environment does not hold"));
}

// With a rule in the judge's place the report must not claim anything about safety.
TEST(SafetyStudy, AStandInIsNamedAsSuch) {
  const std::string folder = fresh_folder("rule");
  StudyRunOptions options;
  options.settings_file = kRoot + "/studies/safety/laptop.toml";
  options.root = kRoot;
  options.out = folder + "/out";
  options.threads = 1;
  options.overrides = {"generation.loops=[1,4]", "generation.max_tokens=8",
                       "prompts.per_category=3", "states.loops=4",
                       "states.scatter=[4]",     "states.folds=4"};
  const auto study = make_safety_study();
  const Status status = run_study(*study, options);
  ASSERT_TRUE(status.ok()) << status.message();
  const std::string report = read_text_file(options.out + "/report.md").value();
  EXPECT_THAT(report, HasSubstr("stand-in"));
  EXPECT_THAT(report, HasSubstr("say nothing about safety"));
  EXPECT_THAT(report, HasSubstr("not tested"));
}

}  // namespace
}  // namespace looplm
