#include "model/block.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/attention.h"

namespace looplm {
namespace {

// Cuts consecutive pieces off one allocation.
class Carver {
 public:
  explicit Carver(float* memory) : at_(memory) {}
  float* take(int64_t floats) {
    float* piece = at_;
    at_ += floats;
    return piece;
  }

 private:
  float* at_;
};

struct Widths {
  explicit Widths(const ModelConfig& c)
      : hidden(c.hidden_size),
        query(c.query_size()),
        qkv(c.query_size() + 2 * c.kv_size()),
        feed_forward(c.intermediate_size) {}
  int64_t hidden;
  int64_t query;
  int64_t qkv;
  int64_t feed_forward;
};

void project(const float* x, int64_t rows, const PackedMatrix& weight, float* y, Device& device) {
  MatmulParams p;
  p.a = x;
  p.a_row_stride = weight.terms();
  p.rows = rows;
  p.b = &weight;
  p.c = y;
  p.c_row_stride = weight.columns();
  matmul(p, device);
}

// dx = dy W, with W packed for it; by the forward pass's own matrix where that is widened.
void project_back(const float* dy, int64_t rows, const PackedMatrix& forward,
                  const PackedMatrix& backward, float* dx, Device& device) {
  if (!forward.is_widened()) return project(dy, rows, backward, dx, device);
  MatmulParams p;
  p.a = dy;
  p.a_row_stride = forward.columns();
  p.rows = rows;
  p.b = &forward;
  p.transposed = true;
  p.c = dx;
  p.c_row_stride = forward.terms();
  matmul(p, device);
}

void weight_gradient(const float* dy, int64_t out, const float* x, int64_t in, int64_t rows,
                     DType dtype, float* gradient, Device& device) {
  if (gradient == nullptr) return;
  linear_weight_gradient({dy, out, x, in, rows, out, in, dtype, gradient}, device);
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

// x += y, or x += norm(y) with sandwich norms.
void add_residual(const float* y, const float* norm, float eps, int64_t rows, int64_t width,
                  float* x, float* inverse_rms, Device& device) {
  if (norm == nullptr) {
    add(y, rows * width, x, device);
  } else {
    residual_norm_forward({y, norm, eps, rows, width, x, inverse_rms}, device);
  }
}

}  // namespace

int64_t BlockActivations::floats(const ModelConfig& config, int64_t rows) {
  const Widths w(config);
  return rows * (5 * w.hidden + w.qkv + w.query + 3 * w.feed_forward + config.heads + 4);
}

BlockActivations BlockActivations::assign(const ModelConfig& config, int64_t rows, float* memory) {
  const Widths w(config);
  Carver carver(memory);
  BlockActivations a;
  a.rows = rows;
  a.attention_input = carver.take(rows * w.hidden);
  a.qkv = carver.take(rows * w.qkv);
  a.attention = carver.take(rows * w.query);
  a.attention_output = carver.take(rows * w.hidden);
  a.middle = carver.take(rows * w.hidden);
  a.mlp_input = carver.take(rows * w.hidden);
  a.gate_up = carver.take(rows * 2 * w.feed_forward);
  a.activated = carver.take(rows * w.feed_forward);
  a.mlp_output = carver.take(rows * w.hidden);
  a.attention_log_sum = carver.take(rows * config.heads);
  a.inverse_rms = carver.take(rows * 4);
  return a;
}

int64_t BlockGradients::floats(const ModelConfig& config, int64_t rows) {
  const Widths w(config);
  return rows * (w.hidden + w.qkv + w.query + 3 * w.feed_forward);
}

BlockGradients BlockGradients::assign(const ModelConfig& config, int64_t rows, float* memory) {
  const Widths w(config);
  Carver carver(memory);
  BlockGradients g;
  g.hidden = carver.take(rows * w.hidden);
  g.qkv = carver.take(rows * w.qkv);
  g.attention = carver.take(rows * w.query);
  g.gate_up = carver.take(rows * 2 * w.feed_forward);
  g.activated = carver.take(rows * w.feed_forward);
  return g;
}

BlockWeightGradients BlockWeightGradients::of(ParameterSet& gradients, const ModelConfig& config,
                                              int64_t layer) {
  const auto find = [&](const char* name) {
    return gradients.find(layer_parameter_name(layer, name));
  };
  BlockWeightGradients g;
  g.qkv = find(kQueryName);
  g.output = find(kOutputName);
  g.gate_up = find(kGateProjectionName);
  g.down = find(kDownProjectionName);
  g.attention_norm = find(kAttentionNormName);
  g.mlp_norm = find(kMlpNormName);
  if (config.norm_placement == NormPlacement::kSandwich) {
    g.attention_output_norm = find(kAttentionOutputNormName);
    g.mlp_output_norm = find(kMlpOutputNormName);
  }
  // The stacked gradients need the parts side by side.
  const int64_t hidden = config.hidden_size;
  LOOPLM_CHECK(find(kKeyName) == g.qkv + config.query_size() * hidden);
  LOOPLM_CHECK(find(kValueName) == find(kKeyName) + config.kv_size() * hidden);
  LOOPLM_CHECK(find(kUpProjectionName) == g.gate_up + config.intermediate_size * hidden);
  return g;
}

void block_forward(const ModelConfig& config, const BlockWeights& weights, int64_t layer,
                   const float* x, const BlockActivations& a, BlockAttention& attention, float* out,
                   Device& device, const BlockAdapter& adapter) {
  const Widths w(config);
  const int64_t rows = a.rows;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  const auto hidden_bytes = static_cast<size_t>(rows * w.hidden) * sizeof(float);

  rms_norm_forward(
      {x, weights.attention_norm, eps, rows, w.hidden, a.attention_input, a.norm_scale(0)}, device);
  project(a.attention_input, rows, weights.qkv, a.qkv, device);
  float* keys = a.qkv + w.query;
  float* values = keys + config.kv_size();
  adapt(adapter, AdaptedMatrix::kQuery, a.attention_input, rows, a.qkv, w.qkv, device);
  adapt(adapter, AdaptedMatrix::kKey, a.attention_input, rows, keys, w.qkv, device);
  adapt(adapter, AdaptedMatrix::kValue, a.attention_input, rows, values, w.qkv, device);
  const RotaryTable& rotary = attention.rotary();
  rotary_forward({&rotary, attention.positions(), rows, config.heads + config.kv_heads,
                  config.head_dim, a.qkv, w.qkv},
                 device);
  attention.forward(layer, a.qkv, a.attention, a.attention_log_sum, device);
  project(a.attention, rows, weights.output, a.attention_output, device);
  adapt(adapter, AdaptedMatrix::kOutput, a.attention, rows, a.attention_output, w.hidden, device);
  if (a.middle != x) std::memcpy(a.middle, x, hidden_bytes);
  add_residual(a.attention_output, weights.attention_output_norm, eps, rows, w.hidden, a.middle,
               a.norm_scale(1), device);

  rms_norm_forward({a.middle, weights.mlp_norm, eps, rows, w.hidden, a.mlp_input, a.norm_scale(2)},
                   device);
  project(a.mlp_input, rows, weights.gate_up, a.gate_up, device);
  adapt(adapter, AdaptedMatrix::kGate, a.mlp_input, rows, a.gate_up, 2 * w.feed_forward, device);
  adapt(adapter, AdaptedMatrix::kUp, a.mlp_input, rows, a.gate_up + w.feed_forward,
        2 * w.feed_forward, device);
  swiglu_forward({a.gate_up, a.gate_up + w.feed_forward, 2 * w.feed_forward, rows, w.feed_forward,
                  a.activated},
                 device);
  project(a.activated, rows, weights.down, a.mlp_output, device);
  adapt(adapter, AdaptedMatrix::kDown, a.activated, rows, a.mlp_output, w.hidden, device);
  if (out != a.middle) std::memcpy(out, a.middle, hidden_bytes);
  add_residual(a.mlp_output, weights.mlp_output_norm, eps, rows, w.hidden, out, a.norm_scale(3),
               device);
}

PackedAttention::PackedAttention(const ModelConfig& config)
    : config_(config), rotary_(config.head_dim, config.rope_theta) {}

void PackedAttention::set_documents(std::span<const int64_t> starts, Device& device) {
  starts_.assign(starts.begin(), starts.end());
  positions_.resize(static_cast<size_t>(starts_.back()));
  for (size_t d = 0; d + 1 < starts_.size(); ++d) {
    rotary_.grow(starts_[d + 1] - starts_[d], device);
    for (int64_t r = starts_[d]; r < starts_[d + 1]; ++r) {
      positions_[static_cast<size_t>(r)] = static_cast<int32_t>(r - starts_[d]);
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
                    const BlockGradients& scratch, const BlockWeightGradients& to, float* gradient,
                    Device& device, const BlockAdapter& adapter, ParameterSet* adapter_gradients) {
  const Widths w(config);
  const int64_t rows = a.rows;
  const DType dtype = weights.qkv.dtype();
  // The gradient of a sub-layer's output: through the sandwich norm where there is one.
  const auto through_output_norm = [&](const float* norm, const float* y, int index,
                                       float* norm_gradient) -> const float* {
    if (norm == nullptr) return gradient;
    rms_norm_backward({gradient, y, norm, a.norm_scale(index), rows, w.hidden, scratch.hidden,
                       false, norm_gradient},
                      device);
    return scratch.hidden;
  };

  const auto adapter_backward = [&](AdaptedMatrix matrix, const float* input, const float* doutput,
                                    int64_t stride, float* dinput) {
    if (adapter.weights == nullptr) return;
    adapter.weights->backward({adapter.loop, adapter.layer, matrix}, input, rows, doutput, stride,
                              dinput, *adapter_gradients, device);
  };

  // x'' = x' + [norm] m
  const float* dm =
      through_output_norm(weights.mlp_output_norm, a.mlp_output, 3, to.mlp_output_norm);
  project_back(dm, rows, weights.down, backward_weights.down, scratch.activated, device);
  adapter_backward(AdaptedMatrix::kDown, a.activated, dm, w.hidden, scratch.activated);
  weight_gradient(dm, w.hidden, a.activated, w.feed_forward, rows, dtype, to.down, device);
  swiglu_backward(
      {scratch.activated, a.gate_up, a.gate_up + w.feed_forward, 2 * w.feed_forward, rows,
       w.feed_forward, scratch.gate_up, scratch.gate_up + w.feed_forward, 2 * w.feed_forward},
      device);
  weight_gradient(scratch.gate_up, 2 * w.feed_forward, a.mlp_input, w.hidden, rows, dtype,
                  to.gate_up, device);
  project_back(scratch.gate_up, rows, weights.gate_up, backward_weights.gate_up, scratch.hidden,
               device);
  adapter_backward(AdaptedMatrix::kGate, a.mlp_input, scratch.gate_up, 2 * w.feed_forward,
                   scratch.hidden);
  adapter_backward(AdaptedMatrix::kUp, a.mlp_input, scratch.gate_up + w.feed_forward,
                   2 * w.feed_forward, scratch.hidden);
  rms_norm_backward({scratch.hidden, a.middle, weights.mlp_norm, a.norm_scale(2), rows, w.hidden,
                     gradient, true, to.mlp_norm},
                    device);

  // x' = x + [norm] y
  const float* dy = through_output_norm(weights.attention_output_norm, a.attention_output, 1,
                                        to.attention_output_norm);
  project_back(dy, rows, weights.output, backward_weights.output, scratch.attention, device);
  adapter_backward(AdaptedMatrix::kOutput, a.attention, dy, w.hidden, scratch.attention);
  weight_gradient(dy, w.hidden, a.attention, w.query, rows, dtype, to.output, device);
  attention.backward(a.qkv, a.attention, a.attention_log_sum, scratch.attention, scratch.qkv,
                     device);
  rotary_backward({&attention.rotary(), attention.positions(), rows, config.heads + config.kv_heads,
                   config.head_dim, scratch.qkv, w.qkv},
                  device);
  weight_gradient(scratch.qkv, w.qkv, a.attention_input, w.hidden, rows, dtype, to.qkv, device);
  project_back(scratch.qkv, rows, weights.qkv, backward_weights.qkv, scratch.hidden, device);
  const float* dkeys = scratch.qkv + w.query;
  const float* dvalues = dkeys + config.kv_size();
  adapter_backward(AdaptedMatrix::kQuery, a.attention_input, scratch.qkv, w.qkv, scratch.hidden);
  adapter_backward(AdaptedMatrix::kKey, a.attention_input, dkeys, w.qkv, scratch.hidden);
  adapter_backward(AdaptedMatrix::kValue, a.attention_input, dvalues, w.qkv, scratch.hidden);
  rms_norm_backward({scratch.hidden, x, weights.attention_norm, a.norm_scale(0), rows, w.hidden,
                     gradient, true, to.attention_norm},
                    device);
}

}  // namespace looplm
