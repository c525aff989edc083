#include <algorithm>

#include "experiments/mano/mano_study.h"

namespace looplm {

ManoRun mano_run(int max_length, const LoopedShape& shape, double learning_rate, uint64_t seed,
                 int64_t parameters, const std::vector<ValidationReport>& validations) {
  ValidationRounds rounds = validation_rounds(validations, static_cast<size_t>(max_length));
  return {max_length,
          shape,
          learning_rate,
          seed,
          parameters,
          std::move(rounds.steps),
          std::move(rounds.accuracy),
          validations.back().accuracy};
}

const ManoGroup* ManoTable::find(const LoopedShape& shape) const {
  for (const ManoGroup& group : groups) {
    if (group.front().shape == shape) return &group;
  }
  return nullptr;
}

SeedSummary accuracy_at(const ManoGroup& group, int length) {
  std::vector<double> values;
  for (const ManoRun& run : group) values.push_back(run.accuracy_at(length));
  return summarize_seeds(values);
}

SeedSummary final_accuracy(const ManoGroup& group) {
  return accuracy_at(group, group.front().max_length);
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

std::vector<ManoComparison> compare(const ManoTable& table,
                                    LoopedShape (*plain_of)(const LoopedShape&)) {
  std::vector<ManoComparison> comparisons;
  for (const ManoGroup& group : table.groups) {
    const LoopedShape looped = group.front().shape;
    if (looped.loops == 1) continue;
    const ManoGroup* plain = table.find(plain_of(looped));
    if (plain == nullptr) continue;
    comparisons.push_back(
        {looped, plain->front().shape, final_accuracy(group), final_accuracy(*plain)});
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
