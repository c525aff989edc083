#include "eval/task.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "eval/few_shot.h"
#include "eval/task_data.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kChoice = R"(name: small
kind: multiple_choice
data: test.jsonl
prompt: "Q: {{question}}\nA:"
choices: {list: options, text: " {{letter}} {{choice}}"}
answer: {field: label, as: letter}
)";

std::string error(const std::string& text) {
  const auto task = parse_task(text, "t.yaml");
  EXPECT_FALSE(task.ok()) << text;
  return task.status().message();
}

TEST(Task, ReadsEverything) {
  const Task t = parse_task(std::string(kChoice) + R"(
where: [{field: split, is: [test, 3]}]
category: subject
metrics: [acc_norm, acc]
few_shot: {data: dev.jsonl, count: 5, pick: random, seed: 9, match: subject, separator: "--"}
clean: [{pattern: " +", with: " "}]
)",
                            "t.yaml")
                     .value();
  EXPECT_EQ(t.name, "small");
  EXPECT_EQ(t.kind, TaskKind::kMultipleChoice);
  EXPECT_THAT(t.data, ElementsAre("test.jsonl"));
  EXPECT_EQ(t.choices.list, "options");
  EXPECT_EQ(t.answer.form, AnswerForm::kLetter);
  EXPECT_THAT(t.where[0].is, ElementsAre("test", "3"));
  EXPECT_THAT(t.metrics, ElementsAre(TaskMetric::kAccuracyCharacters, TaskMetric::kAccuracy));
  EXPECT_EQ(t.few_shot.count, 5);
  EXPECT_TRUE(t.few_shot.random);
  EXPECT_EQ(t.few_shot.seed, 9u);
  EXPECT_EQ(t.clean.size(), 1u);
}

TEST(Task, ErrorsNameFileLineAndKey) {
  const std::string good = kChoice;
  EXPECT_THAT(error(""), HasSubstr("t.yaml"));
  EXPECT_THAT(error("name: [a"), HasSubstr("t.yaml:"));
  EXPECT_THAT(error("name: a\nkind: quiz\ndata: x"),
              AllOf(HasSubstr("t.yaml:2"), HasSubstr("'kind' is 'quiz'"), HasSubstr("generate")));
  EXPECT_THAT(error(good + "promt: x\n"),
              AllOf(HasSubstr("t.yaml:7"), HasSubstr("unknown key 'promt'"), HasSubstr("prompt")));
  EXPECT_THAT(error(good + "name: again\n"), AllOf(HasSubstr("t.yaml:7"), HasSubstr("twice")));
  EXPECT_THAT(error(good + "few_shot: {count: many}\n"),
              AllOf(HasSubstr("t.yaml:7"), HasSubstr("'few_shot.count' is 'many'")));
  EXPECT_THAT(error(good + "few_shot: {data: x}\n"), HasSubstr("'few_shot.count' is missing"));
  EXPECT_THAT(error(good + "few_shot: {count: 1, kount: 2}\n"),
              HasSubstr("unknown key 'few_shot.kount'"));
  EXPECT_THAT(error(good + "metrics: [f2]\n"),
              AllOf(HasSubstr("'f2' is not a metric"), HasSubstr("acc_norm")));
  EXPECT_THAT(error(good + "metrics: []\n"), AllOf(HasSubstr("t.yaml:7"), HasSubstr("acc_norm")));
  EXPECT_THAT(error(good + "few_shot: {count: 1, seed: 2}\n"), HasSubstr("'pick: random'"));
  EXPECT_THAT(error(good + "few_shot: {examples: [{a: 1, a: 2}]}\n"), HasSubstr("twice"));
  for (const char* key : {"save", "few_shot", "generation", "answer"}) {
    for (const char* value : {"[a, b]", "7", "~"}) {
      EXPECT_THAT(
          error(fmt::format("name: a\nkind: generate\ndata: x\nprompt: p\n{}: {}\n", key, value)),
          HasSubstr(fmt::format("'{}' is ", key)));
    }
  }
  EXPECT_THAT(error("name: a\nkind: generate\ndata: x\nprompt: p\nanswer: {text: b}\n"
                    "extract: [{name: s, first_of: []}]\n"),
              HasSubstr("'extract.first_of'"));
  EXPECT_THAT(error("name: a\nkind: generate\ndata: x\nprompt: p\nanswer: {text: b}\n"
                    "extract: [{name: s, number: last, first_of: [{boxed: true}]}]\n"),
              HasSubstr("given beside first_of"));
  EXPECT_THAT(error(good + "generation: {max_tokens: 3}\n"), HasSubstr("multiple_choice"));
  EXPECT_THAT(error(good + "contexts: [a, b]\n"), HasSubstr("'target' is missing"));
  EXPECT_THAT(error("kind: generate\nname: a\n"), HasSubstr("'data' is missing"));
  EXPECT_THAT(error("name: a\nkind: generate\ndata: x\nprompt: '{{a'\nanswer: {text: b}\n"),
              AllOf(HasSubstr("t.yaml:4"), HasSubstr("'prompt'"), HasSubstr("not closed")));
  EXPECT_THAT(
      error("name: a\nkind: generate\ndata: x\nprompt: '{{a|louder}}'\nanswer: {text: b}\n"),
      HasSubstr("unknown filter 'louder'"));
  EXPECT_THAT(error("name: a\nkind: generate\ndata: x\nprompt: p\nanswer: {text: b}\n"
                    "extract: [{name: s, pattern: '('}]\n"),
              AllOf(HasSubstr("t.yaml:6"), HasSubstr("'extract.pattern'")));
  EXPECT_THAT(error("name: a\nkind: generate\ndata: x\nprompt: p\nanswer: {text: b}\n"
                    "few_shot: {count: 2}\n"),
              HasSubstr("'target' is missing"));
  EXPECT_THAT(error("name: a\nkind: perplexity\ndata: x\ntarget: t\nwindow: 8\noverlap: 8\n"),
              HasSubstr("less than the window"));
  EXPECT_THAT(error("name: a\nkind: classification\ndata: x\nprompt: p\nchoices: [one]\n"
                    "answer: {field: f}\n"),
              HasSubstr("two or more"));
  EXPECT_THAT(error("name: a\nkind: multiple_choice\ndata: x\nprompt: p\nchoices: [b, c]\n"
                    "answer: {field: f, as: label}\n"),
              HasSubstr("answer.labels"));
}

