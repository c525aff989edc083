#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/file.h"
#include "base/rng.h"
#include "experiments/core/json_log.h"
#include "experiments/core/labelled_states.h"
#include "experiments/core/linear_probe.h"
#include "experiments/core/pca.h"
#include "experiments/core/study_model.h"
#include "experiments/safety/answers.h"
#include "experiments/safety/safety_study.h"

namespace looplm {
namespace {

Status check_same_prompt(const Json& record, const std::string& prompt) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string there, json_string(record, "prompt", ""));
  if (there == prompt) return {};
  return invalid_argument(
      "the prompts are not those that this run was begun with; start another run");
}

// A record of the log by its index, checked against the prompts.
Result<size_t> record_index(const Json& record, const std::vector<std::string>& prompts) {
  LOOPLM_ASSIGN_OR_RETURN(const int64_t index, json_int(record, "index", -1, 0, INT64_MAX));
  if (index < 0 || index >= static_cast<int64_t>(prompts.size())) {
    return invalid_argument(fmt::format("index {}; there are {} prompts", index, prompts.size()));
  }
  LOOPLM_RETURN_IF_ERROR(check_same_prompt(record, prompts[static_cast<size_t>(index)]));
  return static_cast<size_t>(index);
}

double part(size_t done, size_t all) {
  return static_cast<double>(done) / static_cast<double>(all);
}

}  // namespace

const char* prompt_group_name(PromptGroup group) {
  return group == PromptGroup::kMain ? "main" : "first";
}

std::string answers_id(PromptGroup group, int64_t loops) {
  return fmt::format("answers-{}-loops={}", prompt_group_name(group), loops);
}

std::string judge_id(PromptGroup group, int64_t loops) {
  return fmt::format("judge-{}-loops={}", prompt_group_name(group), loops);
}

Result<OrderedJson> run_answers(const SafetySettings& s, PromptGroup group, int64_t loops,
                                const CellContext& context) {
  const bool main = group == PromptGroup::kMain;
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<CategorisedPrompt> prompts,
                          read_prompts(main ? s.prompts : s.first_set, main ? s.per_category : 0));
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          load_study_model(s.model, context.threads));
  std::vector<std::vector<int32_t>> ids;
  for (const CategorisedPrompt& p : prompts) {
    LOOPLM_ASSIGN_OR_RETURN(std::vector<int32_t> asked,
                            ask_ids(*model->tokenizer(), s.ask, p.prompt));
    ids.push_back(std::move(asked));
  }

  // Answer i is to prompt i % prompts with seed i / prompts.
  const size_t all = prompts.size() * s.seeds.size();
  std::vector<std::string> texts;
  for (size_t i = 0; i < all; ++i) texts.push_back(prompts[i % prompts.size()].prompt);
  std::vector<std::optional<Answer>> answers(all);
  size_t done = 0;
  LOOPLM_ASSIGN_OR_RETURN(
      const std::unique_ptr<JsonLog> log,
      JsonLog::open(context.directory + "/answers.jsonl", [&](const Json& record) -> Status {
        LOOPLM_ASSIGN_OR_RETURN(const size_t index, record_index(record, texts));
        Answer answer;
        LOOPLM_ASSIGN_OR_RETURN(answer.text, json_string(record, "text", ""));
        LOOPLM_ASSIGN_OR_RETURN(answer.tokens, json_int(record, "tokens", 0, 0, INT64_MAX));
        LOOPLM_ASSIGN_OR_RETURN(answer.ended, json_bool(record, "ended", false));
        done += answers[index].has_value() ? 0 : 1;
        answers[index] = std::move(answer);
        return {};
      }));

  GenerateOptions options = s.generation;
  options.exit.max_loops = loops;
  if (s.ask.chat == ChatTemplate::kChatMl) {
    options.stop_strings.emplace_back("<|im_end|>");
  }
  for (size_t seed = 0; seed < s.seeds.size(); ++seed) {
    const size_t first = seed * prompts.size();
    std::vector<size_t> which;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (!answers[first + i].has_value()) which.push_back(i);
    }
    // Drawn, so that the noise of one seed's second prompt is not that of the next seed's first.
    options.sampling.seed = Rng(s.seeds[seed]).next_u64();
    const auto keep = [&](size_t i, const Answer& answer) -> Status {
      answers[first + i] = answer;
      context.progress(part(++done, all), "answering");
      return log->append({{"index", first + i},
                          {"prompt", prompts[i].prompt},
                          {"text", answer.text},
                          {"tokens", answer.tokens},
                          {"ended", answer.ended}});
    };
    LOOPLM_RETURN_IF_ERROR(answer_all(*model, ids, which, options, s.kv_bytes, context.stop, keep));
  }

  OrderedJson result;
  result["trained_loops"] = model->config().loops;
  result["answers"] = OrderedJson::array();
  for (size_t i = 0; i < all; ++i) {
    result["answers"].push_back({{"category", prompts[i % prompts.size()].category},
                                 {"prompt", texts[i]},
                                 {"seed", s.seeds[i / prompts.size()]},
                                 {"text", answers[i]->text},
                                 {"tokens", answers[i]->tokens},
                                 {"ended", answers[i]->ended}});
  }
  return result;
}

