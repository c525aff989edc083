// The states of the lanes in flight, one row of E per slot.
//
// Slots in use are 0 .. used() - 1, without a gap, so that a pass works on the rows where they lie:
// nothing is gathered before a pass or scattered after it. A slot that is given back is filled with
// the last one's row, whose holder learns its new number.
#ifndef LOOPLM_INFER_LANE_ARENA_H_
#define LOOPLM_INFER_LANE_ARENA_H_

#include <cstdint>
#include <vector>

#include "model/weights.h"
#include "tensor/buffer.h"

namespace looplm {

class LaneArena {
 public:
  explicit LaneArena(const ModelConfig& config);

  int64_t used() const { return static_cast<int64_t>(holders_.size()); }

  // The next slot, used(); its number stands in *holder, and is kept up to date there, until
  // release(holder).
  void acquire(int32_t* holder);
  void release(int32_t* holder);
  // The slot's number stands in *to from now on.
  void pass_on(int32_t* from, int32_t* to);
  // For a user who fills and empties all slots together: 0 .. used - 1, which nobody holds.
  void resize(int64_t used);

  // (E): in, what a loop starts from; out, what the next loop starts from.
  float* state(int64_t slot) { return states_.data() + slot * width_; }
  // (E): out, the normed state that head and gate read.
  float* normed(int64_t slot) { return separate_ ? normed_.data() + slot * width_ : state(slot); }

 private:
  void grow(int64_t used);

  const int64_t width_;
  // Where a loop starts from the normed state of the one before, the two are the same row.
  const bool separate_;
  std::vector<int32_t*> holders_;  // of each slot; null: nobody
  Buffer<float> states_;           // (capacity, E)
  Buffer<float> normed_;           // the same, or empty
};

}  // namespace looplm

#endif  // LOOPLM_INFER_LANE_ARENA_H_