TEST(Task, ShippedTasksAreRight) {
  int tasks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LOOPLM_GOLDEN_DIR "/../../tasks")) {
    if (entry.path().extension() != ".yaml") continue;
    const auto task = read_task(entry.path().string());
    EXPECT_OK(task);
    if (!task.ok()) continue;
    EXPECT_EQ(task.value().name, entry.path().stem().string());
    EXPECT_FALSE(task.value().about.empty()) << entry.path();
    ++tasks;
  }
  EXPECT_GE(tasks, 20);
}

Task shipped(const std::string& name) {
  return read_task(LOOPLM_GOLDEN_DIR "/../../tasks/" + name + ".yaml").value();
}

// What the extractor of a shipped task finds.
std::string found(const std::string& task, const std::string& extractor, const std::string& text) {
  for (const NamedExtractor& e : shipped(task).extract) {
    if (e.name == extractor) return e.extractor.find(text).value().value_or("(none)");
  }
  return "(no such extractor)";
}

TEST(Task, ShippedExtractorsFindTheAnswer) {
  EXPECT_EQ(found("mmlu_pro", "flexible", "The answer is (C). I am sure."), "C");
  EXPECT_EQ(found("mmlu_pro", "flexible", "So the answer is C, as (A) is wrong. I am sure."), "C");
  EXPECT_EQ(found("mmlu_pro", "flexible", "It must be (D). I am sure."), "D");
  EXPECT_EQ(found("mmlu_pro", "flexible", "I take B"), "B");
  EXPECT_EQ(found("math500", "flexible", "so \\boxed{7}. The answer is 8."), "7");
  EXPECT_EQ(found("math500", "flexible", "The final answer is $\\frac{1}{2}$. I hope so."),
            "\\frac{1}{2}");
  EXPECT_EQ(found("math500", "flexible", "The final answer is 3.5. I hope so."), "3.5");
  EXPECT_EQ(found("math500", "flexible", "The answer is: 3.5"), "3.5");
  for (const char* text :
       {"the answer is (B)", "The answer is **(B)**.", "**Answer: B**", "**Answer:** B",
        "so \\boxed{B}", "the answer is $\\boxed{\\text{B}}$"}) {
    EXPECT_EQ(found("supergpqa", "letter", text), "B") << text;
  }
  EXPECT_EQ(found("gsm8k_cot", "strict", "5 and 4 make 9. The answer is $1,250.50."), "$1,250.50");
  EXPECT_EQ(found("gsm8k_cot", "strict", "The answer is 9 dollars.\nQ: The answer is 8."),
            "9 dollars");
  EXPECT_EQ(found("gsm8k_cot", "flexible", "so it is 9."), "9");
}

