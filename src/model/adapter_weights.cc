#include "model/adapter_weights.h"

#include <algorithm>

#include "base/check.h"
#include "base/rng.h"

namespace looplm {
namespace {

void product(const float* x, int64_t x_stride, int64_t rows, const PackedMatrix& weight, float* y,
             int64_t y_stride, bool accumulate, Device& device) {
  MatmulParams p;
  p.a = x;
  p.a_row_stride = x_stride;
  p.rows = rows;
  p.b = &weight;
  p.c = y;
  p.c_row_stride = y_stride;
  p.accumulate = accumulate;
  matmul(p, device);
}

void scale(float factor, std::span<float> values) {
  for (float& value : values) value *= factor;
}

// Buffers grow to the largest pass seen.
float* room(Buffer<float>& buffer, int64_t floats) {
  if (buffer.size() < static_cast<size_t>(floats)) {
    buffer = Buffer<float>(static_cast<size_t>(floats));
  }
  return buffer.data();
}

int64_t widest_input(const ModelConfig& config) {
  return std::max({config.hidden_size, config.query_size(), config.intermediate_size});
}

}  // namespace

AdapterWeights::AdapterWeights(const ModelConfig& config, const AdapterSettings& settings,
                               AdapterUse use)
    : settings_(settings), use_(use) {
  const int64_t rank = settings.rank;
  std::unordered_map<std::string, Shape> shapes;
  for (const ParameterSpec& spec : adapter_specs(config, settings)) {
    shapes.emplace(spec.name, spec.shape);
  }
  copies_.resize(static_cast<size_t>(settings.copies(config)));
  for (size_t copy = 0; copy < copies_.size(); ++copy) {
    const std::optional<int64_t> loop =
        settings.per_loop ? std::optional(static_cast<int64_t>(copy)) : std::nullopt;
    copies_[copy].resize(static_cast<size_t>(config.layers));
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      for (size_t i = 0; i < adapter_targets().size(); ++i) {
        const std::string name = layer_parameter_name(layer, adapter_targets()[i].parameter);
        const auto down = shapes.find(adapter_down_name(name, loop));
        if (down == shapes.end()) continue;
        Matrix& m = copies_[copy][static_cast<size_t>(layer)][i];
        m.down_name = down->first;
        m.up_name = adapter_up_name(name, loop);
        m.in = down->second[1];
        m.out = shapes.at(m.up_name)[0];
        m.down = PackedMatrix(m.in, rank, DType::kF32);
        m.up = PackedMatrix(rank, m.out, DType::kF32);
        if (use == AdapterUse::kForwardOnly) continue;
        m.down_backward = PackedMatrix(rank, m.in, DType::kF32);
        m.up_backward = PackedMatrix(m.out, rank, DType::kF32);
      }
    }
  }
}

MemoryPlan AdapterWeights::plan(const ModelConfig& config, const AdapterSettings& settings,
                                int64_t rows) {
  uint64_t packed = 0;
  for (const ParameterSpec& spec : adapter_specs(config, settings)) {
    packed += PackedMatrix::packed_bytes(spec.shape[0], spec.shape[1], DType::kF32) +
              PackedMatrix::packed_bytes(spec.shape[1], spec.shape[0], DType::kF32);
  }
  const int64_t floats =
      2 * rows * (settings.rank + (settings.dropout > 0 ? widest_input(config) : 0));
  MemoryPlan plan;
  plan.add("packed adapters", packed, "forward and backward");
  plan.add("adapter intermediates", static_cast<uint64_t>(floats) * sizeof(float));
  return plan;
}

void AdapterWeights::repack(const ParameterSet& values, Device& device) {
  const int64_t rank = settings_.rank;
  const auto pack = [&](Matrix& m) {
    const std::array<MatrixSource, 1> down = {
        {{values.find(m.down_name), DType::kF32, rank, m.in, m.in}}};
    const std::array<MatrixSource, 1> up = {
        {{values.find(m.up_name), DType::kF32, m.out, rank, rank}}};
    pack_rows(down, m.down, device);
    pack_rows(up, m.up, device);
    if (use_ == AdapterUse::kForwardOnly) return;
    pack_columns(down, m.down_backward, device);
    pack_columns(up, m.up_backward, device);
  };
  for (std::vector<Layer>& copy : copies_) {
    for (Layer& layer : copy) {
      for (Matrix& m : layer) {
        if (!m.down_name.empty()) pack(m);
      }
    }
  }
}

AdapterWeights::Matrix& AdapterWeights::at(const AdapterPlace& place) {
  return copies_[static_cast<size_t>(copy_of(place.loop))][static_cast<size_t>(place.layer)]
                [static_cast<size_t>(place.matrix)];
}

