// The kernels, one params struct and one function per operation and direction.
//
// Matrices are row-major and fp32 unless said otherwise; strides count elements between rows.
// Gradients are fp32. "+=" marks outputs that are added to. Every result element is reduced in one
// fixed order: it does not depend on how many other rows are in the call, nor on the number of
// threads.
#ifndef LOOPLM_KERNELS_KERNELS_H_
#define LOOPLM_KERNELS_KERNELS_H_

#include <cstdint>
#include <span>

#include "base/bf16.h"
#include "kernels/device.h"
#include "kernels/logit_summary.h"
#include "kernels/packed_matrix.h"

namespace looplm {

// Elements between rows of values that an operation has rounded to bf16 for the products that
// follow: an even number. Such outputs stand instead of those in fp32.
constexpr int64_t rounded_stride(int64_t width) { return (width + 1) / 2 * 2; }

// ---- Embedding

struct EmbeddingParams {
  const int32_t* ids = nullptr;  // (rows), each in [0, vocabulary)
  int64_t rows = 0;
  int64_t width = 0;
  const void* table = nullptr;  // (vocabulary, width) of table_dtype, any alignment
  DType table_dtype = DType::kF32;
  float* out = nullptr;  // (rows, width)
};
void embedding_forward(const EmbeddingParams& params, Device& device);

struct EmbeddingBackwardParams {
  const int32_t* ids = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  const float* dout = nullptr;      // (rows, width)
  float* table_gradient = nullptr;  // (vocabulary, width) +=
};
void embedding_backward(const EmbeddingBackwardParams& params, Device& device);

// ---- RMSNorm: y = w x / sqrt(mean(x^2) + eps)  (Zhang and Sennrich, 2019)

struct RmsNormParams {
  const float* x = nullptr;       // (rows, width)
  const float* weight = nullptr;  // (width)
  float eps = 0;
  int64_t rows = 0;
  int64_t width = 0;
  float* y = nullptr;            // (rows, width); may be x
  float* inverse_rms = nullptr;  // (rows), for the backward pass; may be null
  Bf16* y_rounded = nullptr;     // instead of y
};
void rms_norm_forward(const RmsNormParams& params, Device& device);

struct RmsNormBackwardParams {
  const float* dy = nullptr;  // (rows, width)
  const float* x = nullptr;   // (rows, width): the forward input
  const float* weight = nullptr;
  const float* inverse_rms = nullptr;  // (rows)
  int64_t rows = 0;
  int64_t width = 0;
  float* dx = nullptr;         // (rows, width); may be dy
  bool accumulate = false;     // dx += instead of =
  Bf16* dx_rounded = nullptr;  // instead of dx; never accumulated
  // The weight's gradient, as sums over kNormSumRows rows each, which add_sums adds up.
  float* weight_sums = nullptr;  // (norm_sum_count(rows), width)
};
void rms_norm_backward(const RmsNormBackwardParams& params, Device& device);

// Rows that share one sum of a weight's gradient. Fixed, so that sums do not depend on the number
// of threads.
inline constexpr int64_t kNormSumRows = 64;
inline constexpr int64_t norm_sum_count(int64_t rows) {
  return (rows + kNormSumRows - 1) / kNormSumRows;
}
// total[i] += the sum over `count` rows of sums[i], in order.
void add_sums(const float* sums, int64_t count, int64_t width, float* total, Device& device);

// x += rms_norm(y): a residual with the sandwich's second norm. The backward pass is
// rms_norm_backward with dy = the gradient of x.
struct ResidualNormParams {
  const float* y = nullptr;  // (rows, width): a sub-layer's output
  const float* weight = nullptr;
  float eps = 0;
  int64_t rows = 0;
  int64_t width = 0;
  float* x = nullptr;            // (rows, width) +=
  float* inverse_rms = nullptr;  // (rows); may be null
  const float* from = nullptr;   // (rows, width): what x is before, unless null
};
void residual_norm_forward(const ResidualNormParams& params, Device& device);

// Rows rounded to bf16.
struct RoundRowsParams {
  const float* x = nullptr;  // (rows, width)
  int64_t rows = 0;
  int64_t width = 0;
  Bf16* out = nullptr;
};
void round_rows(const RoundRowsParams& params, Device& device);

// y += x over `count` elements.
void add(const float* x, int64_t count, float* y, Device& device);

// ---- Matrix products

// C (+)= A B. With a bf16 B, A is rounded to bf16 too; with a quantised one, to int8 in groups of
// 64 terms (kernels/quantized.h), and A must be row-major. A widened B is as one of dtype(). Sums
// are fp32.
struct MatmulParams {
  const float* a = nullptr;  // element (m, k) at a[m * a_row_stride + k * a_term_stride]; one of
                             // the strides is 1
  const Bf16* a_rounded = nullptr;  // instead of a, for a B of bf16: rounded already
  int64_t a_row_stride = 0;
  int64_t a_term_stride = 1;
  int64_t rows = 0;
  const PackedMatrix* b = nullptr;  // (terms, columns)
  bool transposed = false;          // C (+)= A B^T, for a widened B only
  float* c = nullptr;               // (rows, columns)
  int64_t c_row_stride = 0;
  bool accumulate = false;
};
void matmul(const MatmulParams& params, Device& device);
// Shared scratch that a product of floats takes at most on so many threads, with any kernels.
size_t matmul_scratch_bytes(int64_t rows, int64_t terms, int threads);

// dW += dy^T x, the product over tokens; with kBf16 both are rounded to bf16 first.
struct LinearWeightGradientParams {
  const float* dy = nullptr;  // (rows, out)
  int64_t dy_stride = 0;
  const float* x = nullptr;  // (rows, in)
  int64_t x_stride = 0;
  int64_t rows = 0;
  int64_t out = 0;
  int64_t in = 0;
  DType dtype = DType::kF32;
  float* weight_gradient = nullptr;  // (out, in) +=
  const Bf16* dy_rounded = nullptr;  // instead of dy, with kBf16
};
void linear_weight_gradient(const LinearWeightGradientParams& params, Device& device);

// ---- Rotary embedding, half-split layout (Su et al., 2021; the pairing of Llama's rotate_half)

// Cosines and sines of position * base^(-2i / head_dim), i < head_dim / 2. Frequencies and angles
// are rounded to fp32 as the published model code does, so that long positions agree with what the
// weights were trained on.
class RotaryTable {
 public:
  RotaryTable(int64_t head_dim, double base);

