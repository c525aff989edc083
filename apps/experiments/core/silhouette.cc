#include "experiments/core/silhouette.h"

#include <algorithm>
#include <cmath>

namespace looplm {
namespace {

double distance(std::span<const float> x, std::span<const float> y) {
  double sum = 0;
  for (size_t j = 0; j < x.size(); ++j) {
    const double d = static_cast<double>(x[j]) - static_cast<double>(y[j]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

}  // namespace

Result<double> silhouette(const LabelledStates& data) {
  LOOPLM_RETURN_IF_ERROR(check(data, 2));
  double counts[2] = {0, 0};
  for (uint8_t label : data.labels) ++counts[label];
  double total = 0;
  for (size_t i = 0; i < data.examples(); ++i) {
    double sums[2] = {0, 0};  // of distances to each class
    for (size_t j = 0; j < data.examples(); ++j) {
      sums[data.labels[j]] += distance(data.state(i), data.state(j));
    }
    const int own = data.labels[i];
    const double a = sums[own] / (counts[own] - 1);
    const double b = sums[1 - own] / counts[1 - own];
    if (std::max(a, b) > 0) total += (b - a) / std::max(a, b);
  }
  return total / static_cast<double>(data.examples());
}

}  // namespace looplm