void AdapterWeights::drop(const AdapterPlace& place, const float* x, int64_t count, float* out,
                          Device& device) const {
  const auto rate = static_cast<float>(settings_.dropout);
  const float kept = 1 / (1 - rate);
  const auto stream = static_cast<uint64_t>((place.loop << 20) + place.layer * 8 +
                                            static_cast<int64_t>(place.matrix));
  constexpr int64_t kBlocks = 1024;
  device.for_pieces((count + 3) / 4, kBlocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const PhiloxBlock bits = philox(*dropout_key_, stream, static_cast<uint64_t>(block));
      for (int64_t i = block * 4; i < std::min(count, block * 4 + 4); ++i) {
        const float u = uniform_from_bits(bits[static_cast<size_t>(i % 4)]);
        out[i] = u < rate ? 0.0f : x[i] * kept;
      }
    }
  });
}

const float* AdapterWeights::input(const AdapterPlace& place, const float* x, int64_t rows,
                                   Device& device) {
  if (!drops()) return x;
  float* dropped = room(dropped_, rows * at(place).in);
  drop(place, x, rows * at(place).in, dropped, device);
  return dropped;
}

void AdapterWeights::project_down(const Matrix& m, const float* input, int64_t rows,
                                  Device& device) {
  const int64_t rank = settings_.rank;
  float* hidden = room(hidden_, rows * rank);
  product(input, m.in, rows, m.down, hidden, rank, /*accumulate=*/false, device);
  scale(static_cast<float>(settings_.scale()),
        hidden_.span().first(static_cast<size_t>(rows * rank)));
}

void AdapterWeights::forward(const AdapterPlace& place, const float* x, int64_t rows, float* y,
                             int64_t y_stride, Device& device) {
  const Matrix& m = at(place);
  if (!enabled_ || m.down_name.empty()) return;
  project_down(m, input(place, x, rows, device), rows, device);
  product(hidden_.data(), settings_.rank, rows, m.up, y, y_stride, /*accumulate=*/true, device);
}

void AdapterWeights::forward(const AdapterPlace& place, std::span<const int64_t> rows,
                             const float* x, float* y, int64_t y_stride, Device& device) {
  const Matrix& m = at(place);
  if (!enabled_ || m.down_name.empty() || rows.empty()) return;
  const auto count = static_cast<int64_t>(rows.size());
  if (rows.back() - rows.front() + 1 == count) {
    return forward(place, x + rows.front() * m.in, count, y + rows.front() * y_stride, y_stride,
                   device);
  }
  float* inputs = room(some_inputs_, count * m.in);
  float* outputs = room(some_outputs_, count * m.out);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    std::copy_n(x + row * m.in, m.in, inputs + i * m.in);
    std::copy_n(y + row * y_stride, m.out, outputs + i * m.out);
  }
  forward(place, inputs, count, outputs, m.out, device);
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(outputs + i * m.out, m.out, y + rows[static_cast<size_t>(i)] * y_stride);
  }
}

void AdapterWeights::backward(const AdapterPlace& place, const float* x, int64_t rows,
                              const float* dy, int64_t dy_stride, float* dx,
                              ParameterSet& gradients, Device& device) {
  const Matrix& m = at(place);
  if (m.down_name.empty()) return;
  const int64_t rank = settings_.rank;
  const float* in = input(place, x, rows, device);
  project_down(m, in, rows, device);
  linear_weight_gradient({dy, dy_stride, hidden_.data(), rank, rows, m.out, rank, DType::kF32,
                          gradients.find(m.up_name)},
                         device);
  float* dh = room(hidden_gradient_, rows * rank);
  product(dy, dy_stride, rows, m.up_backward, dh, rank, /*accumulate=*/false, device);
  scale(static_cast<float>(settings_.scale()),
        hidden_gradient_.span().first(static_cast<size_t>(rows * rank)));
  linear_weight_gradient(
      {dh, rank, in, m.in, rows, rank, m.in, DType::kF32, gradients.find(m.down_name)}, device);
  if (!drops()) {
    product(dh, rank, rows, m.down_backward, dx, m.in, /*accumulate=*/true, device);
    return;
  }
  float* dropped = room(input_gradient_, rows * m.in);
  product(dh, rank, rows, m.down_backward, dropped, m.in, /*accumulate=*/false, device);
  drop(place, dropped, rows * m.in, dropped, device);
  add(dropped, rows * m.in, dx, device);
}

void AdaptedRows::clear() {
  rows_ = 0;
  groups_.clear();
}

void AdaptedRows::add(AdapterWeights* adapter, int64_t loop) {
  const int64_t row = rows_++;
  if (adapter == nullptr) return;
  const int64_t copy = adapter->copy_of(loop);
  const auto same = [&](const Group& g) { return g.adapter == adapter && g.copy == copy; };
  auto group = std::find_if(groups_.begin(), groups_.end(), same);
  if (group == groups_.end()) group = groups_.insert(group, {adapter, copy, {}});
  group->rows.push_back(row);
}

void AdaptedRows::forward(int64_t layer, AdaptedMatrix matrix, const float* x, float* y,
                          int64_t y_stride, Device& device) const {
  for (const Group& group : groups_) {
    group.adapter->forward({group.copy, layer, matrix}, group.rows, x, y, y_stride, device);
  }
}

}  // namespace looplm
