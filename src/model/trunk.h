// The looped stack on a training batch: forward through T loops, backward with recomputation.
//
//   h_0 = embedding(ids);  x_{t,0} = h_{t-1};  x_{t,l+1} = block_l(x_{t,l});  h_t = norm(x_{t,L})
//
// (Without norm_between_loops the next loop starts from x_{t,L} instead of h_t.) The normed states
// h_t feed head and gate after every loop. What is kept between forward and backward is a policy;
// results are the same bits under every policy.
#ifndef LOOPLM_MODEL_TRUNK_H_
#define LOOPLM_MODEL_TRUNK_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/named.h"
#include "model/block.h"
#include "model/weights.h"
#include "tensor/memory_plan.h"

namespace looplm {

enum class MemoryPolicy {
  kKeepAll,      // every intermediate of every (loop, block): no recomputation
  kBlockInputs,  // the input of every (loop, block); each block is computed again once
  kLoopInputs,   // the input of every loop; blocks are computed again twice
};

inline constexpr NameTable<MemoryPolicy, 3> kMemoryPolicyNames = {
    {{MemoryPolicy::kKeepAll, "keep_all"},
     {MemoryPolicy::kBlockInputs, "block_inputs"},
     {MemoryPolicy::kLoopInputs, "loop_inputs"}}};

struct TrunkShape {
  int64_t rows = 0;  // tokens of a batch
  int64_t loops = 0;
  int64_t max_document = 0;  // longest document, for the plan
  MemoryPolicy policy = MemoryPolicy::kBlockInputs;
  bool backward = true;  // false: forward only, nothing is kept but the states
  // Gradients flow through the last loops alone: what earlier ones made is a constant. 0: all.
  int64_t backward_loops = 0;
  // kBf16 where all matrices are of bf16 and none is adapted: what products take is then kept
  // rounded.
  DType operands = DType::kF32;
  DType attention = DType::kF32;  // of the operands of attention's products
  bool frozen = false;            // no weight gets a gradient, as beside an adapter

  // The first loop (from 0) that the backward pass goes through.
  int64_t first_backward_loop() const {
    if (!backward) return loops;
    return backward_loops == 0 ? 0 : std::max<int64_t>(0, loops - backward_loops);
  }
};

class Trunk {
 public:
  // `adapter`, if there is one, stands beside the weights of every pass.
  Trunk(const ModelConfig& config, const TrunkShape& shape, AdapterWeights* adapter = nullptr);

  // The named buffers and their sizes, without allocating them.
  static MemoryPlan plan(const ModelConfig& config, const TrunkShape& shape);
  // What products of so many threads take beside these.
  static uint64_t scratch_bytes(const ModelConfig& config, const TrunkShape& shape, int threads);
  // And what attention takes, which grows with the longest document.
  static uint64_t attention_scratch_bytes(const ModelConfig& config, const TrunkShape& shape,
                                          int threads);

  // ids (rows), each in [0, vocab_size). starts: first row of each document, then the row count.
  void forward(const ModelWeights& weights, std::span<const int32_t> ids,
               std::span<const int64_t> document_starts, Device& device);

  int64_t rows() const { return shape_.rows; }
  int64_t loops() const { return shape_.loops; }
  // (rows, E): h_{loop+1}, the normed state after loop `loop` (from 0).
  const float* state(int64_t loop) const { return states_.data() + (loop + 1) * state_floats_; }
  // (rows, E): d loss / d state(loop), filled in by the caller before backward().
  float* state_gradient(int64_t loop) { return state_gradients_.data() + loop * state_floats_; }

  // Adds to every gradient of the trunk: embedding, blocks, final norm; with an adapter to its
  // gradients alone. Gradients of states before the first backward loop are not looked at, and the
  // embedding gets one where all loops are gone through.
  void backward(const ModelWeights& weights, const BackwardWeights& backward_weights,
                ParameterSet& gradients, Device& device);

 private:
  // Rows of whole documents. Parts meet only in the sums of weights' gradients.
  struct Part {
    int64_t first;
    int64_t rows;
    PackedAttention attention;
  };
  // What a backward pass of the trunk is given.
  struct Backward {
    const ModelWeights& weights;
    const BackwardWeights& backward_weights;
    ParameterSet& gradients;
    std::vector<BlockWeightGradients> layers;  // in gradients; none where weights are frozen
  };
  // A place in the order of the backward pass, which goes through its blocks from 0.
  struct Place {
    int64_t loop;
    int64_t layer;
  };
  Place place(int64_t block) const {
    return {shape_.loops - 1 - block / config_.layers, config_.layers - 1 - block % config_.layers};
  }

  void cut_parts(std::span<const int64_t> document_starts, bool widened, Device& device);
  // Calls body(part, device) for each: on a thread of its own, where there are several.
  template <typename Body>
  void for_parts(Device& device, Body body);
  // x_{t,l} for l in 0..L.
  float* block_input(int64_t loop, int64_t layer);
  BlockActivations activations(int64_t loop, int64_t layer);
  BlockAdapter adapter(int64_t loop, int64_t layer) const { return {adapter_, loop, layer}; }
  // out (part.rows, E)
  void run_block(const ModelWeights& weights, Part& part, Place at, float* out, Device& device);
  void forward_part(const ModelWeights& weights, Part& part, Device& device);
  // Gradients of `block` of a stage that began with block `begin`, for all rows.
  BlockGradients gradients_of(int64_t block, int64_t begin);
  void start_backward_loop(const Backward& pass, Part& part, int64_t loop, const BlockGradients& to,
                           Device& device);
  void backward_part(const Backward& pass, Part& part, int64_t begin, int64_t end, Device& device);
  void add_weight_gradients(const Backward& pass, int64_t begin, int64_t end, Device& device);

  ModelConfig config_;
  TrunkShape shape_;
  AdapterWeights* adapter_;
  int64_t state_floats_;
  RotaryTable rotary_;
  std::vector<Part> parts_;
  std::vector<int32_t> ids_;

  Buffer<float> states_;           // (T + 1, rows, E): h_0 .. h_T
  Buffer<float> block_inputs_;     // see block_input
  Buffer<float> activations_;      // of all blocks (kKeepAll) or of one
  Buffer<float> operands_;         // of one block
  Buffer<float> inverse_rms_;      // (T, rows): the final norm
  Buffer<float> state_gradients_;  // (T, rows, E)
  Buffer<float> gradient_;         // (rows, E): what flows back along the residual stream
  Buffer<float> scratch_;          // BlockGradients
  Buffer<float> kept_gradients_;   // (blocks of a stage): BlockGradients
  int64_t activation_floats_ = 0;
  int64_t stage_blocks_ = 0;  // of the backward pass, before weights' gradients are made
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_TRUNK_H_
