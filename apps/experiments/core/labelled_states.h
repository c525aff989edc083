// Hidden states of examples, each of one of two classes: what probes and separation figures read.
#ifndef LOOPLM_EXPERIMENTS_CORE_LABELLED_STATES_H_
#define LOOPLM_EXPERIMENTS_CORE_LABELLED_STATES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct LabelledStates {
  size_t width = 0;
  std::vector<float> states;    // (examples, width)
  std::vector<uint8_t> labels;  // (examples): 0 or 1

  size_t examples() const { return labels.size(); }
  std::span<const float> state(size_t example) const {
    return {states.data() + example * width, width};
  }
  void add(std::span<const float> state, uint8_t label);
};

// Fails when the sizes do not match, a state is not finite, a label is neither 0 nor 1, or a class
// has fewer than `least` examples.
Status check(const LabelledStates& data, size_t least);

// Mean over all points of (b - a) / max(a, b): a the mean Euclidean distance to the other points of
// the same class, b to those of the other class. From -1 to 1: 1 where the classes are tight and
// far apart, 0 where they lie in one another. Two examples of each class at least.
Result<double> silhouette(const LabelledStates& data);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_LABELLED_STATES_H_
