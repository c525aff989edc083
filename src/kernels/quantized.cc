#include "kernels/quantized.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "base/cpu.h"
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

void store_half(float value, std::byte* to) {
  const uint16_t half = float_to_half(value);
  std::memcpy(to, &half, sizeof(half));
}

// In a loop that a compiler turns into vectors, as it does the one that rounds below.
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

void quantize_int4(std::span<const float> w, const cpu::KernelTable& kernels, QuantizedRow& out) {
  const auto terms = static_cast<int64_t>(w.size());
  const auto groups = static_cast<size_t>(quant_groups(terms));
  out.scales.resize(groups);
  out.minimums.resize(groups);
  kernels.fit_int4(w.data(), terms, out.levels.data(), out.scales.data(), out.minimums.data());
}

}  // namespace

void quantize_row(Quant quant, std::span<const float> weights, const cpu::KernelTable& kernels,
                  QuantizedRow& out) {
  out.levels.resize(
      static_cast<size_t>(quant_groups(static_cast<int64_t>(weights.size())) * kQuantGroup));
  if (quant == Quant::kInt8) {
    quantize_int8(weights, out);
  } else {
    quantize_int4(weights, kernels, out);
  }
}

void quantize_row(Quant quant, std::span<const float> weights, QuantizedRow& out) {
  quantize_row(quant, weights, *cpu::kernel_table(native_isas().back()), out);
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

namespace {

// So many rows are multiplied in registers, without blocks.
constexpr int64_t kFewRows = 4;
constexpr int64_t kFewRowsWithTiles = 3;
// So many do not use a matrix unit: each group's results leave it through memory, which takes
// longer than the products in registers. By the clock of a Granite Rapids.
constexpr int64_t kRegisterRowsInt8 = 16;
constexpr int64_t kRegisterRowsInt4 = 10;
// How far ahead few rows call for B.
constexpr int64_t kAhead = 8192, kAheadWithTiles = 512;

}  // namespace

void matmul_quantized(const MatmulParams& p, Device& device) {
  LOOPLM_CHECK(p.a_term_stride == 1, "a quantised product of a transposed matrix");
  const PackedMatrix& b = *p.b;
  const cpu::KernelTable& kernels = device.kernels();
  const bool tiles = kernels.amx_int8 != nullptr;
  const bool int8 = b.quant() == Quant::kInt8;
  if (tiles && p.rows > (int8 ? kRegisterRowsInt8 : kRegisterRowsInt4)) {
    return matmul_amx_quantized(p, device);
  }
  const int64_t groups = quant_groups(b.terms());
  const int64_t padded = groups * kQuantGroup;

  // Rows in small integers: levels, then for each group the scales, offsets and starts of all rows.
  const auto levels_floats = static_cast<size_t>(p.rows * padded / 4);
  const auto per_group = static_cast<size_t>(p.rows * groups);
  float* scratch = device.shared_scratch(levels_floats + 3 * per_group);
  auto* levels = reinterpret_cast<int8_t*>(scratch);
  float* scales = scratch + levels_floats;
  float* offsets = scales + per_group;
  auto* starts = reinterpret_cast<int32_t*>(offsets + per_group);
  const auto prepare = [&](int64_t begin, int64_t end, int thread) {
    float* row_scales = device.thread_scratch(thread, static_cast<size_t>(2 * groups));
    auto* row_sums = reinterpret_cast<int32_t*>(row_scales + groups);
    for (int64_t m = begin; m < end; ++m) {
      kernels.quantize_groups(p.a + m * p.a_row_stride, b.terms(), levels + m * padded, row_scales,
                              row_sums);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = g * p.rows + m;
        scales[at] = row_scales[g];
        if (int8) {
          starts[at] = -128 * row_sums[g];
        } else {
          offsets[at] = row_scales[g] * static_cast<float>(row_sums[g]);
        }
      }
    }
  };
  if (p.rows <= kFewRows) {
    prepare(0, p.rows, 0);
  } else {
    device.for_pieces(p.rows, 4, prepare);
  }

  const bool block = device.two_panels() && kernels.block_int8 != nullptr &&
                     p.rows > (tiles ? kFewRowsWithTiles : kFewRows);
  const auto product = block  ? int8 ? kernels.block_int8 : kernels.block_int4
                       : int8 ? kernels.tile_int8
                              : kernels.tile_int4;
  const int64_t most_rows = block ? cpu::kQuantBlockRows : kernels.quant_tile_rows;
  const int64_t calls = (p.rows + most_rows - 1) / most_rows;
  const auto first_row = [&](int64_t call) {  // blocks are of nearly equal size, none of few rows
    return block ? call * p.rows / calls : std::min(call * most_rows, p.rows);
  };
  const int64_t panels_at_once = block ? 2 : 1;
  // Long stretches: a thread's panels are fetched ahead, and another thread that took the next
  // panel would fetch it again.
  const int64_t turns = (b.panels() + panels_at_once - 1) / panels_at_once;
  const int64_t task_turns = std::max<int64_t>(1, turns / (4 * device.pool().size()));
  device.for_pieces(turns, task_turns, [&](int64_t begin, int64_t end, int thread) {
    cpu::QuantTileArgs t;
    t.groups = groups;
    t.a_row_stride = padded;
    t.a_rows = p.rows;
    t.c_row_stride = p.c_row_stride;
    t.accumulate = p.accumulate;
    // A few rows are read as fast as memory gives, which the processor's own prefetch sees to:
    // asking too took 5 to 8% of a Zen 5's bandwidth with one row, and 15 to 40% of a Zen 4's with
    // one to four. But Intel's stops at every page, and gave int4 two thirds of it. Those with
    // tiles are called on best when they are about to stop: 6 to 13% less time than 8 KiB ahead.
    t.fetch = tiles ? kAheadWithTiles : is_intel() ? kAhead : 0;
    if (block) t.scratch = device.thread_scratch(thread, cpu::kQuantScratchFloats);
    for (int64_t turn = begin; turn < end; ++turn) {
      const int64_t panel = turn * panels_at_once;
      t.b = b.panel(panel);
      t.b_panel_bytes = panel + 1 < b.panels() ? b.panel_bytes() : 0;
      t.columns = std::min(panels_at_once * kPanel, b.columns() - panel * kPanel);
      for (int64_t call = 0; call < calls; ++call) {
        const int64_t m = first_row(call);
        t.rows = first_row(call + 1) - m;
        t.a = levels + m * padded;
        t.a_scales = scales + m;
        t.a_starts = starts + m;
        t.a_offsets = offsets + m;
        t.c = p.c + m * p.c_row_stride + panel * kPanel;
        product(t);
      }
    }
  });
}

}  // namespace looplm
