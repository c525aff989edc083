// From scored texts to a question's figures.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "eval/task_run.h"

namespace looplm {
namespace {

// A text under one setting: each token from the loop that it exits at.
struct TextSums {
  double loops = 0;
  double tokens = 0;
  double nll = 0;
  double right = 0;  // tokens that are the most likely
};

TextSums sums_of(const DepthScores& s, const ExitOptions& exit, int64_t trained_loops) {
  TextSums sums;
  sums.tokens = static_cast<double>(s.tokens);
  for (int64_t i = 0; i < s.tokens; ++i) {
    const int64_t loop = s.exit_loop(i, exit, trained_loops);
    const size_t cell = s.at(loop - 1, i);
    sums.loops += static_cast<double>(loop);
    sums.nll += static_cast<double>(s.nll[cell]);
    sums.right += s.right[cell];
  }
  return sums;
}

// Places of the sums; those of Outcomes first.
namespace choice {
enum : size_t {
  kQuestions = 2,
  kRight,
  kRightCharacters,
  kRightBytes,
  kRightTokens,
  kNll,
  kNllTokens,
  kClasses
};
}
namespace text {
enum : size_t { kQuestions = 2, kNll, kBytes, kRightTokens, kExact, kWidth };
}

MetricColumn choice_column(TaskMetric metric, size_t classes) {
  using Form = MetricColumn::Form;
  MetricColumn column = {task_metric_name(metric), Form::kRatio, choice::kRight,
                         choice::kQuestions};
  if (metric == TaskMetric::kAccuracyCharacters) column.numerator = choice::kRightCharacters;
  if (metric == TaskMetric::kAccuracyBytes) column.numerator = choice::kRightBytes;
  if (metric == TaskMetric::kAccuracyTokens) column.numerator = choice::kRightTokens;
  if (metric == TaskMetric::kMacroF1) {
    column.form = Form::kMacroF1;
    column.numerator = choice::kClasses;
    column.classes = classes;
  }
  if (metric == TaskMetric::kChoiceNll) {
    column = {column.name, Form::kRatio, choice::kNll, choice::kNllTokens, 0, false, true};
  }
  return column;
}

MetricColumn text_column(TaskMetric metric) {
  using Form = MetricColumn::Form;
  const std::string name = task_metric_name(metric);
  switch (metric) {
    case TaskMetric::kPerplexity:
      return {name, Form::kExpRatio, text::kNll, Outcomes::kTokens, 0, false, true};
    case TaskMetric::kWordPerplexity:
      return {name, Form::kExpRatio, text::kNll, text::kQuestions, 0, false, true};
    case TaskMetric::kBitsPerByte:
      return {name, Form::kBitsRatio, text::kNll, text::kBytes, 0, false, true};
    case TaskMetric::kTokenAccuracy:
      return {name, Form::kRatio, text::kRightTokens, Outcomes::kTokens};
    case TaskMetric::kExactMatch:
      return {name, Form::kRatio, text::kExact, text::kQuestions};
    default:
      return {name, Form::kRatio, text::kNll, Outcomes::kTokens, 0, false, true};
  }
}

void add_choices(const TaskQuestion& q, std::span<const DepthScores> scores,
                 const DepthSetting& setting, int64_t trained_loops, size_t classes,
                 std::span<double> to) {
  std::vector<TextSums> all;
  for (size_t c = 0; c < scores.size(); ++c) {
    all.push_back(sums_of(scores[c], setting.exit, trained_loops));
    to[Outcomes::kLoops] += all[c].loops;
    to[Outcomes::kTokens] += all[c].tokens;
  }
  // Of equals the first choice, as the most likely token is.
  const auto best_per = [&](const auto& length) {
    size_t best = 0;
    for (size_t c = 1; c < all.size(); ++c) {
      if (all[c].nll / length(c) < all[best].nll / length(best)) best = c;
    }
    return best;
  };
  const auto at_least_one = [](int64_t n) { return static_cast<double>(std::max<int64_t>(1, n)); };
  const size_t best = best_per([](size_t) { return 1.0; });
  to[choice::kQuestions] = 1;
  to[choice::kRight] = best == q.right;
  to[choice::kRightCharacters] =
      best_per([&](size_t c) { return at_least_one(q.texts[c].characters); }) == q.right;
  to[choice::kRightBytes] =
      best_per([&](size_t c) { return at_least_one(q.texts[c].bytes); }) == q.right;
  to[choice::kRightTokens] = best_per([&](size_t c) { return all[c].tokens; }) == q.right;
  to[choice::kNll] = all[q.right].nll;
  to[choice::kNllTokens] = all[q.right].tokens;
  if (classes == 0) return;
  to[choice::kClasses + 3 * best] += best == q.right;
  to[choice::kClasses + 3 * best + 1] += 1;
  to[choice::kClasses + 3 * q.right + 2] += 1;
}

void add_text(const TaskQuestion& q, std::span<const DepthScores> scores,
              const DepthSetting& setting, int64_t trained_loops, std::span<double> to) {
  for (size_t w = 0; w < scores.size(); ++w) {
    const TextSums sums = sums_of(scores[w], setting.exit, trained_loops);
    to[Outcomes::kLoops] += sums.loops;
    to[Outcomes::kTokens] += sums.tokens;
    to[text::kNll] += sums.nll;
    to[text::kRightTokens] += sums.right;
    to[text::kBytes] += static_cast<double>(q.texts[w].bytes);
  }
  to[text::kQuestions] = 1;
  to[text::kExact] = to[text::kRightTokens] == to[Outcomes::kTokens];
}

// A threshold that people can write: a margin to three digits of what it lacks to 1, others to
// three digits.
double rounded(ExitKind kind, double value) {
  std::string text = fmt::format("{:.3g}", value);
  if (kind == ExitKind::kMargin && value < 1) {
    const auto zeros = static_cast<int>(std::floor(-std::log10(1 - value)));
    text = fmt::format("{:.{}f}", value, zeros + 3);
  }
  double result = value;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

// Figures of a rule that tokens stay below with these shares.
std::vector<double> quantiles(ExitKind kind, std::span<const DepthScores> scores,
                              int64_t trained_loops) {
  const std::vector<double> values = exit_figures(scores, kind, trained_loops);
  std::vector<double> thresholds;
  for (const double share : {0.25, 0.5, 0.75}) {
    if (values.empty()) break;
    const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
    const double value = rounded(kind, values[at]);
    if (thresholds.empty() || value > thresholds.back()) thresholds.push_back(value);
  }
  return thresholds;
}

}  // namespace

std::vector<int64_t> depths_to(int64_t loops) {
  std::vector<int64_t> depths(static_cast<size_t>(loops));
  std::iota(depths.begin(), depths.end(), int64_t{1});
  return depths;
}

std::vector<DepthSetting> depth_settings(std::span<const int64_t> depths,
                                         const std::vector<ExitRequest>& exits,
                                         std::span<const DepthScores> scores,
                                         int64_t trained_loops) {
  std::vector<DepthSetting> settings;
  for (const int64_t loops : depths) {
    settings.push_back({{.kind = ExitKind::kFixed, .max_loops = loops}});
  }
  for (const ExitRequest& request : exits) {
    for (const double threshold :
         request.automatic ? quantiles(request.kind, scores, trained_loops) : request.thresholds) {
      settings.push_back(
          {{.kind = request.kind, .threshold = threshold, .max_loops = trained_loops}});
    }
  }
  return settings;
}

Outcomes scored_outcomes(const Task& task, const TaskQuestions& questions,
                         std::span<const DepthScores> scores, std::span<const size_t> first_text,
                         const std::vector<DepthSetting>& settings, int64_t trained_loops) {
  const bool choices = task.kind != TaskKind::kPerplexity;
  const size_t classes = questions.classes.size();
  std::vector<MetricColumn> metrics;
  for (const TaskMetric m : task.metrics) {
    metrics.push_back(choices ? choice_column(m, classes) : text_column(m));
  }
  const size_t width = choices ? choice::kClasses + 3 * classes : text::kWidth;
  Outcomes outcomes(settings, std::move(metrics), width, questions.questions.size());
  for (size_t q = 0; q < questions.questions.size(); ++q) {
    const auto own = scores.subspan(first_text[q], first_text[q + 1] - first_text[q]);
    for (size_t s = 0; s < settings.size(); ++s) {
      const std::span<double> to = outcomes.at(q, s);
      if (choices) {
        add_choices(questions.questions[q], own, settings[s], trained_loops, classes, to);
      } else {
        add_text(questions.questions[q], own, settings[s], trained_loops, to);
      }
    }
  }
  return outcomes;
}

Outcomes text_outcomes(std::span<const DepthScores> scores,
                       const std::vector<DepthSetting>& settings, int64_t trained_loops) {
  Task task;
  task.kind = TaskKind::kPerplexity;
  task.metrics = {TaskMetric::kChoiceNll, TaskMetric::kTokenAccuracy};
  TaskQuestions questions;
  questions.questions.resize(scores.size());
  std::vector<size_t> first(scores.size() + 1);
  std::iota(first.begin(), first.end(), size_t{0});
  for (TaskQuestion& q : questions.questions) q.texts.resize(1);
  return scored_outcomes(task, questions, scores, first, settings, trained_loops);
}

}  // namespace looplm
