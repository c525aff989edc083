// What the kernels of cpu/amx take; their sizes are in kernel_table.h.
#ifndef LOOPLM_KERNELS_CPU_AMX_ARGS_H_
#define LOOPLM_KERNELS_CPU_AMX_ARGS_H_

#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu {

inline constexpr int64_t kAmxMostRows = 256;  // of a call of amx_bf16

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
  const uint16_t* rounded = nullptr;  // instead of `source`: rounded already
  int64_t row_stride = 0;
  int64_t term_stride = 1;  // 1, or row_stride is
  int64_t rows = 0;         // 1..16
  int64_t terms = 0;
  char* out = nullptr;
  int64_t step_bytes = 0;  // kAmxTileBytes, or kAmxRowBytes for a row that is alone
};

// Where sums come from or go to.
struct AmxSums {
  float* at = nullptr;
  int64_t row_stride = 0;
  int64_t panel_stride = kPanel;  // floats between panels; kPanel where rows are at most 32
  bool roomy = false;             // there is room for whole tiles beyond the last row and column
};

// C[0..rows) x columns = before + A * B over `steps` steps.
struct AmxArgs {
  AmxRows a;  // at most kAmxMostRows
  int64_t steps = 0;
  const char* b = nullptr;  // the first panel, from the first step on
  int64_t b_panel_bytes = 0;
  int64_t columns = 0;
  AmxSums before;  // without `at`: zero
  AmxSums c;       // may be `before`
  // Whether to call for B, which lies in memory, a little ahead; behind the last panel of many rows
  // come the first steps from `fetch_last` on, unless it is null.
  bool fetches = false;
  const char* fetch_last = nullptr;
};

// C[0..rows) x columns (+)= A * B in small integers, with the bits of tile_int8 and tile_int4.
struct AmxQuantArgs {
  AmxRows a;                         // at most kAmxQuantRows
  const float* a_scales = nullptr;   // (blocks, groups, 16)
  const float* a_offsets = nullptr;  // (blocks, groups, 16), for int4: a_scales times the sum of a
  const char* b = nullptr;
  int64_t b_panel_bytes = 0;
  int64_t groups = 0;
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;
};

}  // namespace looplm::cpu

#endif  // LOOPLM_KERNELS_CPU_AMX_ARGS_H_