Result<OrderedJson> run_judge(const SafetySettings& s, const Json& answers,
                              const CellContext& context) {
  JudgeOptions options = s.judge;
  options.endpoint.stop = context.stop;
  if (options.kind == JudgeKind::kOpenAi) {
    if (!s.api_key_variable.empty()) {
      const char* key = std::getenv(s.api_key_variable.c_str());
      if (key == nullptr || *key == '\0') {
        return invalid_argument(
            fmt::format("judge.api_key_variable names {}, which the environment does not hold",
                        s.api_key_variable));
      }
      options.endpoint.api_key = key;
    }
    LOOPLM_ASSIGN_OR_RETURN(options.rubric, read_text_file(s.rubric_file));
    LOOPLM_RETURN_IF_ERROR(check_rubric(options.rubric).with_context(s.rubric_file));
  }

  std::vector<std::optional<JudgedPair>> pairs;  // none where the answer was cut off
  std::vector<std::string> prompts;
  for (const Json& answer : answers.at("answers")) {
    prompts.push_back(answer.at("prompt").get<std::string>());
    const std::optional<std::string> shown =
        final_answer(answer.at("text").get<std::string>(), s.answer_after);
    pairs.push_back(shown ? std::optional(JudgedPair{prompts.back(), *shown}) : std::nullopt);
  }
  std::vector<std::optional<OrderedJson>> judged(pairs.size());
  size_t done = 0;
  LOOPLM_ASSIGN_OR_RETURN(
      const std::unique_ptr<JsonLog> log,
      JsonLog::open(context.directory + "/judged.jsonl", [&](const Json& record) -> Status {
        LOOPLM_ASSIGN_OR_RETURN(const size_t index, record_index(record, prompts));
        if (!record.contains("judgement")) return invalid_argument("no judgement");
        done += judged[index].has_value() ? 0 : 1;
        judged[index] = OrderedJson(record.at("judgement"));
        return {};
      }));
  std::vector<size_t> which;
  std::vector<JudgedPair> open;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (judged[i].has_value()) continue;
    if (!pairs[i].has_value()) {
      judged[i] = OrderedJson{{"score", nullptr}, {"unfinished", true}};
      ++done;
      continue;
    }
    which.push_back(i);
    open.push_back(*pairs[i]);
  }
  const auto keep = [&](size_t i, const Judgement& j) -> Status {
    OrderedJson judgement = {{"score", nullptr},
                             {"reply", j.reply},
                             {"model", j.model},
                             {"tries", j.tries},
                             {"prompt_tokens", j.prompt_tokens},
                             {"completion_tokens", j.completion_tokens}};
    if (j.score.has_value()) judgement["score"] = *j.score;
    judged[which[i]] = judgement;
    context.progress(part(++done, pairs.size()), "judging");
    return log->append(
        {{"index", which[i]}, {"prompt", prompts[which[i]]}, {"judgement", judgement}});
  };
  LOOPLM_RETURN_IF_ERROR(judge_all(options, open, keep));
  OrderedJson result;
  result["judged"] = OrderedJson::array();
  for (const std::optional<OrderedJson>& j : judged) result["judged"].push_back(*j);
  return result;
}

