#include "experiments/mano/mano_results.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"

namespace looplm {

ManoRun mano_run(int max_length, const LoopedShape& shape, double learning_rate, uint64_t seed,
                 int64_t parameters, const std::vector<ValidationReport>& validations) {
  ManoRun run;
  run.max_length = max_length;
  run.shape = shape;
  run.learning_rate = learning_rate;
  run.seed = seed;
  run.parameters = parameters;
  for (const ValidationReport& report : validations) {
    LOOPLM_CHECK(report.set >= 0 && report.set < max_length, "validation set {}", report.set);
    if (report.set == 0) {
      run.steps.push_back(report.step);
      run.accuracy.emplace_back();
    }
    LOOPLM_CHECK(
        !run.accuracy.empty() && report.set == static_cast<int64_t>(run.accuracy.back().size()),
        "validation set {} is out of order", report.set);
    run.accuracy.back().push_back(report.accuracy.back());
    run.loop_accuracy = report.accuracy;
  }
  LOOPLM_CHECK(!run.accuracy.empty() &&
               run.accuracy.back().size() == static_cast<size_t>(max_length));
  return run;
}

OrderedJson mano_run_json(const ManoRun& run) {
  OrderedJson json;
  json["max_length"] = run.max_length;
  json["shape"] = run.shape.name();
  json["learning_rate"] = run.learning_rate;
  json["seed"] = run.seed;
  json["parameters"] = run.parameters;
  json["accuracy"] = run.final_accuracy();
  json["loop_accuracy"] = run.loop_accuracy;
  json["steps"] = run.steps;
  json["accuracy_by_length"] = run.accuracy;
  return json;
}

Result<ManoRun> mano_run_from_json(const Json& json) {
  ManoRun run;
  try {
    run.max_length = json.at("max_length").get<int>();
    LOOPLM_ASSIGN_OR_RETURN(run.shape, parse_looped_shape(json.at("shape").get<std::string>()));
    run.learning_rate = json.at("learning_rate").get<double>();
    run.seed = json.at("seed").get<uint64_t>();
    run.parameters = json.at("parameters").get<int64_t>();
    run.loop_accuracy = json.at("loop_accuracy").get<std::vector<double>>();
    run.steps = json.at("steps").get<std::vector<int64_t>>();
    run.accuracy = json.at("accuracy_by_length").get<std::vector<std::vector<double>>>();
  } catch (const Json::exception& error) {
    return invalid_argument(fmt::format("the result of a mano run: {}", error.what()));
  }
  const auto whole = [&](const std::vector<double>& row) {
    return row.size() == static_cast<size_t>(run.max_length);
  };
  if (run.steps.empty() || run.steps.size() != run.accuracy.size() ||
      !std::all_of(run.accuracy.begin(), run.accuracy.end(), whole)) {
    return invalid_argument(fmt::format(
        "the result of mano run {}: {} steps and {} rows of accuracies, expected as many rows as "
        "steps, of {} lengths each",
        run.shape.name(), run.steps.size(), run.accuracy.size(), run.max_length));
  }
  return run;
}

const ManoGroup* ManoTable::find(const LoopedShape& shape) const {
  for (const ManoGroup& group : groups) {
    if (group.front().shape == shape) return &group;
  }
  return nullptr;
}

SeedSummary final_accuracy(const ManoGroup& group) {
  std::vector<double> values;
  for (const ManoRun& run : group) values.push_back(run.final_accuracy());
  return summarize_seeds(values);
}

std::vector<ManoTable> mano_tables(const std::vector<ManoRun>& runs) {
  // By length, then depth and layers, then learning rate.
  std::map<int, std::map<std::pair<int, int>, std::map<double, ManoGroup>>> sorted;
  for (const ManoRun& run : runs) {
    sorted[run.max_length][{run.shape.depth(), run.shape.layers}][run.learning_rate].push_back(run);
  }
  std::vector<ManoTable> tables;
  for (auto& [length, shapes] : sorted) {
    ManoTable table;
    table.max_length = length;
    for (auto& [order, by_rate] : shapes) {
      const auto best =
          std::max_element(by_rate.begin(), by_rate.end(), [](const auto& a, const auto& b) {
            return final_accuracy(a.second).mean < final_accuracy(b.second).mean;
          });
      table.groups.push_back(best->second);
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

namespace {

Estimate paired_gain(const ManoGroup& looped, const ManoGroup& plain) {
  std::vector<double> gains;
  for (const ManoRun& run : looped) {
    const auto twin = std::find_if(plain.begin(), plain.end(),
                                   [&](const ManoRun& p) { return p.seed == run.seed; });
    if (twin != plain.end()) gains.push_back(run.final_accuracy() - twin->final_accuracy());
  }
  if (gains.empty()) return {std::nan(""), std::nan(""), std::nan("")};
  return mean_of(gains);
}

std::vector<ManoComparison> compare(const ManoTable& table,
                                    LoopedShape (*plain_of)(const LoopedShape&)) {
  std::vector<ManoComparison> comparisons;
  for (const ManoGroup& group : table.groups) {
    const LoopedShape looped = group.front().shape;
    if (looped.loops == 1) continue;
    const ManoGroup* plain = table.find(plain_of(looped));
    if (plain == nullptr) continue;
    comparisons.push_back({.looped = looped,
                           .plain = plain->front().shape,
                           .looped_accuracy = final_accuracy(group),
                           .plain_accuracy = final_accuracy(*plain),
                           .gain = paired_gain(group, *plain)});
  }
  return comparisons;
}

}  // namespace

std::vector<ManoComparison> compare_parameters(const ManoTable& table) {
  return compare(table, [](const LoopedShape& looped) { return LoopedShape{looped.layers, 1}; });
}

std::vector<ManoComparison> compare_arithmetic(const ManoTable& table) {
  return compare(table, [](const LoopedShape& looped) { return LoopedShape{looped.depth(), 1}; });
}

}  // namespace looplm
