#include <map>

#include "experiments/multihop/multihop_study.h"

namespace looplm {
namespace {

// Where y first reaches `level`, between two places by the straight line; none where it never does.
std::optional<double> first_reached(const std::vector<int64_t>& x, const std::vector<double>& y,
                                    double level) {
  for (size_t i = 0; i < x.size(); ++i) {
    if (y[i] < level) continue;
    const auto here = static_cast<double>(x[i]);
    if (i == 0) return here;
    const auto before = static_cast<double>(x[i - 1]);
    return before + (here - before) * (level - y[i - 1]) / (y[i] - y[i - 1]);
  }
  return std::nullopt;
}

}  // namespace

MultihopRun multihop_run(int64_t questions, const LoopedShape& shape, uint64_t seed,
                         int64_t parameters, const std::vector<ValidationReport>& validations) {
  const ValidationRounds rounds = validation_rounds(validations, 3);
  MultihopRun run = {questions, shape, seed, parameters, rounds.steps, {}, {}, {}};
  for (const std::vector<double>& round : rounds.accuracy) {
    run.held_out.push_back(round[0]);
    run.trained.push_back(round[1]);
    run.facts.push_back(round[2]);
  }
  return run;
}

std::vector<MultihopCurve> multihop_curves(const std::vector<MultihopRun>& runs) {
  std::map<std::pair<int, int>, std::map<int64_t, std::vector<MultihopRun>>> sorted;
  for (const MultihopRun& run : runs) {
    sorted[{run.shape.depth(), run.shape.loops}][run.questions].push_back(run);
  }
  std::vector<MultihopCurve> curves;
  for (auto& [order, by_questions] : sorted) {
    MultihopCurve curve;
    for (auto& [questions, seeds] : by_questions) {
      curve.shape = seeds.front().shape;
      curve.parameters = seeds.front().parameters;
      std::vector<double> accuracy;
      for (const MultihopRun& run : seeds) accuracy.push_back(run.held_out.back());
      curve.questions.push_back(questions);
      curve.accuracy.push_back(summarize_seeds(accuracy));
      curve.runs.push_back(std::move(seeds));
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

const MultihopCurve* find_curve(const std::vector<MultihopCurve>& curves,
                                const LoopedShape& shape) {
  for (const MultihopCurve& curve : curves) {
    if (curve.shape == shape) return &curve;
  }
  return nullptr;
}

std::optional<double> questions_needed(const MultihopCurve& curve, double accuracy) {
  std::vector<double> means;
  for (const SeedSummary& summary : curve.accuracy) means.push_back(summary.mean);
  return first_reached(curve.questions, means, accuracy);
}

std::optional<double> steps_needed(const MultihopRun& run, double accuracy) {
  return first_reached(run.steps, run.held_out, accuracy);
}

}  // namespace looplm
