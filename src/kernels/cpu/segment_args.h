// What the kernels take that attend to a segment of keys and values in bf16.
#ifndef LOOPLM_KERNELS_CPU_SEGMENT_ARGS_H_
#define LOOPLM_KERNELS_CPU_SEGMENT_ARGS_H_

#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu {

// One segment of keys for a tile of query rows: scores, steps of the online softmax, and the
// products with the values, added to `out`.
struct SegmentArgs {
  const float* queries = nullptr;  // (rows, head_dim), `stride` between rows
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
  int64_t stride = 0;  // floats between rows of queries and out
  // (rows, head_dim) +=. What lies between and behind its rows, up to a multiple of 16, may be
  // overwritten.
  float* out = nullptr;
  float* sums = nullptr;                 // (rows, 32) +=
  float* maximum = nullptr;              // (rows)
  char* scratch = nullptr;               // whole cache lines; as many bytes as the set asks for
  const KernelTable* kernels = nullptr;  // of the softmax
};

}  // namespace looplm::cpu

#endif  // LOOPLM_KERNELS_CPU_SEGMENT_ARGS_H_
