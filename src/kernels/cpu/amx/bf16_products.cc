// Products of bf16: up to 32 rows by one panel of 32 columns in four tiles at a time.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/isa/bf16_rounding.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kRowOfPanel = kPanel * 4;                    // a pair of terms of all columns
constexpr int64_t kStepOfPanel = kAmxTerms / 2 * kRowOfPanel;  // two tiles
constexpr int64_t kWords = kAmxRowBytes / 4;                   // of a tile's row

// Part of C that a tile stands for: whole, or cut off by the matrix's edges.
struct Corner {
  float* c;
  int64_t c_row_stride;
  int64_t rows;
  int64_t columns;
  bool whole() const { return rows >= kAmxRows && columns >= kWords; }
};

// Calls body(row of the corner, its floats of a scratch tile, columns).
template <typename Body>
LOOPLM_INLINE void for_rows(const Corner& to, Body body) {
  const int64_t rows = to.rows < kAmxRows ? to.rows : kAmxRows;
  const int64_t columns = to.columns < kWords ? to.columns : kWords;
  for (int64_t m = 0; m < rows; ++m) {
    body(to.c + m * to.c_row_stride, m * kWords, static_cast<size_t>(columns) * sizeof(float));
  }
}

template <int kTile>
LOOPLM_INLINE void begin_tile(Tiles& tiles, const Corner& to, bool accumulate) {
  if (!accumulate || to.columns <= 0) {
    tiles.zero<kTile>();
  } else if (to.whole()) {
    tiles.load<kTile>(to.c, to.c_row_stride * 4);
  } else {
    alignas(64) float scratch[kAmxRows * kWords] = {};
    for_rows(to, [&](const float* c, int64_t at, size_t bytes) { memcpy(scratch + at, c, bytes); });
    tiles.load<kTile>(scratch, kAmxRowBytes);
  }
}

template <int kTile>
LOOPLM_INLINE void end_tile(const Tiles& tiles, const Corner& to) {
  if (to.columns <= 0) return;
  if (to.whole()) return tiles.store<kTile>(to.c, to.c_row_stride * 4);
  alignas(64) float scratch[kAmxRows * kWords];
  tiles.store<kTile>(scratch, kAmxRowBytes);
  for_rows(to, [&](float* c, int64_t at, size_t bytes) { memcpy(c, scratch + at, bytes); });
}

// kBlocks blocks of 16 rows by a panel. `ahead` is what to fetch, `ahead_step` bytes with each
// step.
template <int kBlocks>
LOOPLM_INLINE void product(Tiles& tiles, const AmxArgs& p, const char* a, const char* b,
                           const char* ahead, int64_t ahead_step, float* c, int64_t rows,
                           int64_t columns) {
  float* lower = c + kAmxRows * p.c_row_stride;
  const Corner corners[4] = {{c, p.c_row_stride, rows, columns},
                             {c + kWords, p.c_row_stride, rows, columns - kWords},
                             {lower, p.c_row_stride, rows - kAmxRows, columns},
                             {lower + kWords, p.c_row_stride, rows - kAmxRows, columns - kWords}};
  begin_tile<0>(tiles, corners[0], p.accumulate);
  begin_tile<1>(tiles, corners[1], p.accumulate);
  if constexpr (kBlocks == 2) {
    begin_tile<2>(tiles, corners[2], p.accumulate);
    begin_tile<3>(tiles, corners[3], p.accumulate);
  }
  for (int64_t s = 0; s < p.steps; ++s) {
    for (int64_t i = 0; i < ahead_step; i += 64) __builtin_prefetch(ahead + i, 0, 2);
    ahead += ahead_step;
    tiles.load<6>(b, kRowOfPanel);
    tiles.load<4>(a, p.a.row_bytes);
    tiles.dot_bf16<0, 4, 6>();
    tiles.load<7>(b + kAmxRowBytes, kRowOfPanel);
    tiles.dot_bf16<1, 4, 7>();
    if constexpr (kBlocks == 2) {
      tiles.load<5>(a + p.a.block_bytes, p.a.row_bytes);
      tiles.dot_bf16<2, 5, 6>();
      tiles.dot_bf16<3, 5, 7>();
    }
    a += p.a.step_bytes;
    b += kStepOfPanel;
  }
  end_tile<0>(tiles, corners[0]);
  end_tile<1>(tiles, corners[1]);
  if constexpr (kBlocks == 2) {
    end_tile<2>(tiles, corners[2]);
    end_tile<3>(tiles, corners[3]);
  }
}

