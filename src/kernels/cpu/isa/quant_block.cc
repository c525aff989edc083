// Products of small integers with many rows, by two panels of 32 columns. Levels of some groups
// stay in the first-level cache while all rows pass over them, int4's unpacked to bytes.
#include "kernels/cpu/isa/quant_vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
#if defined(__AVX512VNNI__)
namespace {

// 24 integer sums take ten loads for 24 dot products, where six rows by one panel took eight for
// twelve. An Ice Lake beside a busy sibling loads one vector a cycle and multiplies two. The sums
// in fp32 lie in memory.
constexpr int kRowsAtOnce = 6;
constexpr int kVectors = 2 * kVectorsPerPanel;
constexpr int kColumns = kVectors * kLanes;
// Terms between calls for what the next chunk reads.
constexpr int64_t kStretch = 16;

// Some groups of both panels.
struct Chunk {
  int64_t first_group = 0;
  int64_t groups = 0;
  const char* levels = nullptr;   // as int8's steps
  int64_t panel_bytes = 0;        // distance between the panels' levels
  const float* scales = nullptr;  // int4: (groups, 2, 64), scales and minimums of the columns
};

// Calls for what the next chunk reads of both panels, evenly: a few lines before each tile, or if
// tiles are few, in each of their stretches.
struct Ahead {
  const char* next = nullptr;
  const char* end = nullptr;  // of the first panel's part
  int64_t panel_bytes = 0;    // distance between the panels
  int64_t tile_lines = 0;
  int64_t stretch_lines = 0;

  LOOPLM_INLINE void fetch(int64_t lines) {
    for (; lines > 0 && next < end; --lines, next += 64) {
      __builtin_prefetch(next, 0, 3);
      __builtin_prefetch(next + panel_bytes, 0, 3);
    }
  }
};

// Adds the four products of unsigned w and signed a in each lane. The instruction itself: GCC 12
// copies and spills 24 sums around the intrinsic.
LOOPLM_INLINE void add_dots(VI w, VI a, VI& sum) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(a));
}

// Adds group g of the rows from t.a on to their sums; `levels` and `scales` are the group's.
template <int kRows, bool kInt4>
LOOPLM_INLINE void add_group(const QuantTileArgs& t, int64_t g, const char* levels,
                             int64_t panel_bytes, const float* scales, Ahead& ahead, float* sums) {
  const float* a_scales = t.a_scales + g * t.a_rows;
  const float* a_offsets = t.a_offsets + g * t.a_rows;
  const int32_t* a_starts = t.a_starts + g * t.a_rows;
  VI dots[kRows][kVectors] = {};
  if constexpr (!kInt4) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) dots[m][v] = broadcast(a_starts[m]);
    }
  }
  const int8_t* rows[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) rows[m] = t.a + g * kQuantGroup + m * t.a_row_stride;
  const char* panels[] = {levels, levels + panel_bytes};
#pragma GCC unroll 16
  for (int64_t s = 0; s < kQuantGroup; s += 4) {
    if (s % kStretch == 0) ahead.fetch(ahead.stretch_lines);
    VI w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      w[v] = load_words_once(panels[v / kVectorsPerPanel] + s / 4 * kQuantStepBytes +
                             v % kVectorsPerPanel * kVectorBytes);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const VI four = broadcast_four(rows[m] + s);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) add_dots(w[v], four, dots[m][v]);
    }
  }
  // int4's scales and minimums of more than two vectors would not fit in registers.
  constexpr int kTogether = kInt4 ? 2 : kVectors;
#pragma GCC unroll 2
  for (int first = 0; first < kVectors; first += kTogether) {
    V scale[kTogether], minimum[kTogether];
#pragma GCC unroll 2
    for (int v = 0; kInt4 && v < kTogether; ++v) {
      scale[v] = load(scales + (first + v) * kLanes);
      minimum[v] = load(scales + kColumns + (first + v) * kLanes);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const V a_scale = set1(a_scales[m]), a_offset = set1(a_offsets[m]);
#pragma GCC unroll 4
      for (int v = 0; v < kTogether; ++v) {
        float* to = sums + m * kColumns + (first + v) * kLanes;
        const V dot = to_floats(dots[m][first + v]);
        if constexpr (kInt4) {
          store(to, fma(a_offset, minimum[v], fma(dot * a_scale, scale[v], load(to))));
        } else {
          store(to, fma(dot, a_scale, load(to)));
        }
      }
    }
  }
}

template <int kRows, bool kInt4>
void add_rows(const QuantTileArgs& t, const Chunk& chunk, Ahead& ahead, float* sums) {
  for (int64_t i = 0; i < chunk.groups; ++i) {
    add_group<kRows, kInt4>(t, chunk.first_group + i, chunk.levels + i * kInt8GroupBytes,
                            chunk.panel_bytes, kInt4 ? chunk.scales + i * 2 * kColumns : nullptr,
                            ahead, sums);
  }
}

// Writes the sums of all groups to C, of the rows from t.c on.
template <bool kInt4>
void finish(const QuantTileArgs& t, int64_t rows, const float* sums) {
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t column = 0; column < t.columns; column += kLanes) {
      V result = load(sums + m * kColumns + column);
      if constexpr (!kInt4) {
        const char* header = static_cast<const char*>(t.b) + column / kPanel * t.b_panel_bytes;
        result = result * load(reinterpret_cast<const float*>(header) + column % kPanel);
      }
      const int64_t left = t.columns - column;
      const int64_t n = left < kLanes ? left : kLanes;
      float* c = t.c + m * t.c_row_stride + column;
      if (t.accumulate) result = load_some(c, n) + result;
      store_some(c, result, n);
    }
  }
}