Result<OrderedJson> run_states(const SafetySettings& s, const CellContext& context) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                          load_study_model(s.model, context.threads));
  const auto width = static_cast<size_t>(model->config().hidden_size);
  const auto loops = static_cast<size_t>(s.state_loops);
  OrderedJson result;
  result["trained_loops"] = model->config().loops;
  std::vector<CategorisedPrompt> prompts;
  std::vector<uint8_t> labels;
  for (const bool first : {true, false}) {
    const std::string& path = first ? s.first_set : s.second_set;
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<CategorisedPrompt> set, read_prompts(path, 0));
    result[first ? "first" : "second"] = {{"name", std::filesystem::path(path).stem().string()},
                                          {"prompts", set.size()}};
    prompts.insert(prompts.end(), set.begin(), set.end());
    labels.resize(prompts.size(), first ? 1 : 0);
  }

  // What the prompt leaves, not the beginning of an answer.
  AskOptions ask = s.ask;
  ask.opening.clear();
  std::vector<LabelledStates> states(loops);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (context.stopped()) return stopped_cell();
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            ask_ids(*model->tokenizer(), ask, prompts[i].prompt));
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<float> all, last_states(*model, ids, s.state_loops));
    for (size_t t = 0; t < loops; ++t) {
      states[t].add(std::span(all).subspan(t * width, width), labels[i]);
    }
    context.progress(0.8 * part(i + 1, prompts.size()), "reading prompts");
  }

  result["loops"] = OrderedJson::array();
  for (size_t t = 0; t < loops; ++t) {
    if (context.stopped()) return stopped_cell();
    LOOPLM_ASSIGN_OR_RETURN(
        const ProbeQuality probe,
        cross_validate_probe(states[t], {static_cast<size_t>(s.folds), 1}, {s.penalty}));
    LOOPLM_ASSIGN_OR_RETURN(const Pca pca, principal_components(states[t].states, width, 2));
    std::vector<double> x, y;
    LabelledStates plane;
    double mean_x[2] = {0, 0};
    for (size_t i = 0; i < labels.size(); ++i) {
      x.push_back(pca.projected[2 * i]);
      y.push_back(pca.projected[2 * i + 1]);
      mean_x[labels[i]] +=
          x.back() / static_cast<double>(std::count(labels.begin(), labels.end(), labels[i]));
      const float point[2] = {static_cast<float>(x.back()), static_cast<float>(y.back())};
      plane.add(point, labels[i]);
    }
    // A component's sign means nothing; the first set is drawn on the right.
    if (mean_x[1] < mean_x[0]) {
      for (double& value : x) value = -value;
    }
    LOOPLM_ASSIGN_OR_RETURN(const double full, silhouette(states[t]));
    LOOPLM_ASSIGN_OR_RETURN(const double flat, silhouette(plane));
    result["loops"].push_back({{"accuracy", probe.accuracy},
                               {"auc", probe.auc},
                               {"silhouette", full},
                               {"plane_silhouette", flat},
                               {"share", pca.share},
                               {"right", probe.right},
                               {"log_odds", probe.scores},
                               {"x", x},
                               {"y", y}});
    context.progress(0.8 + 0.2 * part(t + 1, loops), "measuring separation");
  }
  return result;
}

}  // namespace looplm
