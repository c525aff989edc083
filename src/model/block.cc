#include "model/block.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "kernels/attention.h"

namespace looplm {
namespace {

void project(const Operand& x, int64_t rows, const PackedMatrix& weight, float* y, Device& device) {
  MatmulParams p;
  p.a = x.values;
  p.a_rounded = x.rounded;
  p.a_row_stride = x.rounded != nullptr ? rounded_stride(weight.terms()) : weight.terms();
  p.rows = rows;
  p.b = &weight;
  p.c = y;
  p.c_row_stride = weight.columns();
  matmul(p, device);
}

// dx = dy W, with W packed for it; by the forward pass's own matrix where that is widened.
void project_back(const Operand& dy, int64_t rows, const PackedMatrix& forward,
                  const PackedMatrix& backward, float* dx, Device& device) {
  if (!forward.is_widened()) return project(dy, rows, backward, dx, device);
  MatmulParams p;
  p.a = dy.values;
  p.a_row_stride = forward.columns();
  p.rows = rows;
  p.b = &forward;
  p.transposed = true;
  p.c = dx;
  p.c_row_stride = forward.terms();
  matmul(p, device);
}

// y += the adapter's product of x.
void adapt(const BlockAdapter& adapter, AdaptedMatrix matrix, const float* x, int64_t rows,
           float* y, int64_t y_stride, Device& device) {
  if (adapter.rows != nullptr) {
    adapter.rows->forward(adapter.layer, matrix, x, y, y_stride, device);
  }
  if (adapter.weights == nullptr) return;
  adapter.weights->forward({adapter.loop, adapter.layer, matrix}, x, rows, y, y_stride, device);
}

void normalize(const float* x, const float* weight, const ModelConfig& config, int64_t rows,
               const Operand& y, float* inverse_rms, Device& device) {
  rms_norm_forward({x, weight, static_cast<float>(config.rms_norm_eps), rows, config.hidden_size,
                    y.values, inverse_rms, y.rounded},
                   device);
}

void activate(const ModelConfig& config, const BlockActivations& a, Device& device) {
  const int64_t width = config.intermediate_size;
  swiglu_forward({a.gate_up, a.gate_up + width, 2 * width, a.rows, width, a.activated.values,
                  a.activated.rounded},
                 device);
}

// out = x + y, or x + norm(y) with sandwich norms; out may be x.
void add_residual(const float* x, const float* y, const float* norm, const ModelConfig& config,
                  int64_t rows, float* out, float* inverse_rms, Device& device) {
  const int64_t width = config.hidden_size;
  if (norm == nullptr) {
    if (out != x) std::copy_n(x, rows * width, out);
    add(y, rows * width, out, device);
  } else {
    residual_norm_forward({y, norm, static_cast<float>(config.rms_norm_eps), rows, width, out,
                           inverse_rms, out != x ? x : nullptr},
                          device);
  }
}

}  // namespace

int64_t BlockActivations::floats(const ModelConfig& config, int64_t rows) {
  const Widths w(config);
  return rows * (3 * w.hidden + w.qkv + w.query + 2 * w.feed_forward + config.heads + 4);
}

int64_t BlockActivations::operand_floats(const ModelConfig& config, int64_t rows, DType operands) {
  const Widths w(config);
  return 2 * Carver::operand_floats(rows, w.hidden, operands) +
         Carver::operand_floats(rows, w.feed_forward, operands);
}

BlockActivations BlockActivations::assign(const ModelConfig& config, int64_t rows, DType operands,
                                          float* memory, float* operand_memory) {
  const Widths w(config);
  Carver carver(memory);
  BlockActivations a;
  a.rows = rows;
  a.qkv = carver.take(rows * w.qkv);
  a.attention = carver.take(rows * w.query);
  a.attention_output = carver.take(rows * w.hidden);
  a.middle = carver.take(rows * w.hidden);
  a.gate_up = carver.take(rows * 2 * w.feed_forward);
  a.mlp_output = carver.take(rows * w.hidden);
  a.attention_log_sum = carver.take(rows * config.heads);
  a.inverse_rms = carver.take(rows * 4);
  a.norm_stride = rows;
  Carver operand_carver(operand_memory);
  a.attention_input = operand_carver.take_operand(rows, w.hidden, operands);
  a.mlp_input = operand_carver.take_operand(rows, w.hidden, operands);
  a.activated = operand_carver.take_operand(rows, w.feed_forward, operands);
  return a;
}

BlockActivations BlockActivations::of_rows(const ModelConfig& config, int64_t first,
                                           int64_t count) const {
  const Widths w(config);
  BlockActivations a = *this;
  a.rows = count;
  a.qkv += first * w.qkv;
  a.attention += first * w.query;
  a.attention_output += first * w.hidden;
  a.middle += first * w.hidden;
  a.gate_up += first * 2 * w.feed_forward;
  a.mlp_output += first * w.hidden;
  a.attention_log_sum += first * config.heads;
  a.inverse_rms += first;
  a.attention_input = attention_input.from_row(first, w.hidden);
  a.mlp_input = mlp_input.from_row(first, w.hidden);
  a.activated = activated.from_row(first, w.feed_forward);
  return a;
}

void block_forward(const ModelConfig& config, const BlockWeights& weights, int64_t layer,
                   const float* x, const BlockActivations& a, BlockAttention& attention, float* out,
                   Device& device, const BlockAdapter& adapter) {
  const Widths w(config);
  const int64_t rows = a.rows;

  normalize(x, weights.attention_norm, config, rows, a.attention_input, a.norm_scale(0), device);
  project(a.attention_input, rows, weights.qkv, a.qkv, device);
  float* keys = a.qkv + w.query;
  float* values = keys + config.kv_size();
  adapt(adapter, AdaptedMatrix::kQuery, a.attention_input.values, rows, a.qkv, w.qkv, device);
  adapt(adapter, AdaptedMatrix::kKey, a.attention_input.values, rows, keys, w.qkv, device);
  adapt(adapter, AdaptedMatrix::kValue, a.attention_input.values, rows, values, w.qkv, device);
  const RotaryTable& rotary = attention.rotary();
  rotary_forward({&rotary, attention.positions(), rows, config.heads + config.kv_heads,
                  config.head_dim, a.qkv, w.qkv},
                 device);
  attention.forward(layer, a.qkv, a.attention, a.attention_log_sum, device);
  project({.values = a.attention}, rows, weights.output, a.attention_output, device);
  adapt(adapter, AdaptedMatrix::kOutput, a.attention, rows, a.attention_output, w.hidden, device);
  add_residual(x, a.attention_output, weights.attention_output_norm, config, rows, a.middle,
               a.norm_scale(1), device);

  normalize(a.middle, weights.mlp_norm, config, rows, a.mlp_input, a.norm_scale(2), device);
  project(a.mlp_input, rows, weights.gate_up, a.gate_up, device);
  adapt(adapter, AdaptedMatrix::kGate, a.mlp_input.values, rows, a.gate_up, 2 * w.feed_forward,
        device);
  adapt(adapter, AdaptedMatrix::kUp, a.mlp_input.values, rows, a.gate_up + w.feed_forward,
        2 * w.feed_forward, device);
  activate(config, a, device);
  project(a.activated, rows, weights.down, a.mlp_output, device);
  adapt(adapter, AdaptedMatrix::kDown, a.activated.values, rows, a.mlp_output, w.hidden, device);
  add_residual(a.middle, a.mlp_output, weights.mlp_output_norm, config, rows, out, a.norm_scale(3),
               device);
}

PackedAttention::PackedAttention(const ModelConfig& config, const RotaryTable& rotary,
                                 std::vector<int64_t> starts, DType operands)
    : config_(config), rotary_(rotary), starts_(std::move(starts)), operands_(operands) {
  for (size_t d = 0; d + 1 < starts_.size(); ++d) {
    for (int64_t r = starts_[d]; r < starts_[d + 1]; ++r) {
      positions_.push_back(static_cast<int32_t>(r - starts_[d]));
    }
  }
}

AttentionParams PackedAttention::params(const float* qkv, float* out, float* log_sum) const {
  AttentionParams p;
  p.q = qkv;
  p.k = qkv + config_.query_size();
  p.v = p.k + config_.kv_size();
  p.qkv_stride = config_.query_size() + 2 * config_.kv_size();
  p.heads = config_.heads;
  p.kv_heads = config_.kv_heads;
  p.head_dim = config_.head_dim;
  p.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  p.document_starts = starts_;
  p.out = out;
  p.log_sum = log_sum;
  p.operands = operands_;
  return p;
}

void PackedAttention::forward(int64_t, const float* qkv, float* out, float* log_sum,
                              Device& device) {
  attention_forward(params(qkv, out, log_sum), device);
}

void PackedAttention::backward(const float* qkv, const float* out, const float* log_sum,
                               const float* dout, float* dqkv, Device& device) const {
  AttentionBackwardParams p;
  p.forward = params(qkv, const_cast<float*>(out), const_cast<float*>(log_sum));
  p.dout = dout;
  p.dq = dqkv;
  p.dk = dqkv + config_.query_size();
  p.dv = p.dk + config_.kv_size();
  p.gradient_stride = p.forward.qkv_stride;
  attention_backward(p, device);
}

void block_backward(const ModelConfig& config, const BlockWeights& weights,
                    const BlockBackwardWeights& backward_weights, const float* x,
                    const BlockActivations& a, const PackedAttention& attention,
                    const BlockGradients& to, float* gradient, Device& device,
                    const BlockAdapter& adapter, ParameterSet* adapter_gradients) {
  const Widths w(config);
  const int64_t rows = a.rows;
  const DType dtype = weights.qkv.dtype();
  // The gradient of a sub-layer's output: through the sandwich norm where there is one. Without
  // one, and where nothing is kept of it, that is the residual's.
  const auto through_output_norm = [&](const float* norm, const float* y,
                                       BlockGradients::Norm which, const Operand& out) {
    if (norm == nullptr && out.values == to.hidden) return Operand{.values = gradient};
    if (norm != nullptr) {
      rms_norm_backward({.dy = gradient,
                         .x = y,
                         .weight = norm,
                         .inverse_rms = a.norm_scale(which),
                         .rows = rows,
                         .width = w.hidden,
                         .dx = out.values,
                         .dx_rounded = out.rounded,
                         .weight_sums = to.norm_sum(which, w.hidden)},
                        device);
    } else if (out.rounded != nullptr) {
      round_rows({gradient, rows, w.hidden, out.rounded}, device);
    } else {
      std::copy_n(gradient, rows * w.hidden, out.values);
    }
    return out;
  };
  // The gradient of a norm's input, added to that of the residual.
  const auto through_input_norm = [&](const float* norm, const float* input,
                                      BlockGradients::Norm which) {
    rms_norm_backward({.dy = to.hidden,
                       .x = input,
                       .weight = norm,
                       .inverse_rms = a.norm_scale(which),
                       .rows = rows,
                       .width = w.hidden,
                       .dx = gradient,
                       .accumulate = true,
                       .weight_sums = to.norm_sum(which, w.hidden)},
                      device);
  };
  const auto adapter_backward = [&](AdaptedMatrix matrix, const float* input, const float* doutput,
                                    int64_t stride, float* dinput) {
    if (adapter.weights == nullptr) return;
    adapter.weights->backward({adapter.loop, adapter.layer, matrix}, input, rows, doutput, stride,
                              dinput, *adapter_gradients, device);
  };

  // x'' = x' + [norm] m
  const Operand dm = through_output_norm(weights.mlp_output_norm, a.mlp_output,
                                         BlockGradients::kMlpOutputNorm, to.mlp_output);
  project_back(dm, rows, weights.down, backward_weights.down, to.activated, device);
  if (adapter.weights != nullptr) activate(config, a, device);
  adapter_backward(AdaptedMatrix::kDown, a.activated.values, dm.values, w.hidden, to.activated);
  float* dgate = to.gate_up.values;
  float* dup = dgate == nullptr ? nullptr : dgate + w.feed_forward;
  swiglu_backward({to.activated, a.gate_up, a.gate_up + w.feed_forward, 2 * w.feed_forward, rows,
                   w.feed_forward, dgate, dup, 2 * w.feed_forward, to.gate_up.rounded,
                   a.activated.values, a.activated.rounded},
                  device);
  to.pack(a.activated, rows, w.feed_forward, dtype, to.packed_activated, device);
  normalize(a.middle, weights.mlp_norm, config, rows, a.mlp_input, nullptr, device);
  to.pack(a.mlp_input, rows, w.hidden, dtype, to.packed_mlp_input, device);
  project_back(to.gate_up, rows, weights.gate_up, backward_weights.gate_up, to.hidden, device);
  adapter_backward(AdaptedMatrix::kGate, a.mlp_input.values, dgate, 2 * w.feed_forward, to.hidden);
  adapter_backward(AdaptedMatrix::kUp, a.mlp_input.values, dup, 2 * w.feed_forward, to.hidden);
  through_input_norm(weights.mlp_norm, a.middle, BlockGradients::kMlpNorm);

  // x' = x + [norm] y
  const Operand dy = through_output_norm(weights.attention_output_norm, a.attention_output,
                                         BlockGradients::kAttentionOutputNorm, to.attention_output);
  project_back(dy, rows, weights.output, backward_weights.output, to.attention, device);
  adapter_backward(AdaptedMatrix::kOutput, a.attention, dy.values, w.hidden, to.attention);
  to.pack({.values = a.attention}, rows, w.query, dtype, to.packed_attention, device);
  attention.backward(a.qkv, a.attention, a.attention_log_sum, to.attention, to.qkv, device);
  rotary_backward({&attention.rotary(), attention.positions(), rows, config.heads + config.kv_heads,
                   config.head_dim, to.qkv, w.qkv},
                  device);
  if (to.qkv_operand.rounded != nullptr) {
    round_rows({to.qkv, rows, w.qkv, to.qkv_operand.rounded}, device);
  }
  normalize(x, weights.attention_norm, config, rows, a.attention_input, nullptr, device);
  to.pack(a.attention_input, rows, w.hidden, dtype, to.packed_attention_input, device);
  project_back(to.qkv_operand, rows, weights.qkv, backward_weights.qkv, to.hidden, device);
  const float* dkeys = to.qkv + w.query;
  const float* dvalues = dkeys + config.kv_size();
  const float* input = a.attention_input.values;
  adapter_backward(AdaptedMatrix::kQuery, input, to.qkv, w.qkv, to.hidden);
  adapter_backward(AdaptedMatrix::kKey, input, dkeys, w.qkv, to.hidden);
  adapter_backward(AdaptedMatrix::kValue, input, dvalues, w.qkv, to.hidden);
  through_input_norm(weights.attention_norm, x, BlockGradients::kAttentionNorm);
}

}  // namespace looplm
