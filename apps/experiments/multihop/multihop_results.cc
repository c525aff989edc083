#include "experiments/multihop/multihop_results.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "base/check.h"

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
  MultihopRun run;
  run.questions = questions;
  run.shape = shape;
  run.seed = seed;
  run.parameters = parameters;
  const std::array<std::vector<double>*, kMultihopSets> sets = {&run.held_out, &run.trained,
                                                                &run.facts};
  for (size_t i = 0; i < validations.size(); ++i) {
    const ValidationReport& report = validations[i];
    const size_t set = i % kMultihopSets;
    LOOPLM_CHECK(report.set == static_cast<int64_t>(set), "validation set {} is out of order",
                 report.set);
    if (set == 0) run.steps.push_back(report.step);
    LOOPLM_CHECK(report.step == run.steps.back());
    sets[set]->push_back(report.accuracy.back());
  }
  LOOPLM_CHECK(!run.steps.empty() && run.facts.size() == run.steps.size());
  return run;
}

OrderedJson multihop_run_json(const MultihopRun& run) {
  OrderedJson json;
  json["questions"] = run.questions;
  json["shape"] = run.shape.name();
  json["seed"] = run.seed;
  json["parameters"] = run.parameters;
  json["accuracy"] = run.held_out.back();
  json["steps"] = run.steps;
  json["held_out"] = run.held_out;
  json["trained"] = run.trained;
  json["facts"] = run.facts;
  return json;
}

Result<MultihopRun> multihop_run_from_json(const Json& json) {
  MultihopRun run;
  try {
    run.questions = json.at("questions").get<int64_t>();
    LOOPLM_ASSIGN_OR_RETURN(run.shape, parse_looped_shape(json.at("shape").get<std::string>()));
    run.seed = json.at("seed").get<uint64_t>();
    run.parameters = json.at("parameters").get<int64_t>();
    run.steps = json.at("steps").get<std::vector<int64_t>>();
    run.held_out = json.at("held_out").get<std::vector<double>>();
    run.trained = json.at("trained").get<std::vector<double>>();
    run.facts = json.at("facts").get<std::vector<double>>();
  } catch (const Json::exception& error) {
    return invalid_argument(fmt::format("the result of a multi-hop run: {}", error.what()));
  }
  for (const std::vector<double>* set : {&run.held_out, &run.trained, &run.facts}) {
    if (run.steps.empty() || set->size() != run.steps.size()) {
      return invalid_argument(
          fmt::format("the result of multi-hop run {}: {} steps and {} accuracies; expected as "
                      "many, at least one",
                      run.shape.name(), run.steps.size(), set->size()));
    }
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
