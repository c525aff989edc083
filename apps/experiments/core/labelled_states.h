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

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_LABELLED_STATES_H_
