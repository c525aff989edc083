#include "kernels/quantized.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "kernels/amx_matmul.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

using cpu::kInt4GroupBytes;
using cpu::kInt4HeaderBytes;
using cpu::kInt8GroupBytes;
using cpu::kInt8HeaderBytes;
using cpu::kPanel;
using cpu::kQuantStepBytes;

constexpr float kMostHalf = 65504.0f;

void store_half(float value, std::byte* to) {
  const uint16_t half = float_to_half(value);
  std::memcpy(to, &half, sizeof(half));
}

float round_to_half(float value) {
  return half_to_float(float_to_half(std::clamp(value, -kMostHalf, kMostHalf)));
}

// In loops that a compiler turns into vectors, as are those that round below.
float largest_magnitude(std::span<const float> w) {
  std::array<float, 16> most{};
  size_t i = 0;
  for (; i + most.size() <= w.size(); i += most.size()) {
    for (size_t j = 0; j < most.size(); ++j) {
      const float x = std::abs(w[i + j]);
      most[j] = x > most[j] ? x : most[j];
    }
  }
  for (; i < w.size(); ++i) most[0] = std::max(most[0], std::abs(w[i]));
  return *std::ranges::max_element(most);
}

void quantize_int8(std::span<const float> w, QuantizedRow& out) {
  const float most = largest_magnitude(w);
  out.scales.assign(1, most / 127.0f);
  out.minimums.clear();
  const float inverse = most > 0 ? 127.0f / most : 0.0f;
  std::fill(out.levels.begin(), out.levels.end(), uint8_t{128});
  for (size_t i = 0; i < w.size(); ++i) {
    // The sum's last bits are the nearest whole number.
    out.levels[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(w[i] * inverse + 0x1.8p23f) + 128);
  }
}

// A group's scale and minimum, and the levels nearest to the weights under them.
struct Int4Group {
  float scale = 0;
  float minimum = 0;
  std::array<float, kQuantGroup> levels{};
  double error = 0;  // sum of squares
};

Int4Group with_range(std::span<const float> w, float minimum, float scale) {
  Int4Group g;
  g.minimum = round_to_half(minimum);
  g.scale = round_to_half(scale);
  const float inverse = g.scale > 0 ? 1.0f / g.scale : 0.0f;
  for (size_t i = 0; i < w.size(); ++i) {
    const float level = std::clamp((w[i] - g.minimum) * inverse, 0.0f, 15.0f);
    g.levels[i] = (level + 0x1.8p23f) - 0x1.8p23f;  // to nearest
    const float d = g.minimum + g.levels[i] * g.scale - w[i];
    g.error += static_cast<double>(d * d);
  }
  return g;
}

// The scale and minimum that fit the group's levels best, by least squares.
Int4Group refit(std::span<const float> w, const Int4Group& g) {
  double levels = 0, squares = 0, weights = 0, products = 0;
  const auto n = static_cast<double>(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    const auto q = static_cast<double>(g.levels[i]), x = static_cast<double>(w[i]);
    levels += q;
    squares += q * q;
    weights += x;
    products += q * x;
  }
  const double spread = n * squares - levels * levels;
  if (spread <= 0) return g;
  const double scale = (n * products - levels * weights) / spread;
  return with_range(w, static_cast<float>((weights - scale * levels) / n),
                    static_cast<float>(scale));
}

// Cutting the extremes off a little often pays: the many weights between get finer levels. The
// best of a few cuts, each with its best fit.
Int4Group best_group(std::span<const float> w) {
  const auto [least, most] = std::minmax_element(w.begin(), w.end());
  const float range = *most - *least;
  Int4Group best = with_range(w, *least, range / 15.0f);
  for (const float cut : {0.0f, 0.04f, 0.08f}) {
    const Int4Group fitted =
        refit(w, with_range(w, *least + cut * range, (1 - 2 * cut) * range / 15.0f));
    if (fitted.error < best.error) best = fitted;
  }
  return best;
}

void quantize_int4(std::span<const float> w, QuantizedRow& out) {
  const auto groups = static_cast<size_t>(quant_groups(static_cast<int64_t>(w.size())));
  out.scales.resize(groups);
  out.minimums.resize(groups);
  std::fill(out.levels.begin(), out.levels.end(), uint8_t{0});
  for (size_t g = 0; g < groups; ++g) {
    const std::span<const float> part =
        w.subspan(g * kQuantGroup, std::min<size_t>(kQuantGroup, w.size() - g * kQuantGroup));
    const Int4Group best = best_group(part);
    out.minimums[g] = best.minimum;
    out.scales[g] = best.scale;
    for (size_t i = 0; i < part.size(); ++i) {
      out.levels[g * kQuantGroup + i] = static_cast<uint8_t>(best.levels[i]);
    }
  }
}

}  // namespace

