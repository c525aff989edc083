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
#include "model/weights.h"

namespace looplm {

// What products take: values in fp32, or rounded to bf16 already (rows of rounded_stride). Both
// give the same bits where the matrix is of bf16; rounded ones are half as large, and are rounded
// once for all products that take them.
struct Operand {
  float* values = nullptr;
  Bf16* rounded = nullptr;
};

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

  float* norm_scale(int index) const {
    return inverse_rms == nullptr ? nullptr : inverse_rms + index * rows;
  }
  // Floats of what is kept and of operands; `assign` lays them out in two pieces of memory of these
  // sizes. Operands of kBf16 are rounded.
  static int64_t floats(const ModelConfig& config, int64_t rows);
  static int64_t operand_floats(const ModelConfig& config, int64_t rows, DType operands);
  static BlockActivations assign(const ModelConfig& config, int64_t rows, DType operands,
                                 float* memory, float* operand_memory);
};

// Gradients of a block's intermediates: scratch of the backward pass. With operands of kBf16, those
// that products take are rounded.
struct BlockGradients {
  float* hidden = nullptr;     // (R, E)
  float* qkv = nullptr;        // (R, Q + 2 KV)
  float* attention = nullptr;  // (R, Q)
  Operand gate_up;             // (R, 2 F)
  float* activated = nullptr;  // (R, F)
  // Null in fp32, where `hidden` and `qkv` are the operands.
  Bf16* hidden_rounded = nullptr;
  Bf16* qkv_rounded = nullptr;

  static int64_t floats(const ModelConfig& config, int64_t rows, DType operands);
  static BlockGradients assign(const ModelConfig& config, int64_t rows, DType operands,
                               float* memory);
};

// Where a block's weight gradients go; offsets into a ParameterSet's buffer. All +=. Null: that
// weight is frozen.
struct BlockWeightGradients {
  float* qkv = nullptr;      // (Q + 2 KV, E)
  float* output = nullptr;   // (E, Q)
  float* gate_up = nullptr;  // (2 F, E)
  float* down = nullptr;     // (E, F)
  float* attention_norm = nullptr;
  float* attention_output_norm = nullptr;
  float* mlp_norm = nullptr;
  float* mlp_output_norm = nullptr;

  static BlockWeightGradients of(ParameterSet& gradients, const ModelConfig& config, int64_t layer);
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
class PackedAttention : public BlockAttention {
 public:
  explicit PackedAttention(const ModelConfig& config);
  void set_documents(std::span<const int64_t> starts, Device& device);

  const RotaryTable& rotary() const override { return rotary_; }
  const int32_t* positions() const override { return positions_.data(); }
  void forward(int64_t layer, const float* qkv, float* out, float* log_sum,
               Device& device) override;
  void backward(const float* qkv, const float* out, const float* log_sum, const float* dout,
                float* dqkv, Device& device) const;

 private:
  AttentionParams params(const float* qkv, float* out, float* log_sum) const;

  const ModelConfig& config_;
  RotaryTable rotary_;
  std::vector<int64_t> starts_;
  std::vector<int32_t> positions_;
};

// gradient (R, E) is d loss / d out on entry and d loss / d x on exit. `a` holds the intermediates
// of the forward pass from x. `adapter_gradients` takes those of the adapter's
// matrices.
void block_backward(const ModelConfig& config, const BlockWeights& weights,
                    const BlockBackwardWeights& backward_weights, const float* x,
                    const BlockActivations& a, const PackedAttention& attention,
                    const BlockGradients& scratch, const BlockWeightGradients& weight_gradients,
                    float* gradient, Device& device, const BlockAdapter& adapter = {},
                    ParameterSet* adapter_gradients = nullptr);

}  // namespace looplm

#endif  // LOOPLM_MODEL_BLOCK_H_
