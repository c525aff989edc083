#include "eval/tune_depth.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/rng.h"
#include "base/shuffle.h"
#include "eval/outcomes.h"
#include "eval/task_run.h"
#include "infer/exit_rule.h"

namespace looplm {
namespace {

constexpr size_t kThresholds = 60;
constexpr size_t kFewestQuestions = 20;

// Figures of the rule that stand at equal shares of all, and both ends.
std::vector<double> thresholds_of(std::span<const DepthScores> scores, ExitKind kind,
                                  int64_t loops) {
  const std::vector<double> figures = exit_figures(scores, kind, loops);
  std::vector<double> thresholds;
  for (size_t i = 0; i <= kThresholds && !figures.empty(); ++i) {
    const double figure = figures[i * (figures.size() - 1) / kThresholds];
    if (thresholds.empty() || figure > thresholds.back()) thresholds.push_back(figure);
  }
  return thresholds;
}

// What a setting (from 1) loses against setting 0, of the first metric, in each resample; the first
// is of all questions.
struct Losses {
  std::vector<OutcomeFigures> all;
  std::vector<std::vector<double>> drawn;  // (settings, resamples)

  Estimate of(size_t setting) const {
    return percentile_interval(drawn[setting][0],
                               {drawn[setting].begin() + 1, drawn[setting].end()});
  }
};

Losses losses_on(const Outcomes& outcomes, std::span<const uint32_t> questions,
                 const Resampling& resampling) {
  const MetricColumn& metric = outcomes.metrics()[0];
  const double sign = (metric.lower_is_better ? -1 : 1) * (metric.share ? 100 : 1);
  Losses losses;
  losses.drawn.resize(outcomes.settings().size());
  std::vector<uint32_t> of(questions.size());
  for_each_resample(questions.size(), resampling, [&](auto chosen) {
    for (size_t i = 0; i < of.size(); ++i) of[i] = questions[chosen[i]];
    std::vector<OutcomeFigures> figures = outcome_figures(outcomes, of);
    for (size_t s = 0; s < figures.size(); ++s) {
      losses.drawn[s].push_back(sign * (figures[0].values[0] - figures[s].values[0]));
    }
    if (losses.all.empty()) losses.all = std::move(figures);
  });
  return losses;
}

// Mean depths that rise, each with its threshold.
std::vector<TunedDepth::Point> curve_of(const Outcomes& outcomes, const Losses& losses) {
  std::vector<TunedDepth::Point> points;
  for (size_t s = 1; s < losses.all.size(); ++s) {
    points.push_back({outcomes.settings()[s].exit.threshold, losses.all[s].mean_loops});
  }
  std::sort(points.begin(), points.end(),
            [](const auto& a, const auto& b) { return a.mean_loops < b.mean_loops; });
  std::vector<TunedDepth::Point> curve;
  for (const TunedDepth::Point& point : points) {
    if (curve.empty() || point.mean_loops > curve.back().mean_loops) curve.push_back(point);
  }
  return curve;
}

}  // namespace

Result<TuneResult> tune_depth(Model& model, const Task& task, const TuneOptions& options) {
  if (task.kind == TaskKind::kGenerate) {
    return unsupported(fmt::format(
        "'{}' is answered in writing; tuning needs a task that scores texts", task.name));
  }
  const int64_t loops = model.config().loops;
  if (loops == 1) return unsupported("the model runs one loop; there is no depth to tune");
  LOOPLM_RETURN_IF_ERROR(
      make_exit_rule({.kind = options.kind, .threshold = 0}, model.config().exit_gate).status());
  LOOPLM_ASSIGN_OR_RETURN(TaskQuestions questions, task_questions(task, model, options.limits));
  const size_t count = questions.questions.size();
  if (count < kFewestQuestions) {
    return invalid_argument(fmt::format("'{}' has {}; tuning needs at least {}", task.name,
                                        count_text(count, "question"), kFewestQuestions));
  }
  ScoreOptions score;
  score.progress = options.progress;
  ScoredTexts texts = take_texts(questions);
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                          score_depths(model, texts.examples, loops, score));
  const std::vector<int64_t> full = {loops};
  const std::vector<DepthSetting> settings = depth_settings(
      full, {{options.kind, thresholds_of(scores, options.kind, loops)}}, scores, loops);
  const Outcomes outcomes = scored_outcomes(task, questions, scores, texts.first, settings, loops);

  // Two halves, drawn: a task's questions may stand in order.
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  Rng rng(options.resampling.seed);
  shuffle(order, rng);
  const std::span<const uint32_t> tuning(order.data(), count / 2);
  const std::span<const uint32_t> held_out(order.data() + count / 2, count - count / 2);

  TuneResult result;
  result.questions = static_cast<int64_t>(tuning.size());
  result.held_out = static_cast<int64_t>(held_out.size());
  const Losses seen = losses_on(outcomes, tuning, options.resampling);
  size_t best = 0;
  for (size_t s = 1; s < settings.size(); ++s) {
    const bool less = seen.all[s].mean_loops < seen.all[best].mean_loops;
    if (less && seen.of(s).high <= options.allowed) best = s;
  }
  const Losses unseen = losses_on(outcomes, held_out, options.resampling);
  result.full = unseen.all[0].values[0];
  if (best == 0) return result;
  result.chosen_loss = seen.of(best);
  result.tuned_value = unseen.all[best].values[0];
  const Estimate loss = unseen.of(best);
  result.tuned = TunedDepth{.task = task.name,
                            .kind = options.kind,
                            .loops = loops,
                            .threshold = settings[best].exit.threshold,
                            .mean_loops = unseen.all[best].mean_loops,
                            .metric = outcomes.metrics()[0].name,
                            .allowed = options.allowed,
                            .loss = loss.value,
                            .loss_low = loss.low,
                            .loss_high = loss.high,
                            .curve = curve_of(outcomes, seen)};
  return result;
}

}  // namespace looplm
