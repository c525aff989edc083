// What the two forms of attention share: one block of 32 keys against a tile of query rows.
#ifndef LOOPLM_KERNELS_ATTENTION_BLOCK_H_
#define LOOPLM_KERNELS_ATTENTION_BLOCK_H_

#include <cstdint>

#include "looplm/kv_policy.h"

#include "kernels/cpu/kernel_table.h"

namespace looplm::attention {

inline constexpr int64_t kBlock = cpu::kPanel;  // keys per block
inline constexpr int64_t kStride =
    cpu::kRowStride;  // slots between rows of queries, scores and outputs in scratch
inline constexpr int64_t kMaxHeadDim = cpu::kChunk;  // a dot product over the head is one chunk

inline int64_t panels_of(int64_t head_dim) { return (head_dim + cpu::kPanel - 1) / cpu::kPanel; }

// A (rows, terms) with kStride slots between rows, times `columns` columns of panels; C has
// c_stride.
struct BlockProduct {
  const float* a = nullptr;
  int64_t rows = 0;
  int64_t terms = 0;
  const void* panels = nullptr;
  int64_t panel_bytes = 0;
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};
void multiply(const BlockProduct& product, const cpu::KernelTable& kernels,
              KvType stored = KvType::kF32);
// The same with A transposed: element (row m, term i) at a[i * kStride + m].
void multiply_transposed(const BlockProduct& product, const cpu::KernelTable& kernels);

// The running state of one tile of query rows.
struct QueryTile {
  int64_t rows = 0;
  int64_t head_dim = 0;
  const float* queries = nullptr;  // (rows, head_dim), kStride between rows
  float* scores = nullptr;         // (rows, kBlock), kStride between rows
  float* maximum = nullptr;        // (rows)
  float* sums = nullptr;           // (rows, kBlock) partial sums of the denominator
  float* out = nullptr;            // (rows, head_dim), kStride between rows: numerator
};

// Floats of scratch that a tile of `rows` rows needs besides its queries.
int64_t query_tile_floats(int64_t rows);
// Lays the tile out in `scratch` and clears its state. The queries come first and are filled in by
// the caller.
QueryTile make_query_tile(int64_t rows, int64_t head_dim, float* scratch);

// A block of 32 keys and values as a page stores them. int8 has a scale per key and per value.
struct BlockTiles {
  KvType type = KvType::kF32;
  const void* keys = nullptr;    // (head_dim, 32)
  const void* values = nullptr;  // (panels of head_dim, 32, 32)
  const float* key_scales = nullptr;
  const float* value_scales = nullptr;
};

// Adds a block of keys: scores = q k, one step of the online softmax, out += p v. Row r may see the
// first valid(r) keys of the block (0 or less: none; more than 32: all). Keys beyond every row's
// valid count may hold anything.
template <typename Valid>
void add_block(const QueryTile& tile, const BlockTiles& block, float scale, Valid valid,
               const cpu::KernelTable& kernels) {
  BlockProduct product;
  product.a = tile.queries;
  product.rows = tile.rows;
  product.terms = tile.head_dim;
  product.panels = block.keys;
  product.columns = kBlock;
  product.c = tile.scores;
  product.c_stride = kStride;
  multiply(product, kernels, block.type);

  int64_t most_valid = 0;
  for (int64_t r = 0; r < tile.rows; ++r) {
    float* scores = tile.scores + r * kStride;
    const int64_t count = valid(r) < kBlock ? valid(r) : kBlock;
    most_valid = count > most_valid ? count : most_valid;
    if (block.key_scales != nullptr) kernels.multiply(block.key_scales, kBlock, scores);
    const float correction =
        kernels.softmax_block(scores, count, scale, tile.maximum + r, tile.sums + r * kBlock);
    if (correction != 1.0f) kernels.scale(correction, tile.head_dim, tile.out + r * kStride);
    if (block.value_scales != nullptr) kernels.multiply(block.value_scales, kBlock, scores);
  }

  product.a = tile.scores;
  product.terms = most_valid;
  product.panels = block.values;
  product.panel_bytes = kBlock * cpu::kPanel * kv_type_bytes(block.type);
  product.columns = tile.head_dim;
  product.c = tile.out;
  product.c_stride = kStride;
  product.accumulate = true;
  multiply(product, kernels, block.type);
}

// out[r] / denominator into `to`; returns the log of the denominator plus the maximum (log sum exp
// of the scaled scores).
float finish_row(const QueryTile& tile, int64_t row, float* to, const cpu::KernelTable& kernels);

}  // namespace looplm::attention

#endif  // LOOPLM_KERNELS_ATTENTION_BLOCK_H_
