// Products with what small integers stand for, in the precision of floats.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

using cpu::kInt4GroupBytes;
using cpu::kInt4HeaderBytes;
using cpu::kInt8HeaderBytes;
using cpu::kPanel;
using cpu::kQuantStepBytes;

// Terms of a tile: as many as columns, so that a tile may be turned.
constexpr int64_t kTile = kPanel;
static_assert(kQuantGroup % kTile == 0);

// (terms, columns): the weights of one panel and 32 of its terms.
using Tile = std::array<std::array<float, kPanel>, kTile>;

std::array<float, kPanel> halves_at(const std::byte* from) {
  std::array<float, kPanel> values;
  for (size_t c = 0; c < values.size(); ++c) {
    uint16_t half;
    std::memcpy(&half, from + 2 * c, sizeof(half));
    values[c] = half_to_float(half);
  }
  return values;
}

void widen_int8(const std::byte* panel, int64_t tile, Tile& out) {
  std::array<float, kPanel> scales;
  std::memcpy(scales.data(), panel, sizeof(scales));
  const std::byte* step = panel + kInt8HeaderBytes + tile * (kTile / 4) * kQuantStepBytes;
  for (size_t t = 0; t < kTile; t += 4, step += kQuantStepBytes) {
    for (size_t j = 0; j < 4; ++j) {
      for (size_t c = 0; c < kPanel; ++c) {
        const auto level = static_cast<float>(static_cast<int>(step[4 * c + j]) - 128);
        out[t + j][c] = level * scales[c];
      }
    }
  }
}

void widen_int4(const std::byte* panel, int64_t tile, Tile& out) {
  const int64_t first = tile * kTile;
  const std::byte* group = panel + first / kQuantGroup * kInt4GroupBytes;
  const std::array<float, kPanel> scales = halves_at(group);
  const std::array<float, kPanel> minimums = halves_at(group + 2 * kPanel);
  const std::byte* step = group + kInt4HeaderBytes + first % kQuantGroup / 8 * kQuantStepBytes;
  for (size_t t = 0; t < kTile; t += 8, step += kQuantStepBytes) {
    for (size_t j = 0; j < 4; ++j) {
      for (size_t c = 0; c < kPanel; ++c) {
        const auto both = static_cast<int>(step[4 * c + j]);
        out[t + j][c] = minimums[c] + static_cast<float>(both & 15) * scales[c];
        out[t + 4 + j][c] = minimums[c] + static_cast<float>(both >> 4) * scales[c];
      }
    }
  }
}

void widen_tile(const PackedMatrix& b, int64_t panel, int64_t tile, Tile& out) {
  (b.quant() == Quant::kInt8 ? widen_int8 : widen_int4)(b.panel(panel), tile, out);
}

// A row of a panel of floats.
void put_row(const std::array<float, kPanel>& row, int64_t term, DType dtype, std::byte* panel) {
  if (dtype == DType::kF32) {
    std::memcpy(panel + term * static_cast<int64_t>(sizeof(row)), row.data(), sizeof(row));
    return;
  }
  Bf16* to = reinterpret_cast<Bf16*>(panel) + term / 2 * kPanel * 2 + term % 2;
  for (size_t c = 0; c < kPanel; ++c) to[2 * c] = to_bf16(row[c]);
}

// Columns [first * 32, ...) of B in floats.
void widen(const PackedMatrix& b, int64_t first, PackedMatrix& out, Device& device) {
  device.pool().parallel_for(out.panels(), [&](int64_t p, int) {
    Tile tile;
    for (int64_t term = 0; term < b.terms(); term += kTile) {
      widen_tile(b, first + p, term / kTile, tile);
      for (int64_t t = 0; t < std::min(kTile, b.terms() - term); ++t) {
        put_row(tile[static_cast<size_t>(t)], term + t, out.dtype(), out.panel(p));
      }
    }
  });
}

// Columns [first * 32, ...) of B^T, which are terms of B.
void widen_transposed(const PackedMatrix& b, int64_t first, PackedMatrix& out, Device& device) {
  device.pool().parallel_for(out.panels(), [&](int64_t p, int) {
    Tile tile;
    std::array<float, kPanel> row;
    for (int64_t column = 0; column < b.columns(); column += kPanel) {
      widen_tile(b, column / kPanel, first + p, tile);
      for (int64_t c = 0; c < std::min(kPanel, b.columns() - column); ++c) {
        for (size_t t = 0; t < kTile; ++t) row[t] = tile[t][static_cast<size_t>(c)];
        put_row(row, column + c, out.dtype(), out.panel(p));
      }
    }
  });
}

}  // namespace

void matmul_widened(const MatmulParams& p, Device& device) {
  const PackedMatrix& b = *p.b;
  const int64_t terms = p.transposed ? b.columns() : b.terms();
  const int64_t columns = p.transposed ? b.terms() : b.columns();
  const auto panel_bytes =
      static_cast<int64_t>(PackedMatrix::packed_bytes(terms, kPanel, b.dtype()));
  const int64_t panels = std::max<int64_t>(1, kWidenedBytes / panel_bytes);
  for (int64_t first = 0; first * kPanel < columns; first += panels) {
    const int64_t count = std::min(panels * kPanel, columns - first * kPanel);
    const size_t bytes = PackedMatrix::packed_bytes(terms, count, b.dtype());
    float* memory = device.outer_scratch(bytes / sizeof(float));
    PackedMatrix some(terms, count, b.dtype(), reinterpret_cast<std::byte*>(memory));
    if (terms % 2 != 0 && b.dtype() == DType::kBf16) std::memset(memory, 0, bytes);
    (p.transposed ? widen_transposed : widen)(b, first, some, device);
    MatmulParams part = p;
    part.b = &some;
    part.transposed = false;
    part.c = p.c + first * kPanel;
    matmul(part, device);
  }
}

}  // namespace looplm
