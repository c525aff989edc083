#include "experiments/reachability/trained_paths.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {

double TrainedPathsRun::steps_to(double share) const {
  size_t first = curve.size();
  while (first > 0 && curve[first - 1] >= share * curve.back()) --first;
  return curve_steps.at(std::min(first, curve.size() - 1));
}

SeedSummary TrainedPaths::at(int loops, size_t distance) const {
  std::vector<double> values;
  for (const TrainedPathsRun& run : runs) {
    values.push_back(run.accuracy.at(static_cast<size_t>(loops - 1)).at(distance - 1));
  }
  return summarize_seeds(values);
}

SeedSummary TrainedPaths::mean_over(int loops, size_t first_distance, size_t last_distance) const {
  LOOPLM_CHECK(first_distance >= 1 && first_distance <= last_distance);
  std::vector<double> values;
  for (const TrainedPathsRun& run : runs) {
    double sum = 0;
    const std::vector<double>& row = run.accuracy.at(static_cast<size_t>(loops - 1));
    for (size_t d = first_distance; d <= last_distance; ++d) sum += row.at(d - 1);
    values.push_back(sum / static_cast<double>(last_distance - first_distance + 1));
  }
  return summarize_seeds(values);
}

std::vector<TrainedPaths> by_shape(const std::vector<TrainedPathsRun>& runs) {
  std::vector<TrainedPaths> shapes;
  for (const TrainedPathsRun& run : runs) {
    const auto same = [&](const TrainedPaths& s) { return s.shape == run.shape; };
    auto found = std::ranges::find_if(shapes, same);
    if (found == shapes.end()) found = shapes.insert(found, {run.shape, {}});
    found->runs.push_back(run);
  }
  return shapes;
}

}  // namespace looplm
