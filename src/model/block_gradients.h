// Gradients of a block's intermediates, and those of its weights.
//
// Rows of different documents go through a backward pass apart, each on a thread of its own. The
// gradients of weights are sums over all rows in one order, so rows leave what these are made of,
// and the sums follow when all rows are there.
#ifndef LOOPLM_MODEL_BLOCK_GRADIENTS_H_
#define LOOPLM_MODEL_BLOCK_GRADIENTS_H_

#include <array>
#include <cstdint>

#include "model/operand.h"
#include "model/parameter_set.h"

namespace looplm {

// Where a block's weight gradients go; offsets into a ParameterSet's buffer. All +=.
struct BlockWeightGradients {
  float* qkv = nullptr;      // (Q + 2 KV, E)
  float* output = nullptr;   // (E, Q)
  float* gate_up = nullptr;  // (2 F, E)
  float* down = nullptr;     // (E, F)
  // As BlockGradients::Norm counts them; null where there is none.
  std::array<float*, 4> norms = {};

  static BlockWeightGradients of(ParameterSet& gradients, const ModelConfig& config, int64_t layer);
};

// For R rows. With operands of kBf16, those that products take are rounded.
struct BlockGradients {
  enum Norm { kAttentionNorm, kAttentionOutputNorm, kMlpNorm, kMlpOutputNorm, kNormAfterLoop };
  static constexpr int kNorms = 5;  // the last stands behind the last block

  // Scratch of the backward pass.
  float* hidden = nullptr;     // (R, E)
  float* qkv = nullptr;        // (R, Q + 2 KV)
  float* attention = nullptr;  // (R, Q)
  float* activated = nullptr;  // (R, F)
  // Gradients of the products' results.
  Operand mlp_output;        // (R, E)
  Operand gate_up;           // (R, 2 F)
  Operand attention_output;  // (R, E)
  Operand qkv_operand;       // (R, Q + 2 KV); in fp32 that is qkv

  // The rest is null where weights are frozen. The products' other operands, packed with rows as
  // terms, and the sums of the norms' gradients over each kNormSumRows rows: (5, norm_sum_count(R),
  // E). Rows are counted from first_row.
  float* packed_activated = nullptr;
  float* packed_mlp_input = nullptr;
  float* packed_attention = nullptr;
  float* packed_attention_input = nullptr;
  float* norm_sums = nullptr;
  int64_t all_rows = 0;
  int64_t first_row = 0;

  // Floats of scratch, and of what is kept until weights' gradients are made.
  static int64_t scratch_floats(const ModelConfig& config, int64_t rows, DType operands);
  static int64_t kept_floats(const ModelConfig& config, int64_t rows, DType operands, bool frozen);
  static BlockGradients assign(const ModelConfig& config, int64_t rows, DType operands, bool frozen,
                               float* scratch, float* kept);
  // The same of the rows from `first` on, a multiple of kNormSumRows.
  BlockGradients from_row(const ModelConfig& config, int64_t first) const;

  // Of first_row and its followers; null where weights are frozen.
  float* norm_sum(Norm norm, int64_t width) const;
  // Puts first_row and its followers where weights' gradients find them.
  void pack(const Operand& x, int64_t rows, int64_t width, DType dtype, float* packed,
            Device& device) const;
};

// dW += dy^T x for a weight of the block: its rows [first, first + count).
struct WeightGradientTask {
  const BlockGradients* from = nullptr;
  Operand dy;
  float* packed_x = nullptr;
  int64_t out = 0;
  int64_t in = 0;
  float* gradient = nullptr;  // (out, in)
};
// The largest first.
std::array<WeightGradientTask, 4> weight_gradient_tasks(const ModelConfig& config,
                                                        const BlockGradients& from,
                                                        const BlockWeightGradients& to);
void add_weight_gradient(const WeightGradientTask& task, int64_t first, int64_t count, DType dtype,
                         Device& device);
void add_norm_gradient(const BlockGradients& from, BlockGradients::Norm norm, int64_t width,
                       float* gradient, Device& device);

}  // namespace looplm

#endif  // LOOPLM_MODEL_BLOCK_GRADIENTS_H_