TEST(Task, ChatTasksStopAtTheEndOfTheirTurn) {
  for (const char* name : {"aime24", "aime25", "olympiadbench", "supergpqa"}) {
    EXPECT_THAT(shipped(name).generation.stop, testing::Contains("<|im_end|>")) << name;
  }
  for (const char* name : {"aime24", "aime25", "olympiadbench"}) {
    EXPECT_EQ(shipped(name).comparison, Comparison::kMath) << name;
  }
}

TEST(Task, GradeSchoolExamplesAreThree) {
  const Task t = shipped("gsm8k_cot");
  EXPECT_EQ(t.few_shot.examples.size(), 3u);
  EXPECT_EQ(t.few_shot.count, 3);
  for (const Json& example : t.few_shot.examples) {
    const std::string shown = t.prompt.render(example).value() + t.target.render(example).value();
    EXPECT_THAT(shown, AllOf(HasSubstr("Q: "), HasSubstr("\nA: "), HasSubstr("The answer is ")));
  }
}

std::string rendered(const std::string& source, const char* record) {
  return TextTemplate::parse(source).value().render(Json::parse(record)).value();
}

TEST(TextTemplate, FieldsAndFilters) {
  EXPECT_EQ(rendered("{{a}}-{{ b.1 }}-{{c.d}}", R"({"a": "x", "b": [1, 2.5], "c": {"d": true}})"),
            "x-2.5-true");
  EXPECT_EQ(rendered("{{a.b}}", R"({"a.b": "dotted"})"), "dotted");
  EXPECT_EQ(rendered("[{{a|strip|upper}}]", R"({"a": " hi \n"})"), "[HI]");
  EXPECT_EQ(rendered("{{a|capitalize}}", R"({"a": "hELLO you"})"), "Hello you");
  EXPECT_EQ(rendered("{{s|before:_}}x{{s|after:_}}", R"({"s": "a _ b _"})"), "a x b _");
  EXPECT_EQ(rendered("{{s|after?:_}}-{{s|before?:_}}", R"({"s": "none"})"), "-none");
  EXPECT_EQ(rendered("{{s|but_last_word}}|{{s|last_word}}", R"({"s": "to be or not"})"),
            "to be or|not");
  EXPECT_EQ(rendered("{{l|lettered}}", R"({"l": ["x", 2]})"), "A. x\nB. 2");
  EXPECT_EQ(rendered("{{l|join:, }} {{l|count}} {{l|json}}", R"({"l": ["x", 2]})"),
            "x, 2 2 [\"x\",2]");
  EXPECT_EQ(rendered("{ } }} {a}", "{}"), "{ } }} {a}");
  EXPECT_EQ(choice_letter(0) + choice_letter(25) + choice_letter(26) + choice_letter(701),
            "AZAAZZ");
}

TEST(TextTemplate, ErrorsNameTheField) {
  const auto fails = [](const std::string& source, const char* record) {
    return TextTemplate::parse(source).value().render(Json::parse(record)).status().message();
  };
  EXPECT_THAT(fails("{{gone}}", "{}"), HasSubstr("'gone'"));
  EXPECT_THAT(fails("{{a.2}}", R"({"a": [1]})"), HasSubstr("'a.2'"));
  EXPECT_THAT(fails("{{a}}", R"({"a": null})"), HasSubstr("null"));
  for (const char* source : {"{{a|before:_}}", "{{a|after:_}}"}) {
    EXPECT_THAT(fails(source, R"({"a": "text"})"),
                AllOf(HasSubstr("'a' is 'text'"), HasSubstr("'_'")));
  }
  EXPECT_THAT(fails("{{a|lettered}}", R"({"a": "text"})"), HasSubstr("expects a list"));
  EXPECT_THAT(TextTemplate::parse("{{}}").status().message(), HasSubstr("no field"));
  EXPECT_THAT(TextTemplate::parse("{{a|before}}").status().message(), HasSubstr("argument"));
}

