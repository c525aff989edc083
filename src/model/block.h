// One transformer block: forward, and backward from its saved or recomputed intermediates. Each
// direction is a list of kernel calls.
//
//   y = attention(norm(x)) output;  x' = x + [norm] y;  m = down(silu(gate(norm(x')))
//   up(norm(x')));  x'' = x' + [norm] m
//
// The bracketed norms are the sandwich's (Ouro); without them it is Llama's block.
#ifndef LOOPLM_MODEL_BLOCK_H_
#define LOOPLM_MODEL_BLOCK_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "model/adapter_weights.h"
#include "model/block_gradients.h"
#include "model/weights.h"

namespace looplm {

// Intermediates of a block for R rows. The forward pass fills them all. The backward pass reads
// them, and makes operands again.
struct BlockActivations {
  int64_t rows = 0;
  float* qkv = nullptr;               // (R, Q + 2 KV): rotated queries and keys, values
  float* attention = nullptr;         // (R, Q)
  float* attention_output = nullptr;  // (R, E): y
  float* middle = nullptr;            // (R, E): x'; may be the block's input x when nothing is kept
  float* gate_up = nullptr;           // (R, 2 F)
  float* mlp_output = nullptr;        // (R, E): m
  // For the backward pass only; may be null in inference.
  float* attention_log_sum = nullptr;  // (R, heads)
  float* inverse_rms = nullptr;        // (4, R): the norms in the order of the formula above
  // Operands, which blocks share.
  Operand attention_input;  // (R, E): norm(x)
  Operand mlp_input;        // (R, E): norm(x')
  Operand activated;        // (R, F)

  int64_t norm_stride = 0;  // between the norms in inverse_rms

  float* norm_scale(int index) const {
    return inverse_rms == nullptr ? nullptr : inverse_rms + index * norm_stride;
  }
  // Floats of what is kept and of operands; `assign` lays them out in two pieces of memory of these
  // sizes. Operands of kBf16 are rounded.
  static int64_t floats(const ModelConfig& config, int64_t rows);
  static int64_t operand_floats(const ModelConfig& config, int64_t rows, DType operands);
  static BlockActivations assign(const ModelConfig& config, int64_t rows, DType operands,
                                 float* memory, float* operand_memory);
  // The same of `count` of the rows.
  BlockActivations of_rows(const ModelConfig& config, int64_t first, int64_t count) const;
};

// Which positions rows stand at, and how they attend.
class BlockAttention {
 public:
  virtual ~BlockAttention() = default;
  virtual const RotaryTable& rotary() const = 0;
  virtual const int32_t* positions() const = 0;  // (R)
  // qkv (R, Q + 2 KV), rotated, to out (R, Q). log_sum may be null.
  virtual void forward(int64_t layer, const float* qkv, float* out, float* log_sum,
                       Device& device) = 0;
};

// The adapter of a block: of all rows in one loop, or of each row its own; nothing where both are
// null.
struct BlockAdapter {
  AdapterWeights* weights = nullptr;
  int64_t loop = 0;
  int64_t layer = 0;
  const AdaptedRows* rows = nullptr;
};

// x (R, E) to out (R, E); out may be x.
void block_forward(const ModelConfig& config, const BlockWeights& weights, int64_t layer,
                   const float* x, const BlockActivations& a, BlockAttention& attention, float* out,
                   Device& device, const BlockAdapter& adapter = {});

// Documents of a training batch: rows [starts[d], starts[d + 1]) with positions from 0 in each.
// `rotary` must have all their positions.
class PackedAttention : public BlockAttention {
 public:
  // `operands`: of its products.
  PackedAttention(const ModelConfig& config, const RotaryTable& rotary, std::vector<int64_t> starts,
                  DType operands);

  const RotaryTable& rotary() const override { return rotary_; }
  const int32_t* positions() const override { return positions_.data(); }
  void forward(int64_t layer, const float* qkv, float* out, float* log_sum,
               Device& device) override;
  void backward(const float* qkv, const float* out, const float* log_sum, const float* dout,
                float* dqkv, Device& device) const;

 private:
  AttentionParams params(const float* qkv, float* out, float* log_sum) const;

  const ModelConfig& config_;
  const RotaryTable& rotary_;
  std::vector<int64_t> starts_;
  DType operands_;
  std::vector<int32_t> positions_;
};

// gradient (R, E) is d loss / d out on entry and d loss / d x on exit. `a` holds the intermediates
// of the forward pass from x. `to` keeps what weights' gradients are made of.
// `adapter_gradients` takes those of the adapter's matrices.
void block_backward(const ModelConfig& config, const BlockWeights& weights,
                    const BlockBackwardWeights& backward_weights, const float* x,
                    const BlockActivations& a, const PackedAttention& attention,
                    const BlockGradients& to, float* gradient, Device& device,
                    const BlockAdapter& adapter = {}, ParameterSet* adapter_gradients = nullptr);

}  // namespace looplm

#endif  // LOOPLM_MODEL_BLOCK_H_
