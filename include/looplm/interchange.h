// Interventions on hidden states: reads a text, replaces some of its states by those of another
// text, and shows what the model would then say (interchange interventions, Geiger et al.,
// arXiv:2106.02997; activation patching).
#ifndef LOOPLM_INTERCHANGE_H_
#define LOOPLM_INTERCHANGE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "looplm/model.h"
#include "looplm/status.h"

namespace looplm {

// Loops and layers count from 0. The state "after layer l of loop t" is the residual stream that
// the next block reads. After a loop's last block, the final norm reads it, for the next loop and
// the read-out.
struct TextStates {
  int64_t loops = 0;
  int64_t layers = 0;
  int64_t positions = 0;
  int64_t width = 0;
  int64_t vocab_size = 0;
  std::vector<float> states;  // (loops, layers, positions, width)
  std::vector<float> logits;  // (loops, vocab_size): of the last position, after each loop

  std::span<const float> state(int64_t loop, int64_t layer, int64_t position) const {
    const int64_t row = (loop * layers + layer) * positions + position;
    return {states.data() + row * width, static_cast<size_t>(width)};
  }
  std::span<const float> logits_after(int64_t loop) const {
    return {logits.data() + loop * vocab_size, static_cast<size_t>(vocab_size)};
  }
};

// One forward of `loops` loops (0: as many as the config says). Holds
// loops * layers * ids.size() * hidden_size floats.
Result<TextStates> read_states(Model& model, std::span<const int32_t> ids, int64_t loops);

// Where states are replaced: after one block of one loop, at positions first .. end - 1.
struct StatePlace {
  int64_t loop = 0;
  int64_t layer = 0;
  int64_t first = 0;
  int64_t end = 0;
};

// Reads one text repeatedly, each time with some states of another text. Positions before the first
// changed one are read once for each version of the model's weights. The model must outlive it.
class Interchange {
 public:
  static Result<Interchange> create(Model& model, std::span<const int32_t> ids, int64_t loops);
  ~Interchange();
  Interchange(Interchange&&) noexcept;
  Interchange& operator=(Interchange&&) noexcept;

  // Logits (loops, vocab_size) of the last position, after each loop, when the states at `place`
  // are the source's at the same place. The source has as many loops and positions, and comes from
  // a model of the same shape.
  Result<std::vector<float>> run(const StatePlace& place, const TextStates& source);

 private:
  struct Parts;
  explicit Interchange(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace looplm

#endif  // LOOPLM_INTERCHANGE_H_
