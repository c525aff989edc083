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
  Bf16* take_rounded(int64_t rows, int64_t width) {
    return reinterpret_cast<Bf16*>(take(operand_floats(rows, width, DType::kBf16)));
  }
  Operand take_operand(int64_t rows, int64_t width, DType type) {
    if (type == DType::kBf16) return {.rounded = take_rounded(rows, width)};
    return {.values = take(rows * width)};
  }
  static int64_t operand_floats(int64_t rows, int64_t width, DType type) {
    return rows * (type == DType::kBf16 ? rounded_stride(width) / 2 : width);
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

void weight_gradient(const Operand& dy, int64_t out, const Operand& x, int64_t in, int64_t rows,
                     DType dtype, float* gradient, Device& device) {
  if (gradient == nullptr) return;
  LinearWeightGradientParams p;
  p.dy = dy.values;
  p.dy_rounded = dy.rounded;
  p.dy_stride = dy.rounded != nullptr ? rounded_stride(out) : out;
  p.x = x.values;
  p.x_rounded = x.rounded;
  p.x_stride = x.rounded != nullptr ? rounded_stride(in) : in;
  p.rows = rows;
  p.out = out;
  p.in = in;
  p.dtype = dtype;
  p.weight_gradient = gradient;
  linear_weight_gradient(p, device);
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

Operand operand_of(float* values, Bf16* rounded) {
  return rounded != nullptr ? Operand{.rounded = rounded} : Operand{.values = values};
}

void activate(const ModelConfig& config, const BlockActivations& a, Device& device) {
  const int64_t width = config.intermediate_size;
  swiglu_forward({a.gate_up, a.gate_up + width, 2 * width, a.rows, width, a.activated.values,
                  a.activated.rounded},
                 device);
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
  Carver operand_carver(operand_memory);
  a.attention_input = operand_carver.take_operand(rows, w.hidden, operands);
  a.mlp_input = operand_carver.take_operand(rows, w.hidden, operands);
  a.activated = operand_carver.take_operand(rows, w.feed_forward, operands);
  return a;
}

int64_t BlockGradients::floats(const ModelConfig& config, int64_t rows, DType operands) {
  const Widths w(config);
  int64_t floats = rows * (w.hidden + w.qkv + w.query + w.feed_forward) +
                   Carver::operand_floats(rows, 2 * w.feed_forward, operands);
  if (operands == DType::kBf16) {
    floats += Carver::operand_floats(rows, w.hidden, operands) +
              Carver::operand_floats(rows, w.qkv, operands);
  }
  return floats;
}

BlockGradients BlockGradients::assign(const ModelConfig& config, int64_t rows, DType operands,
                                      float* memory) {
  const Widths w(config);
  Carver carver(memory);
  BlockGradients g;
  g.hidden = carver.take(rows * w.hidden);
  g.qkv = carver.take(rows * w.qkv);
  g.attention = carver.take(rows * w.query);
  g.gate_up = carver.take_operand(rows, 2 * w.feed_forward, operands);
  g.activated = carver.take(rows * w.feed_forward);
  if (operands == DType::kBf16) {
    g.hidden_rounded = carver.take_rounded(rows, w.hidden);
    g.qkv_rounded = carver.take_rounded(rows, w.qkv);
  }
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
  if (a.middle != x) std::memcpy(a.middle, x, hidden_bytes);
  add_residual(a.attention_output, weights.attention_output_norm, eps, rows, w.hidden, a.middle,
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
                                       float* norm_gradient) -> Operand {
    if (norm != nullptr) {
      rms_norm_backward({gradient, y, norm, a.norm_scale(index), rows, w.hidden, scratch.hidden,
                         false, norm_gradient, scratch.hidden_rounded},
                        device);
    } else if (scratch.hidden_rounded != nullptr) {
      round_rows({gradient, rows, w.hidden, scratch.hidden_rounded}, device);
    } else {
      return {.values = gradient};
    }
    return operand_of(scratch.hidden, scratch.hidden_rounded);
  };

  const auto adapter_backward = [&](AdaptedMatrix matrix, const float* input, const float* doutput,
                                    int64_t stride, float* dinput) {
    if (adapter.weights == nullptr) return;
    adapter.weights->backward({adapter.loop, adapter.layer, matrix}, input, rows, doutput, stride,
                              dinput, *adapter_gradients, device);
  };

  // x'' = x' + [norm] m
  const Operand dm =
      through_output_norm(weights.mlp_output_norm, a.mlp_output, 3, to.mlp_output_norm);
  project_back(dm, rows, weights.down, backward_weights.down, scratch.activated, device);
  if (adapter.weights != nullptr) activate(config, a, device);
  adapter_backward(AdaptedMatrix::kDown, a.activated.values, dm.values, w.hidden,
                   scratch.activated);
  float* dgate = scratch.gate_up.values;
  float* dup = dgate == nullptr ? nullptr : dgate + w.feed_forward;
  swiglu_backward({scratch.activated, a.gate_up, a.gate_up + w.feed_forward, 2 * w.feed_forward,
                   rows, w.feed_forward, dgate, dup, 2 * w.feed_forward, scratch.gate_up.rounded,
                   a.activated.values, a.activated.rounded},
                  device);
  weight_gradient(dm, w.hidden, a.activated, w.feed_forward, rows, dtype, to.down, device);
  normalize(a.middle, weights.mlp_norm, config, rows, a.mlp_input, nullptr, device);
  weight_gradient(scratch.gate_up, 2 * w.feed_forward, a.mlp_input, w.hidden, rows, dtype,
                  to.gate_up, device);
  project_back(scratch.gate_up, rows, weights.gate_up, backward_weights.gate_up, scratch.hidden,
               device);
  adapter_backward(AdaptedMatrix::kGate, a.mlp_input.values, dgate, 2 * w.feed_forward,
                   scratch.hidden);
  adapter_backward(AdaptedMatrix::kUp, a.mlp_input.values, dup, 2 * w.feed_forward, scratch.hidden);
  rms_norm_backward({scratch.hidden, a.middle, weights.mlp_norm, a.norm_scale(2), rows, w.hidden,
                     gradient, true, to.mlp_norm},
                    device);

  // x' = x + [norm] y
  const Operand dy = through_output_norm(weights.attention_output_norm, a.attention_output, 1,
                                         to.attention_output_norm);
  project_back(dy, rows, weights.output, backward_weights.output, scratch.attention, device);
  adapter_backward(AdaptedMatrix::kOutput, a.attention, dy.values, w.hidden, scratch.attention);
  weight_gradient(dy, w.hidden, {.values = a.attention}, w.query, rows, dtype, to.output, device);
  attention.backward(a.qkv, a.attention, a.attention_log_sum, scratch.attention, scratch.qkv,
                     device);
  rotary_backward({&attention.rotary(), attention.positions(), rows, config.heads + config.kv_heads,
                   config.head_dim, scratch.qkv, w.qkv},
                  device);
  if (scratch.qkv_rounded != nullptr) {
    round_rows({scratch.qkv, rows, w.qkv, scratch.qkv_rounded}, device);
  }
  const Operand dqkv = operand_of(scratch.qkv, scratch.qkv_rounded);
  normalize(x, weights.attention_norm, config, rows, a.attention_input, nullptr, device);
  weight_gradient(dqkv, w.qkv, a.attention_input, w.hidden, rows, dtype, to.qkv, device);
  project_back(dqkv, rows, weights.qkv, backward_weights.qkv, scratch.hidden, device);
  const float* dkeys = scratch.qkv + w.query;
  const float* dvalues = dkeys + config.kv_size();
  const float* input = a.attention_input.values;
  adapter_backward(AdaptedMatrix::kQuery, input, scratch.qkv, w.qkv, scratch.hidden);
  adapter_backward(AdaptedMatrix::kKey, input, dkeys, w.qkv, scratch.hidden);
  adapter_backward(AdaptedMatrix::kValue, input, dvalues, w.qkv, scratch.hidden);
  rms_norm_backward({scratch.hidden, x, weights.attention_norm, a.norm_scale(0), rows, w.hidden,
                     gradient, true, to.attention_norm},
                    device);
}

}  // namespace looplm