void quantize_row(Quant quant, std::span<const float> weights, QuantizedRow& out) {
  out.levels.resize(
      static_cast<size_t>(quant_groups(static_cast<int64_t>(weights.size())) * kQuantGroup));
  if (quant == Quant::kInt8) {
    quantize_int8(weights, out);
  } else {
    quantize_int4(weights, out);
  }
}

void dequantize_row(Quant quant, const QuantizedRow& row, std::span<float> weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto level = static_cast<float>(row.levels[i]);
    weights[i] = quant == Quant::kInt8
                     ? (level - 128.0f) * row.scales[0]
                     : row.minimums[i / kQuantGroup] + level * row.scales[i / kQuantGroup];
  }
}

int64_t quantized_panel_bytes(Quant quant, int64_t terms) {
  return quant == Quant::kInt8 ? kInt8HeaderBytes + quant_groups(terms) * kInt8GroupBytes
                               : quant_groups(terms) * kInt4GroupBytes;
}

void place_row(Quant quant, const QuantizedRow& row, int64_t column, std::byte* panel) {
  const auto terms = static_cast<int64_t>(row.levels.size());
  const uint8_t* levels = row.levels.data();
  if (quant == Quant::kInt8) {
    std::memcpy(panel + column * 4, row.scales.data(), sizeof(float));
    for (int64_t i = 0; i < terms; i += 4) {
      std::memcpy(panel + kInt8HeaderBytes + i / 4 * kQuantStepBytes + column * 4, levels + i, 4);
    }
    return;
  }
  for (int64_t g = 0; g < terms / kQuantGroup; ++g) {
    std::byte* group = panel + g * kInt4GroupBytes;
    store_half(row.scales[static_cast<size_t>(g)], group + column * 2);
    store_half(row.minimums[static_cast<size_t>(g)], group + kPanel * 2 + column * 2);
    for (int64_t i = 0; i < kQuantGroup; i += 8) {
      const uint8_t* eight = levels + g * kQuantGroup + i;
      std::byte* to = group + kInt4HeaderBytes + i / 8 * kQuantStepBytes + column * 4;
      for (int64_t j = 0; j < 4; ++j) to[j] = static_cast<std::byte>(eight[j] | eight[4 + j] << 4);
    }
  }
}

void matmul_quantized(const MatmulParams& p, Device& device) {
  LOOPLM_CHECK(p.a_term_stride == 1, "a quantised product of a transposed matrix");
  const PackedMatrix& b = *p.b;
  const cpu::KernelTable& kernels = device.kernels();
  if (kernels.amx_int8 != nullptr) return matmul_amx_quantized(p, device);
  const int64_t groups = quant_groups(b.terms());
  const int64_t padded = groups * kQuantGroup;

  // Rows in small integers: levels, then scales and sums of levels per group.
  const auto levels_floats = static_cast<size_t>(p.rows * padded / 4);
  const auto per_group = static_cast<size_t>(p.rows * groups);
  float* scratch = device.shared_scratch(levels_floats + 2 * per_group);
  auto* levels = reinterpret_cast<int8_t*>(scratch);
  float* scales = scratch + levels_floats;
  auto* sums = reinterpret_cast<int32_t*>(scales + per_group);
  const auto prepare = [&](int64_t begin, int64_t end, int) {
    for (int64_t m = begin; m < end; ++m) {
      kernels.quantize_groups(p.a + m * p.a_row_stride, b.terms(), levels + m * padded,
                              scales + m * groups, sums + m * groups);
    }
  };
  if (p.rows <= 4) {
    prepare(0, p.rows, 0);
  } else {
    device.for_pieces(p.rows, 4, prepare);
  }

  const int64_t panels = b.panels();
  // Long stretches: a thread's panels are fetched ahead, and another thread that took the next
  // panel would fetch it again.
  const int64_t task_panels = std::max<int64_t>(1, panels / (4 * device.pool().size()));
  device.for_pieces(panels, task_panels, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; ++panel) {
      cpu::QuantTileArgs t;
      t.groups = groups;
      t.a_row_stride = padded;
      t.b = b.panel(panel);
      t.columns = std::min(kPanel, b.columns() - panel * kPanel);
      t.c_row_stride = p.c_row_stride;
      t.accumulate = p.accumulate;
      for (int64_t m = 0; m < p.rows; m += kernels.quant_tile_rows) {
        t.rows = std::min<int64_t>(kernels.quant_tile_rows, p.rows - m);
        t.a = levels + m * padded;
        t.a_scales = scales + m * groups;
        t.a_sums = sums + m * groups;
        t.c = p.c + m * p.c_row_stride + panel * kPanel;
        (b.quant() == Quant::kInt8 ? kernels.tile_int8 : kernels.tile_int4)(t);
      }
    }
  });
}

}  // namespace looplm