  // Adds what is missing for positions below `positions`, in blocks, so that a sequence that grows
  // pays for its own positions alone.
  void grow(int64_t positions, Device& device);

  int64_t positions() const { return static_cast<int64_t>(blocks_.size()) * kBlock; }
  const float* cosine(int64_t position) const { return row(position); }
  const float* sine(int64_t position) const { return row(position) + half(); }

 private:
  static constexpr int64_t kBlock = 256;  // positions

  int64_t half() const { return static_cast<int64_t>(frequencies_.size()); }
  const float* row(int64_t position) const {
    return blocks_[static_cast<size_t>(position / kBlock)].data() + position % kBlock * 2 * half();
  }

  std::vector<float> frequencies_;
  std::vector<Buffer<float>> blocks_;  // (kBlock, cosines and sines)
};

struct RotaryParams {
  const RotaryTable* table = nullptr;
  const int32_t* positions = nullptr;  // (rows), each below table->positions()
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  float* x = nullptr;  // (rows, heads, head_dim) in place
  int64_t row_stride = 0;
};
void rotary_forward(const RotaryParams& params, Device& device);
void rotary_backward(const RotaryParams& params,
                     Device& device);  // x is the gradient, rotated back

// ---- SwiGLU: silu(gate) * up (Shazeer, 2020)

struct SwigluParams {
  const float* gate = nullptr;  // (rows, width)
  const float* up = nullptr;    // (rows, width)
  int64_t in_stride = 0;        // of gate and up
  int64_t rows = 0;
  int64_t width = 0;
  float* out = nullptr;         // (rows, width), contiguous
  Bf16* out_rounded = nullptr;  // instead of out
};
void swiglu_forward(const SwigluParams& params, Device& device);

struct SwigluBackwardParams {
  const float* dout = nullptr;  // (rows, width), contiguous
  const float* gate = nullptr;
  const float* up = nullptr;
  int64_t in_stride = 0;
  int64_t rows = 0;
  int64_t width = 0;
  float* dgate = nullptr;  // (rows, width)
  float* dup = nullptr;
  int64_t grad_stride = 0;     // of dgate and dup
  Bf16* rounded = nullptr;     // instead of dgate and dup: rows of both, dgate first
  float* activated = nullptr;  // the forward pass's result once more, in one of two forms; or none
  Bf16* activated_rounded = nullptr;
};
void swiglu_backward(const SwigluBackwardParams& params, Device& device);

// ---- Exit gate: z = w h + b, before the sigmoid

struct GateParams {
  const float* h = nullptr;       // (rows, width)
  const float* weight = nullptr;  // (width)
  float bias = 0;
  int64_t rows = 0;
  int64_t width = 0;
  float* z = nullptr;  // (rows)
};
void gate_forward(const GateParams& params, Device& device);

struct GateBackwardParams {
  const float* dz = nullptr;  // (rows)
  const float* h = nullptr;
  const float* weight = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  float* dh = nullptr;               // (rows, width) +=; null when the trunk is frozen
  float* weight_gradient = nullptr;  // (width) +=; null when the gate is frozen
  float* bias_gradient = nullptr;    // (1) +=; where weight_gradient is
};
void gate_backward(const GateBackwardParams& params, Device& device);

// ---- Cross-entropy over rows of logits

inline constexpr int32_t kIgnoredTarget = -1;

struct CrossEntropyParams {
  const float* logits = nullptr;     // (rows, vocabulary)
  const int32_t* targets = nullptr;  // (rows); kIgnoredTarget gives nll 0
  int64_t rows = 0;
  int64_t vocabulary = 0;
  float* nll = nullptr;             // (rows): -log softmax(logits)[target], nats
  LogitSummary* summary = nullptr;  // (rows); the backward pass reads it
};
void cross_entropy_forward(const CrossEntropyParams& params, Device& device);

struct CrossEntropyBackwardParams {
  // (rows, vocabulary), overwritten by their gradient scale * (softmax - onehot).
  float* logits = nullptr;
  const int32_t* targets = nullptr;  // rows with kIgnoredTarget get gradient zero
  const LogitSummary* summary = nullptr;
  const float* scale = nullptr;  // (rows): d loss / d nll
  int64_t rows = 0;
  int64_t vocabulary = 0;
  // Gradients are rounded to bf16, each row in the first half of its place.
  bool rounded = false;
};
void cross_entropy_backward(const CrossEntropyBackwardParams& params, Device& device);

// ---- Optimiser

struct AdamWParams {
  float* parameter = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  const float* gradient = nullptr;
  int64_t count = 0;
  float gradient_scale = 1;  // the clip factor over the gradient's divisor
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
  int64_t step = 1;  // counts from 1
};
void adamw(const AdamWParams& params, Device& device);

// The sum of squares over all elements, in blocks of fixed size.
double sum_of_squares(const float* x, int64_t count, Device& device);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_KERNELS_H_
