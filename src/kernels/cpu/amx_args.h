// What the kernels of cpu/amx take; their sizes are in kernel_table.h.
#ifndef LOOPLM_KERNELS_CPU_AMX_ARGS_H_
#define LOOPLM_KERNELS_CPU_AMX_ARGS_H_

#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu {

// A in tiles: blocks of 16 rows, each a sequence of steps. A row that is alone has no tiles, only
// its own 64 bytes of each step, which a tile then holds 16 times.
struct AmxRows {
  const void* tiles = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;  // kAmxRowBytes, or 0: the row is alone
  int64_t step_bytes = 0;
  int64_t block_bytes = 0;  // distance between blocks
};

// Rounds a block of rows to bf16 and lays it out. Rows that are missing from the block and terms
// that are missing from the last step become zero.
struct AmxPrepareArgs {
  const float* source = nullptr;
  int64_t row_stride = 0;
  int64_t term_stride = 1;  // 1, or row_stride is
  int64_t rows = 0;         // 1..16
  int64_t terms = 0;
  char* out = nullptr;
  int64_t step_bytes = 0;  // kAmxTileBytes, or kAmxRowBytes for a row that is alone
};

// C[0..rows) x columns (+)= A * B over `steps` steps.
struct AmxArgs {
  AmxRows a;
  int64_t steps = 0;
  const char* b = nullptr;  // the first panel, from the first step on
  int64_t b_panel_bytes = 0;
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;
  // Bytes of B to fetch meanwhile for each panel, `fetch` bytes from where it begins.
  int64_t fetch = 0;
  int64_t fetch_bytes = 0;
};

// C[0..rows) x columns (+)= A * B in small integers, with the bits of tile_int8 and tile_int4.
struct AmxQuantArgs {
  AmxRows a;                        // at most kAmxQuantRows
  const float* a_scales = nullptr;  // (blocks, groups, 16)
  // (blocks, groups, 16). For int8, int32_t: 128 times the sum of a's levels. For int4, float: that
  // sum times the scale.
  const void* a_offsets = nullptr;
  const char* b = nullptr;
  int64_t b_panel_bytes = 0;
  int64_t groups = 0;
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;
};

// Attention multiplies fp32 rows with bf16 keys and values. Each row is the exact sum of three of
// bf16, which stand beside each other in a tile: five rows to a tile, and a zero one.
inline constexpr int64_t kAmxSplitRows = 5;
constexpr int64_t amx_split_tiles(int64_t rows) {
  return (rows + kAmxSplitRows - 1) / kAmxSplitRows;
}

// Queries as tiles: (rows / 5, head_dim / 32, 16, 64 bytes), both rounded up.
struct AmxQueriesArgs {
  const float* queries = nullptr;  // (rows, head_dim)
  int64_t stride = 0;              // between rows
  int64_t rows = 0;
  int64_t head_dim = 0;
  char* tiles = nullptr;
};

// One segment of keys for a tile of query rows: of each block of 32 keys the scores, a step of the
// online softmax, and the products with the values, added to `out`.
struct AmxSegmentArgs {
  const char* queries = nullptr;  // AmxQueriesArgs::tiles
  int64_t rows = 0;
  int64_t head_dim = 0;
  float scale = 0;
  // Row r sees first_keys + r / group keys from the segment's first on, or fewer than one: none.
  int64_t first_keys = 0;
  int64_t group = 1;
  // Of each block: (head_dim / 2, 32, 2) and (head_dim / 32, 16, 32, 2) bf16; keys and values that
  // no row sees may hold anything.
  const char* const* keys = nullptr;
  const char* const* values = nullptr;
  int64_t blocks = 0;
  // Of each row, `stride` floats apart but for sums and maximum.
  int64_t stride = 0;
  float* scores = nullptr;               // scratch of (rows, 32)
  float* out = nullptr;                  // (rows, head_dim)
  float* sums = nullptr;                 // (rows, 32)
  float* maximum = nullptr;              // (rows)
  char* weights = nullptr;               // scratch: (rows / 5, 16, 64 bytes), rounded up
  const KernelTable* kernels = nullptr;  // of the softmax
};

}  // namespace looplm::cpu

#endif  // LOOPLM_KERNELS_CPU_AMX_ARGS_H_
