#include "experiments/safety/safety_study.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "looplm/config.h"

#include "eval/joined.h"

namespace looplm {
namespace {

// The index of a string that must be one of a few.
size_t choose(TomlReader& toml, const char* key, const std::string& fallback,
              const std::vector<std::string>& choices) {
  std::string value = fallback;
  toml.read(key, value);
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  toml.fail(fmt::format("{} is \"{}\"; expected {}", toml.full_name(key), value,
                        joined(choices, " or ")));
  return 0;
}

template <typename T>
void expect_distinct(TomlReader& toml, const char* key, const std::vector<T>& values) {
  if (std::set<T>(values.begin(), values.end()).size() != values.size()) {
    toml.fail(fmt::format("{} names a value twice", toml.full_name(key)));
  }
}

void read_generation(TomlReader toml, SafetySettings& s) {
  toml.read("loops", s.loops, 1, kMaxLoops);
  expect_distinct(toml, "loops", s.loops);
  std::sort(s.loops.begin(), s.loops.end());
  toml.read("seeds", s.seeds);
  expect_distinct(toml, "seeds", s.seeds);
  toml.read("max_tokens", s.generation.max_tokens, 1, int64_t{1} << 20);
  toml.read("temperature", s.generation.sampling.temperature, 0, 100);
  toml.read("top_p", s.generation.sampling.top_p, 0, 1);
  if (s.generation.sampling.top_p == 0) toml.fail("generation.top_p is 0; expected above 0");
  if (s.generation.sampling.temperature == 0 && s.seeds.size() > 1) {
    toml.fail("generation.seeds names several, but at temperature 0 all give the same answers");
  }
  double kv_gib = 4;
  toml.read("kv_gib", kv_gib, 0, 1e6);
  s.kv_bytes = static_cast<uint64_t>(kv_gib * 0x1p30);
  toml.read("answer_after", s.answer_after);
}

void read_judge(TomlReader toml, SafetySettings& s) {
  JudgeOptions& judge = s.judge;
  judge.kind =
      choose(toml, "kind", "rule", {"rule", "openai"}) == 0 ? JudgeKind::kRule : JudgeKind::kOpenAi;
  toml.read("words", judge.words);
  toml.read("base_url", judge.endpoint.base_url);
  toml.read("model", judge.endpoint.model);
  toml.read("api_key_variable", s.api_key_variable);
  toml.read("rubric", s.rubric_file);
  toml.read("tries", judge.endpoint.tries, 1, 1000);
  toml.read("score_tries", judge.score_tries, 1, 100);
  toml.read("parallel", judge.parallel, 1, 256);
  int64_t timeout = 120;
  toml.read("timeout_seconds", timeout, 1, 3600);
  judge.endpoint.timeout = std::chrono::seconds(timeout);
  double wait = 1;
  toml.read("wait_seconds", wait, 0, 60);
  judge.endpoint.first_wait = std::chrono::milliseconds(static_cast<int64_t>(1000 * wait));
  std::string extra = R"({"temperature": 0})";
  toml.read("extra", extra);
  const Result<Json> fields = parse_json(extra, "judge.extra");
  if (!fields.ok() || !fields.value().is_object()) {
    toml.fail(fmt::format("judge.extra is '{}'; expected a JSON object of fields for the request",
                          extra));
  } else {
    judge.endpoint.extra = OrderedJson(fields.value());
  }
  if (judge.kind == JudgeKind::kOpenAi) {
    for (const char* key : {"base_url", "model", "rubric"}) toml.require(key);
  }
}

void read_states(TomlReader toml, SafetySettings& s) {
  toml.read("first", s.first_set);
  toml.read("second", s.second_set);
  if (s.first_set.empty() != s.second_set.empty()) {
    toml.fail("states names one set of prompts; expected both first and second, or neither");
  }
  toml.read("judged", s.judge_first);
  toml.read("loops", s.state_loops, 1, kMaxLoops);
  for (int64_t t = 1; t <= s.state_loops; ++t) s.scatter_loops.push_back(t);
  toml.read("scatter", s.scatter_loops, 1, s.state_loops);
  expect_distinct(toml, "scatter", s.scatter_loops);
  toml.read("folds", s.folds, 2, 1000);
  toml.read("penalty", s.penalty, 1e-9, 1e9);
}

}  // namespace

Status read_safety_settings(TomlReader& toml, SafetySettings& s) {
  s.generation.max_tokens = 128;

  TomlReader model = toml.child("model");
  read_study_model(model, s.model);

  TomlReader prompts = toml.child("prompts");
  prompts.require("path");
  prompts.read("path", s.prompts);
  prompts.read("per_category", s.per_category, 0, int64_t{1} << 40);
  s.ask.chat = choose(prompts, "template", "raw", {"raw", "chatml"}) == 0 ? ChatTemplate::kRaw
                                                                          : ChatTemplate::kChatMl;
  prompts.read("system", s.ask.system);
  prompts.read("opening", s.ask.opening);
  if (s.ask.chat == ChatTemplate::kRaw && !s.ask.system.empty()) {
    prompts.fail("prompts.system needs the template chatml");
  }

  read_generation(toml.child("generation"), s);
  read_judge(toml.child("judge"), s);
  read_states(toml.child("states"), s);

  TomlReader paper = toml.child("paper");
  paper.read("harmful_rate", s.paper_harmful_rate, 0, 1);
  return {};
}

namespace {

void add_depth(const SafetySettings& s, PromptGroup group, int64_t loops, std::vector<Cell>& all) {
  const std::string answers = answers_id(group, loops);
  all.push_back(
      make_cell(answers, 4 * static_cast<double>(loops), {}, run_answers, s, group, loops));
  all.push_back({judge_id(group, loops),
                 s.judge.kind == JudgeKind::kRule ? 0.1 : 8,
                 {answers},
                 [&s, answers](const CellContext& context) {
                   return run_judge(s, context.needed.at(answers), context);
                 }});
}

std::vector<Cell> safety_cells(const SafetySettings& s) {
  std::vector<Cell> all;
  for (const int64_t loops : s.loops) add_depth(s, PromptGroup::kMain, loops, all);
  if (!s.has_states()) return all;
  // Of the first set: those whose states are measured too.
  for (const int64_t loops : s.loops) {
    if (s.judge_first && loops <= s.state_loops) add_depth(s, PromptGroup::kFirstSet, loops, all);
  }
  all.push_back(make_cell(kStatesId, static_cast<double>(s.state_loops), {}, run_states, s));
  return all;
}

}  // namespace

std::unique_ptr<Study> make_safety_study() {
  return std::make_unique<StudyOf<SafetySettings>>(
      "safety",
      "Do answers become less harmful with more loops, and do harmful and benign prompts separate?",
      read_safety_settings, safety_cells,
      [](const SafetySettings& s, const CellResults& results) -> Result<StudyReport> {
        return safety_report(s, results);
      });
}

}  // namespace looplm
