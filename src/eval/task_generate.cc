// Generating tasks: the engine runs many questions at once, once for each setting.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "looplm/engine.h"

#include "base/rng.h"
#include "base/timer.h"
#include "eval/task_run.h"

namespace looplm {
namespace {

enum : size_t { kQuestions = 2, kFirstExtractor };

// Asks all questions under one setting.
class SettingRun {
 public:
  SettingRun(Engine& engine, const Task& task, const TaskQuestions& questions,
             const DepthSetting& setting, int64_t at_once)
      : engine_(engine), task_(task), questions_(questions), setting_(setting), at_once_(at_once) {}

  // `take` gets each text as it ends; the first error stops the run.
  Status run(const std::function<Status(size_t question, int64_t sample, Generation)>& take) {
    const auto total = static_cast<int64_t>(questions_.questions.size()) * task_.generation.samples;
    int64_t next = 0, running = 0;
    Status status;
    while (status.ok() && (running > 0 || next < total)) {
      for (; running < at_once_ && next < total; ++next, ++running) {
        const auto question = static_cast<size_t>(next / task_.generation.samples);
        const int64_t sample = next % task_.generation.samples;
        Request request = request_for(question, next);
        request.done = [&, question, sample](Generation text) {
          --running;
          if (status.ok()) status = text.status;
          if (status.ok()) status = take(question, sample, std::move(text));
        };
        status = submit(std::move(request), question);
        if (!status.ok()) break;
      }
      engine_.step();
    }
    // Callbacks refer to this frame: nothing may be left in the engine.
    for (const int64_t id : ids_) engine_.cancel(id);
    engine_.run();
    return status;
  }

 private:
  Request request_for(size_t question, int64_t index) const {
    Request request;
    request.prompt = questions_.questions[question].ids;
    GenerateOptions& o = request.options;
    o.max_tokens = task_.generation.max_tokens;
    o.stop_strings = task_.generation.stop;
    o.exit = setting_.exit;
    o.sampling = task_.generation.sampling;
    // Noise of its own for every text, the same under every setting.
    o.sampling.seed = Rng(task_.generation.sampling.seed, static_cast<uint64_t>(index)).next_u64();
    return request;
  }

  Status submit(Request request, size_t question) {
    Result<int64_t> id = engine_.submit(std::move(request));
    if (!id.ok()) return id.status().with_context(questions_.questions[question].record.where);
    ids_.push_back(*id);
    return {};
  }

  Engine& engine_;
  const Task& task_;
  const TaskQuestions& questions_;
  const DepthSetting& setting_;
  const int64_t at_once_;
  std::vector<int64_t> ids_;
};

Result<OrderedJson> saved_fields(const Task& task, const TaskQuestion& q, const Generation& text) {
  OrderedJson fields;
  if (!task.save.empty()) {
    Json record = q.record.fields;
    record["prompt_text"] = q.prompt;
    record["output"] = text.text;
    for (const auto& [name, source] : task.save) {
      LOOPLM_ASSIGN_OR_RETURN(fields[name], source.render(record));
    }
    return fields;
  }
  fields["where"] = q.record.where;
  fields["output"] = text.text;
  fields["tokens"] = text.tokens.size();
  fields["mean_loops"] = text.mean_loops();
  fields["finish"] = finish_reason_name(text.finish_reason);
  return fields;
}

// Marks one text; the right ones are added to the sums with the weight of a sample.
Status mark(const Task& task, const TaskQuestion& q, const Generation& text, std::span<double> sums,
            SavedText& saved) {
  for (const GeneratedToken& token : text.tokens) {
    sums[Outcomes::kLoops] += static_cast<double>(token.loops);
  }
  sums[Outcomes::kTokens] += static_cast<double>(text.tokens.size());
  sums[kQuestions] = 1;
  LOOPLM_ASSIGN_OR_RETURN(saved.fields, saved_fields(task, q, text));
  if (task.right.empty()) return {};
  const double weight = 1 / static_cast<double>(task.generation.samples);
  const bool list = task.save.empty();
  if (list) saved.fields["answer"] = q.answer;
  for (size_t e = 0; e < task.extract.size(); ++e) {
    Result<std::optional<std::string>> answer = task.extract[e].extractor.find(text.text);
    if (!answer.ok()) return answer.status().with_context(q.record.where);
    const bool right = answer->has_value() && same_answer(task.comparison, **answer, q.answer);
    sums[kFirstExtractor + e] += right ? weight : 0;
    if (e == 0 && right) sums[kFirstExtractor + task.extract.size()] = 1;
    if (list) {
      const std::string name = task.extract[e].name.empty() ? "answer" : task.extract[e].name;
      saved.fields["extracted"][name] = answer->has_value() ? OrderedJson(**answer) : nullptr;
      saved.fields["right"][name] = right;
    }
  }
  return {};
}

std::vector<MetricColumn> columns(const Task& task) {
  std::vector<MetricColumn> metrics;
  for (const TaskMetric m : task.metrics) {
    const std::string name = task_metric_name(m);
    if (m == TaskMetric::kAnySample) {
      metrics.push_back(
          {name, MetricColumn::Form::kRatio, kFirstExtractor + task.extract.size(), kQuestions});
      continue;
    }
    for (size_t e = 0; e < task.extract.size(); ++e) {
      const std::string& extractor = task.extract[e].name;
      metrics.push_back({extractor.empty() ? name : fmt::format("{} ({})", name, extractor),
                         MetricColumn::Form::kRatio, kFirstExtractor + e, kQuestions});
    }
  }
  return metrics;
}

}  // namespace

Result<Outcomes> generated_outcomes(Model& model, const Task& task, const TaskQuestions& questions,
                                    const std::vector<DepthSetting>& settings,
                                    const TaskRunOptions& options, TaskResult& result) {
  const size_t width = kFirstExtractor + task.extract.size() + 1;
  Outcomes outcomes(settings, columns(task), width, questions.questions.size());
  result.saved.resize(settings.size());
  result.texts = static_cast<int64_t>(questions.questions.size()) * task.generation.samples;
  // The deepest first: prompts' keys and values of more loops serve those of fewer.
  std::vector<size_t> order(settings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return settings[a].exit.max_loops > settings[b].exit.max_loops;
  });
  Timer timer;
  Engine engine(model);
  const double texts = static_cast<double>(result.texts) * static_cast<double>(settings.size());
  double done = 0;
  for (const size_t s : order) {
    SettingRun run(engine, task, questions, settings[s], options.requests_at_once);
    const auto take = [&](size_t q, int64_t sample, Generation text) -> Status {
      SavedText saved = {q, sample, {}};
      LOOPLM_RETURN_IF_ERROR(mark(task, questions.questions[q], text, outcomes.at(q, s), saved));
      result.saved[s].push_back(std::move(saved));
      if (options.progress) {
        options.progress(fmt::format("{}: {}", task.name, settings[s].name()), ++done / texts);
      }
      return {};
    };
    LOOPLM_RETURN_IF_ERROR(run.run(take));
    std::sort(result.saved[s].begin(), result.saved[s].end(), [](const auto& a, const auto& b) {
      return std::pair(a.question, a.sample) < std::pair(b.question, b.sample);
    });
  }
  result.seconds = timer.seconds();
  return outcomes;
}

}  // namespace looplm