constexpr int64_t tiles_of(int64_t rows) { return (rows + kRowsAtOnce - 1) / kRowsAtOnce; }

// All rows, in tiles whose sizes differ by one at most.
template <bool kInt4>
void add_chunk(QuantTileArgs t, const Chunk& chunk, Ahead& ahead, float* sums) {
  const int64_t all = t.rows, tiles = tiles_of(all);
  int64_t row = 0;
  for (int64_t i = 1; i <= tiles; ++i) {
    const int64_t rows = i * all / tiles - row;
    ahead.fetch(ahead.tile_lines);
    switch (rows) {
      case 3:
        add_rows<3, kInt4>(t, chunk, ahead, sums);
        break;
      case 4:
        add_rows<4, kInt4>(t, chunk, ahead, sums);
        break;
      case 5:
        add_rows<5, kInt4>(t, chunk, ahead, sums);
        break;
      case 6:
        add_rows<6, kInt4>(t, chunk, ahead, sums);
        break;
      default:
        __builtin_trap();  // fewer than three rows are for tiles of one panel
    }
    if (chunk.first_group + chunk.groups == t.groups) finish<kInt4>(t, rows, sums);
    row += rows;
    t.c += rows * t.c_row_stride;
    t.a += rows * t.a_row_stride;
    t.a_scales += rows;
    t.a_offsets += rows;
    t.a_starts += rows;
    sums += rows * kColumns;
  }
}

// int4's levels of a chunk as bytes, and its scales as floats.
void unpack(const QuantTileArgs& t, const Chunk& chunk, char* levels, float* scales) {
  for (int p = 0; p < 2; ++p) {
    const char* block =
        static_cast<const char*>(t.b) + p * t.b_panel_bytes + chunk.first_group * kInt4GroupBytes;
    for (int64_t i = 0; i < chunk.groups; ++i, block += kInt4GroupBytes) {
      float* to = scales + i * 2 * kColumns + p * kPanel;
      for (int64_t j = 0; j < kPanel; j += kLanes) {
        store(to + j, load_halves(block + 2 * j));
        store(to + kColumns + j, load_halves(block + 2 * (kPanel + j)));
      }
      char* out = levels + p * chunk.panel_bytes + i * kInt8GroupBytes;
      for (int64_t j = 0; j < kInt4GroupBytes - kInt4HeaderBytes; j += kVectorBytes) {
        const VI bytes = load_words_once(block + kInt4HeaderBytes + j);
        const VI low = bytes & 0x0f0f0f0f, high = bytes >> 4 & 0x0f0f0f0f;
        char* step = out + j / kQuantStepBytes * 2 * kQuantStepBytes + j % kQuantStepBytes;
        memcpy(step, &low, sizeof(low));
        memcpy(step + kQuantStepBytes, &high, sizeof(high));
      }
    }
  }
}

template <bool kInt4>
void block(const QuantTileArgs& t) {
  constexpr int64_t kGroupBytes = kInt4 ? kInt4GroupBytes : kInt8GroupBytes;
  const char* b = static_cast<const char*>(t.b) + (kInt4 ? 0 : kInt8HeaderBytes);
  float* sums = t.scratch;
  float* scales = sums + t.rows * kColumns;
  char* levels = reinterpret_cast<char*>(scales + kQuantChunk * 2 * kColumns);
  memset(sums, 0, static_cast<size_t>(t.rows * kColumns) * sizeof(float));

  for (int64_t g = 0; g < t.groups; g += kQuantChunk) {
    Chunk chunk;
    chunk.first_group = g;
    chunk.groups = t.groups - g < kQuantChunk ? t.groups - g : kQuantChunk;
    if constexpr (kInt4) {
      chunk.panel_bytes = kQuantChunk * kInt8GroupBytes;
      chunk.levels = levels;
      chunk.scales = scales;
      unpack(t, chunk, levels, scales);
    } else {
      chunk.panel_bytes = t.b_panel_bytes;
      chunk.levels = b + g * kGroupBytes;
    }
    const bool last = g + chunk.groups == t.groups;
    Ahead ahead;
    ahead.next = last ? b + 2 * t.b_panel_bytes : b + (g + chunk.groups) * kGroupBytes;
    ahead.end = ahead.next + kQuantChunk * kGroupBytes;
    ahead.panel_bytes = t.b_panel_bytes;
    const int64_t lines = kQuantChunk * kGroupBytes / 64, tiles = tiles_of(t.rows);
    if (tiles < 16) {
      ahead.stretch_lines = lines / (tiles * chunk.groups * kQuantGroup / kStretch) + 1;
    } else {
      ahead.tile_lines = lines / tiles + 1;
    }
    add_chunk<kInt4>(t, chunk, ahead, sums);
  }
}

}  // namespace

void add_quant_blocks(KernelTable& table) {
  table.block_int8 = block<false>;
  table.block_int4 = block<true>;
}
#else
void add_quant_blocks(KernelTable&) {}
#endif

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