// A panel at a time by all rows, so that it is read from far away once.
void multiply_bf16(const AmxArgs& p) {
  Tiles tiles;
  constexpr int64_t kTwoBlocks = 2 * kAmxRows;
  const int64_t products = (p.a.rows + kTwoBlocks - 1) / kTwoBlocks;
  const int64_t lines = (p.fetch_bytes + 63) / 64;
  const int64_t ahead_step = (lines + products * p.steps - 1) / (products * p.steps) * 64;
  const char* b = p.b;
  for (int64_t column = 0; column < p.columns; column += kPanel, b += p.b_panel_bytes) {
    const char* ahead = b + p.fetch;
    for (int64_t m = 0; m < p.a.rows; m += kTwoBlocks, ahead += p.steps * ahead_step) {
      const char* a = static_cast<const char*>(p.a.tiles) + m / kAmxRows * p.a.block_bytes;
      float* c = p.c + m * p.c_row_stride + column;
      if (p.a.rows - m > kAmxRows) {
        product<2>(tiles, p, a, b, ahead, ahead_step, c, p.a.rows - m, p.columns - column);
      } else {
        product<1>(tiles, p, a, b, ahead, ahead_step, c, p.a.rows - m, p.columns - column);
      }
    }
  }
}

constexpr int64_t kPairs = kAmxTerms / 2;  // of a tile's row

// The pairs of one row's step; what is missing of it is zero.
LOOPLM_INLINE void prepare_row(const float* source, int64_t terms, int64_t stride, uint32_t* out) {
  if (stride == 1 && terms >= kAmxTerms) {
    for (int64_t i = 0; i < kAmxTerms; i += kLanes) {
      const PairsOfVector pairs = pairs_of(rounded_to_bf16(source + i));
      memcpy(out + i / 2, &pairs, sizeof(pairs));
    }
    return;
  }
  for (int64_t i = 0; i < kAmxTerms; i += 2) {
    out[i / 2] = i < terms ? pair_bits(source, i, terms, stride) : 0;
  }
}

// A whole tile of a transposed source, where rows of a term lie side by side.
LOOPLM_INLINE void prepare_transposed(const float* source, int64_t stride, uint32_t* out) {
  uint32_t words[kPairs][kAmxRows];
  for (int64_t j = 0; j < kPairs; ++j) {
    const float* even = source + 2 * j * stride;
    for (int64_t m = 0; m < kAmxRows; m += kLanes) {
      const VI high = rounded_to_bf16(even + stride + m);
      const VI low = rounded_to_bf16(even + m) >> 16 & 0xffff;
      const VI pairs = high | low;
      memcpy(words[j] + m, &pairs, sizeof(pairs));
    }
  }
  for (int64_t m = 0; m < kAmxRows; ++m) {
    for (int64_t j = 0; j < kPairs; ++j) out[m * kPairs + j] = words[j][m];
  }
}

void prepare(const AmxPrepareArgs& p) {
  char* out = p.out;
  for (int64_t first = 0; first < p.terms; first += kAmxTerms, out += p.step_bytes) {
    const float* source = p.source + first * p.term_stride;
    const int64_t terms = p.terms - first;
    auto* words = reinterpret_cast<uint32_t*>(out);
    if (p.term_stride != 1 && terms >= kAmxTerms && p.rows == kAmxRows) {
      prepare_transposed(source, p.term_stride, words);
      continue;
    }
    for (int64_t m = 0; m < p.rows; ++m) {
      prepare_row(source + m * p.row_stride, terms, p.term_stride, words + m * kPairs);
    }
    const int64_t filled = p.rows * kAmxRowBytes;
    if (filled < p.step_bytes) memset(out + filled, 0, static_cast<size_t>(p.step_bytes - filled));
  }
}

}  // namespace

void add_bf16_kernels(KernelTable& table) {
  table.amx_prepare = prepare;
  table.amx_bf16 = multiply_bf16;
}

void add_kernels(KernelTable& table) {
  add_bf16_kernels(table);
  add_quant_kernels(table);
  add_peak_loops(table);
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
