// A product of up to 32 rows and one panel of 32 columns of bf16, in four tiles.
#ifndef LOOPLM_KERNELS_CPU_AMX_BF16_BLOCK_H_
#define LOOPLM_KERNELS_CPU_AMX_BF16_BLOCK_H_

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/amx_args.h"

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
  bool roomy;
  bool whole() const { return roomy || (rows >= kAmxRows && columns >= kWords); }
};

// Calls body(row of the corner, its floats of a scratch tile, bytes).
template <typename Body>
LOOPLM_INLINE void for_rows(const Corner& to, Body body) {
  const int64_t rows = to.rows < kAmxRows ? to.rows : kAmxRows;
  const int64_t columns = to.columns < kWords ? to.columns : kWords;
  for (int64_t m = 0; m < rows; ++m) {
    body(to.c + m * to.c_row_stride, m * kWords, static_cast<size_t>(columns) * sizeof(float));
  }
}

template <int kTile>
LOOPLM_INLINE void begin_tile(Tiles& tiles, const Corner& from) {
  if (from.c == nullptr || from.columns <= 0) {
    tiles.zero<kTile>();
  } else if (from.whole()) {
    tiles.load<kTile>(from.c, from.c_row_stride * 4);
  } else {
    alignas(64) float scratch[kAmxRows * kWords] = {};
    for_rows(from,
             [&](const float* c, int64_t at, size_t bytes) { memcpy(scratch + at, c, bytes); });
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

// What is left of a matrix from a block of rows and a panel of columns on.
struct Left {
  int64_t rows;
  int64_t columns;
};

template <int kBlock, int kHalf>
LOOPLM_INLINE Corner corner(const AmxSums& sums, float* at, const Left& left) {
  if (sums.at == nullptr) return {};
  return {at + kBlock * kAmxRows * sums.row_stride + kHalf * kWords, sums.row_stride,
          left.rows - kBlock * kAmxRows, left.columns - kHalf * kWords, sums.roomy};
}

// kBlocks blocks of 16 rows by a panel. `ahead` is what to fetch, `ahead_step` bytes with each
// step.
template <int kBlocks>
LOOPLM_INLINE void product(Tiles& tiles, const AmxArgs& p, const char* a, const char* b,
                           const char* ahead, int64_t ahead_step, float* before, float* c,
                           const Left& left) {
  begin_tile<0>(tiles, corner<0, 0>(p.before, before, left));
  begin_tile<1>(tiles, corner<0, 1>(p.before, before, left));
  if constexpr (kBlocks == 2) {
    begin_tile<2>(tiles, corner<1, 0>(p.before, before, left));
    begin_tile<3>(tiles, corner<1, 1>(p.before, before, left));
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
  end_tile<0>(tiles, corner<0, 0>(p.c, c, left));
  end_tile<1>(tiles, corner<0, 1>(p.c, c, left));
  if constexpr (kBlocks == 2) {
    end_tile<2>(tiles, corner<1, 0>(p.c, c, left));
    end_tile<3>(tiles, corner<1, 1>(p.c, c, left));
  }
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_AMX_BF16_BLOCK_H_
