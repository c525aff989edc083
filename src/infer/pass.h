// The unit of work of inference: one trip through the stack with a set of lanes.
//
// A lane is one loop of one position of one sequence. Lanes of any sequence, position and loop may
// share a pass, since they read the same weights. The rule: lane (position i, loop t) may enter
// when (i, t-1) ended in an earlier pass, and every (j, t) with j < i ran in an earlier pass or
// runs in this one. Each layer writes all lanes' keys and values before it attends, and the cache
// refuses a position that would leave a hole, so a lane cannot read a key that has not been
// computed.
#ifndef LOOPLM_INFER_PASS_H_
#define LOOPLM_INFER_PASS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "infer/kv_cache.h"
#include "infer/lane_arena.h"
#include "model/block.h"
#include "model/weights.h"

namespace looplm {

// Lane i of a pass has its state in slot i of the pass's arena.
struct Lane {
  SequenceCache* cache = nullptr;
  int64_t position = 0;
  int64_t loop = 0;                   // from 0
  float gate_logit = 0;               // out; 0 for a model without a gate
  AdapterWeights* adapter = nullptr;  // null: the runner's, if it has one
};

// Looks at the residual stream inside a pass, and may change it.
class BlockHook {
 public:
  virtual ~BlockHook() = default;
  // After block `layer` (from 0): states (lanes, E) in the order of the lanes, which the next
  // block, or the final norm, reads as they are left here.
  virtual void after_block(int64_t layer, std::span<const Lane> lanes, float* states) = 0;
};

// Runs passes. Holds the buffers that a pass needs, grown to the largest pass seen.
class PassRunner {
 public:
  // `adapter`, if there is one, is that of lanes without one of their own.
  PassRunner(const ModelWeights& weights, Device& device, AdapterWeights* adapter = nullptr);
  ~PassRunner();
  PassRunner(const PassRunner&) = delete;
  PassRunner& operator=(const PassRunner&) = delete;

  // A lane for every slot that the arena uses. Lanes of one sequence and loop that stand side by
  // side in ascending order of position share reads of the cache; no order is needed.
  void run(LaneArena& arena, std::span<Lane> lanes, BlockHook* hook = nullptr);
  // The same with the first `layers` of the stack alone, for measurements; counts as no pass.
  void run_layers(LaneArena& arena, std::span<Lane> lanes, int64_t layers,
                  BlockHook* hook = nullptr);

  // out (rows, E): embeddings of ids, each in [0, vocab_size).
  void embed(std::span<const int32_t> ids, float* out);
  // logits (rows, V) of normed states (rows, E), and what each row says where that is asked for.
  void read_out(const float* normed, int64_t rows, float* logits,
                LogitSummary* summaries = nullptr);

  const ModelWeights& weights() const { return weights_; }
  Device& device() { return device_; }
  int64_t passes() const { return passes_; }
  int64_t lanes_run() const { return lanes_run_; }

 private:
  class Attention;

  const ModelWeights& weights_;
  Device& device_;
  AdapterWeights* adapter_;
  AdaptedRows adapted_;
  std::unique_ptr<Attention> attention_;
  Buffer<float> activations_;
  std::vector<float> gate_logits_;
  int64_t passes_ = 0;
  int64_t lanes_run_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_PASS_H_
