#include "experiments/core/labelled_states.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace looplm {

void LabelledStates::add(std::span<const float> state, uint8_t label) {
  width = state.size();
  states.insert(states.end(), state.begin(), state.end());
  labels.push_back(label);
}

Status check(const LabelledStates& data, size_t least) {
  if (data.width == 0 || data.states.size() != data.examples() * data.width) {
    return invalid_argument(fmt::format("{} numbers for {} states of width {}; expected {}",
                                        data.states.size(), data.examples(), data.width,
                                        data.examples() * data.width));
  }
  size_t counts[2] = {0, 0};
  for (size_t i = 0; i < data.examples(); ++i) {
    if (data.labels[i] > 1) {
      return invalid_argument(
          fmt::format("label {} of example {}; expected 0 or 1", data.labels[i], i));
    }
    ++counts[data.labels[i]];
    for (float x : data.state(i)) {
      if (!std::isfinite(x)) {
        return invalid_argument(fmt::format("the state of example {} holds {}", i, x));
      }
    }
  }
  for (int label : {0, 1}) {
    if (counts[label] < least) {
      return invalid_argument(
          fmt::format("{} examples of class {}; expected {} or more", counts[label], label, least));
    }
  }
  return {};
}

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
