#include "experiments/core/labelled_states.h"

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

}  // namespace looplm