class TaskData : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.file(name)) << text;
  }
  Task task(const std::string& more) {
    return parse_task(std::string("name: t\nkind: generate\nprompt: 'Q {{q}}'\ntarget: ' {{a}}'\n"
                                  "answer: {text: '{{a}}'}\n") +
                          more,
                      dir_.file("t.yaml"))
        .value();
  }
  TempDir dir_;
};

TEST_F(TaskData, ReadsLinesListsAndPatterns) {
  write("a.jsonl", "{\"q\": 1, \"keep\": \"yes\"}\n\n{\"q\": 2, \"keep\": \"no\"}\n");
  write("b.json", "[{\"q\": 3, \"keep\": 7}]");
  const Task t = task("data: ['a.*', 'b.json']\nwhere: [{field: keep, is: ['yes', 7]}]\n");
  const auto records = read_records(t, t.data, {}).value();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].fields["file"], "a");
  EXPECT_THAT(records[0].where, HasSubstr("a.jsonl:1"));
  EXPECT_EQ(records[1].fields["q"], 3);
  EXPECT_THAT(read_records(t, {"a.jsonl", "no.jsonl"}, {"/elsewhere"}).status().message(),
              AllOf(HasSubstr("'no.jsonl'"), HasSubstr("/elsewhere")));
  write("bad.jsonl", "{\"q\": 1, \"keep\": 7}\n[1]\n");
  EXPECT_THAT(read_records(t, {"bad.jsonl"}, {}).status().message(), HasSubstr("bad.jsonl:2"));
  write("bad.jsonl", "{\"q\": 1}\n");
  EXPECT_THAT(read_records(t, {"bad.jsonl"}, {}).status().message(), HasSubstr("'keep'"));
}

std::vector<std::string> shown(const Task& t, const FewShotSource& source, const TaskRecord& q) {
  std::vector<std::string> keys;
  const auto examples = source.examples(q, question_key(t, q).value()).value();
  for (const TaskRecord* r : examples) {
    keys.push_back(r->fields["q"].get<std::string>());
  }
  return keys;
}

TEST_F(TaskData, ExamplesAreTheSameEachTimeAndNeverTheQuestion) {
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    // q0 and q6 ask the same, in two records.
    lines +=
        fmt::format("{{\"q\": \"q{}\", \"a\": {}, \"s\": \"{}\"}}\n", i == 6 ? 0 : i, i, i % 2);
  }
  write("own.jsonl", lines);
  const Task t = task("data: own.jsonl\nfew_shot: {count: 4, pick: random, seed: 3, match: s}\n");
  const auto records = read_records(t, t.data, {}).value();
  const auto source = FewShotSource::create(t, records, {}).value();
  const auto again = FewShotSource::create(t, records, {}).value();
  std::set<std::vector<std::string>> draws;
  for (const TaskRecord& r : records) {
    const std::vector<std::string> keys = shown(t, source, r);
    EXPECT_EQ(keys.size(), 4u);
    EXPECT_EQ(keys, shown(t, again, r));
    const auto own = r.fields["q"].get<std::string>();
    EXPECT_THAT(keys, testing::Not(testing::Contains(own)));
    for (const std::string& k : keys) {
      EXPECT_EQ(std::stoi(k.substr(1)) % 2, std::stoi(own.substr(1)) % 2) << k << " for " << own;
    }
    draws.insert(keys);
  }
  EXPECT_GT(draws.size(), 2u);
  Task other = task("data: own.jsonl\nfew_shot: {count: 4, pick: random, seed: 4, match: s}\n");
  const auto another = FewShotSource::create(other, records, {}).value();
  EXPECT_NE(shown(other, another, records[11]), shown(t, source, records[11]));
  Task first = task("data: own.jsonl\nfew_shot: {count: 2}\n");
  EXPECT_THAT(shown(first, FewShotSource::create(first, records, {}).value(), records[0]),
              ElementsAre("q1", "q2"));
  Task many = task("data: own.jsonl\nfew_shot: {count: 6, match: s}\n");
  const auto few = FewShotSource::create(many, records, {}).value();
  EXPECT_THAT(few.examples(records[1], question_key(many, records[1]).value()).status().message(),
              AllOf(HasSubstr("own.jsonl:2"), HasSubstr("is 6"), HasSubstr("5 examples")));
}

}  // namespace
}  // namespace looplm
