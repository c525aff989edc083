#include "model/block_gradients.h"

#include <algorithm>

#include "base/check.h"

namespace looplm {
namespace {

// Whole cache lines, of a matrix in either type: operands in fp32 may belong to weights in bf16.
int64_t packed_floats(int64_t rows, int64_t width, DType operands) {
  size_t bytes = PackedMatrix::packed_bytes(rows, width, DType::kBf16);
  if (operands == DType::kF32) {
    bytes = std::max(bytes, PackedMatrix::packed_bytes(rows, width, DType::kF32));
  }
  return static_cast<int64_t>(bytes / sizeof(float));
}

}  // namespace

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
  g.norms[BlockGradients::kAttentionNorm] = find(kAttentionNormName);
  g.norms[BlockGradients::kMlpNorm] = find(kMlpNormName);
  if (config.norm_placement == NormPlacement::kSandwich) {
    g.norms[BlockGradients::kAttentionOutputNorm] = find(kAttentionOutputNormName);
    g.norms[BlockGradients::kMlpOutputNorm] = find(kMlpOutputNormName);
  }
  // The stacked gradients need the parts side by side.
  const int64_t hidden = config.hidden_size;
  LOOPLM_CHECK(find(kKeyName) == g.qkv + config.query_size() * hidden);
  LOOPLM_CHECK(find(kValueName) == find(kKeyName) + config.kv_size() * hidden);
  LOOPLM_CHECK(find(kUpProjectionName) == g.gate_up + config.intermediate_size * hidden);
  return g;
}

int64_t BlockGradients::scratch_floats(const ModelConfig& config, int64_t rows, DType operands) {
  const Widths w(config);
  return rows *
         (w.hidden + w.query + w.feed_forward + (operands == DType::kBf16 ? w.qkv : int64_t{0}));
}

int64_t BlockGradients::kept_floats(const ModelConfig& config, int64_t rows, DType operands,
                                    bool frozen) {
  const Widths w(config);
  const auto operand = [&](int64_t width) { return Carver::operand_floats(rows, width, operands); };
  const auto packed = [&](int64_t width) { return packed_floats(rows, width, operands); };
  int64_t floats = operand(2 * w.feed_forward) + operand(w.qkv);
  if (!frozen) {
    floats += 2 * operand(w.hidden) + packed(w.feed_forward) + 2 * packed(w.hidden) +
              packed(w.query) + kNorms * norm_sum_count(rows) * w.hidden;
  }
  return (floats + 15) / 16 * 16;
}

BlockGradients BlockGradients::assign(const ModelConfig& config, int64_t rows, DType operands,
                                      bool frozen, float* scratch, float* kept) {
  const Widths w(config);
  Carver scratches(scratch), carver(kept);
  const auto packed = [&](int64_t width) {
    return carver.take(packed_floats(rows, width, operands));
  };
  const auto operand = [&](int64_t width) { return carver.take_operand(rows, width, operands); };
  BlockGradients g;
  g.all_rows = rows;
  g.hidden = scratches.take(rows * w.hidden);
  g.attention = scratches.take(rows * w.query);
  g.activated = scratches.take(rows * w.feed_forward);
  if (!frozen) {
    g.packed_activated = packed(w.feed_forward);
    g.packed_mlp_input = packed(w.hidden);
    g.packed_attention = packed(w.query);
    g.packed_attention_input = packed(w.hidden);
    g.mlp_output = operand(w.hidden);
    g.attention_output = operand(w.hidden);
    g.norm_sums = carver.take(kNorms * norm_sum_count(rows) * w.hidden);
  } else {
    g.mlp_output = g.attention_output = {.values = g.hidden};
  }
  g.gate_up = operand(2 * w.feed_forward);
  g.qkv_operand = operand(w.qkv);
  g.qkv = operands == DType::kBf16 ? scratches.take(rows * w.qkv) : g.qkv_operand.values;
  return g;
}

BlockGradients BlockGradients::from_row(const ModelConfig& config, int64_t first) const {
  const Widths w(config);
  BlockGradients g = *this;
  g.hidden += first * w.hidden;
  g.qkv += first * w.qkv;
  g.attention += first * w.query;
  g.activated += first * w.feed_forward;
  g.mlp_output = mlp_output.from_row(first, w.hidden);
  g.gate_up = gate_up.from_row(first, 2 * w.feed_forward);
  g.attention_output = attention_output.from_row(first, w.hidden);
  g.qkv_operand = qkv_operand.from_row(first, w.qkv);
  g.first_row += first;
  return g;
}

float* BlockGradients::norm_sum(Norm norm, int64_t width) const {
  if (norm_sums == nullptr) return nullptr;
  return norm_sums + (norm * norm_sum_count(all_rows) + first_row / kNormSumRows) * width;
}

void BlockGradients::pack(const Operand& x, int64_t rows, int64_t width, DType dtype, float* packed,
                          Device& device) const {
  if (packed == nullptr) return;
  PackedMatrix out(all_rows, width, dtype, reinterpret_cast<std::byte*>(packed));
  MatrixSource source = {x.values, DType::kF32, rows, width, width};
  if (x.rounded != nullptr) {
    source = {x.rounded, DType::kBf16, rows, width, rounded_stride(width)};
  }
  pack_terms({&source, 1}, first_row, out, device);
}

std::array<WeightGradientTask, 4> weight_gradient_tasks(const ModelConfig& config,
                                                        const BlockGradients& from,
                                                        const BlockWeightGradients& to) {
  const Widths w(config);
  return {{{&from, from.gate_up, from.packed_mlp_input, 2 * w.feed_forward, w.hidden, to.gate_up},
           {&from, from.mlp_output, from.packed_activated, w.hidden, w.feed_forward, to.down},
           {&from, from.qkv_operand, from.packed_attention_input, w.qkv, w.hidden, to.qkv},
           {&from, from.attention_output, from.packed_attention, w.hidden, w.query, to.output}}};
}

void add_weight_gradient(const WeightGradientTask& t, int64_t first, int64_t count, DType dtype,
                         Device& device) {
  const PackedMatrix x(t.from->all_rows, t.in, dtype, reinterpret_cast<std::byte*>(t.packed_x));
  MatmulParams p;
  if (t.dy.rounded != nullptr) {
    p.a_rounded = t.dy.rounded + first;
  } else {
    p.a = t.dy.values + first;
  }
  p.a_row_stride = 1;
  p.a_term_stride = t.dy.rounded != nullptr ? rounded_stride(t.out) : t.out;
  p.rows = count;
  p.b = &x;
  p.c = t.gradient + first * t.in;
  p.c_row_stride = t.in;
  p.accumulate = true;
  matmul(p, device);
}

void add_norm_gradient(const BlockGradients& from, BlockGradients::Norm norm, int64_t width,
                       float* gradient, Device& device) {
  add_sums(from.norm_sum(norm, width), norm_sum_count(from.all_rows), width, gradient, device);
}

}  // namespace looplm
