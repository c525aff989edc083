// A product of up to 32 rows and one panel of 32 columns of bf16, or of 16 rows and two panels, in
// four tiles.
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

// The sums of kBlocks blocks of 16 rows by kPanels panels that lie side by side, from `at` or zero.
template <int kBlocks, int kPanels = 1>
LOOPLM_INLINE void begin_sums(Tiles& tiles, const AmxSums& sums, float* at, const Left& left) {
  begin_tile<0>(tiles, corner<0, 0>(sums, at, left));
  begin_tile<1>(tiles, corner<0, 1>(sums, at, left));
  if constexpr (kBlocks * kPanels == 2) {
    begin_tile<2>(tiles, corner<kBlocks - 1, 2 * kPanels - 2>(sums, at, left));
    begin_tile<3>(tiles, corner<kBlocks - 1, 2 * kPanels - 1>(sums, at, left));
  }
}

template <int kBlocks, int kPanels = 1>
LOOPLM_INLINE void end_sums(const Tiles& tiles, const AmxSums& sums, float* at, const Left& left) {
  end_tile<0>(tiles, corner<0, 0>(sums, at, left));
  end_tile<1>(tiles, corner<0, 1>(sums, at, left));
  if constexpr (kBlocks * kPanels == 2) {
    end_tile<2>(tiles, corner<kBlocks - 1, 2 * kPanels - 2>(sums, at, left));
    end_tile<3>(tiles, corner<kBlocks - 1, 2 * kPanels - 1>(sums, at, left));
  }
}

// Where tiles of A go on their way.
enum class Way { kThroughFirstCache, kPastFirstCache };

template <Way kWay, int kTile>
LOOPLM_INLINE void load_a(Tiles& tiles, const char* a, int64_t row_bytes) {
  if constexpr (kWay == Way::kPastFirstCache) {
    tiles.load_past<kTile>(a, row_bytes);
  } else {
    tiles.load<kTile>(a, row_bytes);
  }
}

// Adds one step's products of the tiles at `a`, blocks `block_bytes` apart, and those of a panel.
template <int kBlocks, Way kWay = Way::kThroughFirstCache>
LOOPLM_INLINE void add_step(Tiles& tiles, const char* a, int64_t row_bytes, int64_t block_bytes,
                            const char* b) {
  tiles.load<6>(b, kRowOfPanel);
  load_a<kWay, 4>(tiles, a, row_bytes);
  tiles.dot_bf16<0, 4, 6>();
  tiles.load<7>(b + kAmxRowBytes, kRowOfPanel);
  tiles.dot_bf16<1, 4, 7>();
  if constexpr (kBlocks == 2) {
    load_a<kWay, 5>(tiles, a + block_bytes, row_bytes);
    tiles.dot_bf16<2, 5, 6>();
    tiles.dot_bf16<3, 5, 7>();
  }
}

// The same of one block and a second panel, whose A has been loaded.
LOOPLM_INLINE void add_step_beside(Tiles& tiles, const char* b) {
  tiles.load<5>(b, kRowOfPanel);
  tiles.dot_bf16<2, 4, 5>();
  tiles.load<6>(b + kAmxRowBytes, kRowOfPanel);
  tiles.dot_bf16<3, 4, 6>();
}

// Calls into the first cache, or the second-level one.
template <bool kFirst = false>
LOOPLM_INLINE void fetch_ahead(const char* at, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, kFirst ? 3 : 2);
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_AMX_BF16_BLOCK_H_
