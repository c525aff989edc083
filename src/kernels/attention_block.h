// What the two forms of attention share: blocks and segments of keys against a tile of query rows.
#ifndef LOOPLM_KERNELS_ATTENTION_BLOCK_H_
#define LOOPLM_KERNELS_ATTENTION_BLOCK_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "looplm/kv_policy.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/segment_args.h"

namespace looplm::attention {

inline constexpr int64_t kBlock = cpu::kPanel;  // keys per block
// Keys per segment: few enough that 8,192 of them keep eight cores busy, many enough that adding up
// segments costs nothing beside them.
inline constexpr int64_t kSegment = 1024;
// Slots between rows of queries, scores and outputs in scratch.
inline constexpr int64_t kStride = cpu::kRowStride;
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

// Products of bf16. A of round_rows is laid out as the set's kernels want it: with kStride floats
// of room for each row, and for rows up to a multiple of 16. One of the strides is 1.
struct RowsToRound {
  const float* source = nullptr;
  int64_t row_stride = 0;
  int64_t term_stride = 1;
  int64_t rows = 0;
  int64_t terms = 0;  // at most kChunk
};
void round_rows(const RowsToRound& a, const cpu::KernelTable& kernels, float* out);
// `product.a` comes from round_rows, of rows whose term_stride was as given. Panels hold pairs of
// terms, and zeros up to a multiple of 32. C has room for rows and columns up to multiples of 32.
void multiply_rounded(const BlockProduct& product, int64_t term_stride,
                      const cpu::KernelTable& kernels);

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

// Floats of scratch that a tile of `rows` rows needs, its queries included.
int64_t query_tile_floats(int64_t rows);
// Lays the tile out in `scratch`. The queries come first and are filled in by the caller.
QueryTile make_query_tile(int64_t rows, int64_t head_dim, float* scratch);

// What one row has collected of some keys.
struct RowState {
  float* out = nullptr;      // (head_dim): numerator
  float* sums = nullptr;     // (kBlock): partial sums of the denominator
  float* maximum = nullptr;  // (1)
};
inline RowState row_state(const QueryTile& tile, int64_t row) {
  return {tile.out + row * kStride, tile.sums + row * kBlock, tile.maximum + row};
}
// The same without gaps, in floats of its own.
inline int64_t row_state_floats(int64_t head_dim) { return head_dim + kBlock + 1; }
inline RowState row_state(float* floats, int64_t head_dim) {
  return {floats, floats + head_dim, floats + head_dim + kBlock};
}
// Adds what a later segment has given; `first` sets instead.
void add_segment(const RowState& segment, int64_t head_dim, bool first, const RowState& total,
                 const cpu::KernelTable& kernels);
// out / denominator into `to`; returns the log of the denominator plus the maximum (log sum exp of
// the scaled scores).
float finish_row(const RowState& row, int64_t head_dim, float* to, const cpu::KernelTable& kernels);

// A block of 32 keys and values as a page stores them. int8 has a scale per key and per value.
struct BlockTiles {
  KvType type = KvType::kF32;
  const void* keys = nullptr;    // (head_dim, 32)
  const void* values = nullptr;  // (panels of head_dim, 32, 32)
  const float* key_scales = nullptr;
  const float* value_scales = nullptr;
  bool round_weights = false;  // to bf16, before they multiply values
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
    if (block.round_weights) kernels.round_to_bf16(kBlock, scores);
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

// Forgets what the tile's rows have collected.
void clear(const QueryTile& tile);

constexpr int64_t kSegmentBlocks = kSegment / kBlock;

// Lets the tile's rows collect the keys of one segment anew. Row r sees the first keys(r) keys of
// all, later rows no fewer; block_tiles(b) is the b-th block of all.
template <typename Keys, typename BlockTilesOf>
void collect_segment(const QueryTile& tile, int64_t segment, float scale, Keys keys,
                     BlockTilesOf block_tiles, const cpu::KernelTable& kernels) {
  clear(tile);
  const int64_t most = keys(tile.rows - 1), first = segment * kSegmentBlocks;
  for (int64_t b = first; b < first + kSegmentBlocks && b * kBlock < most; ++b) {
    add_block(
        tile, block_tiles(b), scale, [&](int64_t r) { return keys(r) - b * kBlock; }, kernels);
  }
}

// The same by the set's own kernel, for keys and values in bf16. Row r sees first_keys + r / group
// keys of all. The tile has room for rows up to a multiple of 16.
template <typename BlockTilesOf>
void collect_segment_bf16(const QueryTile& tile, int64_t segment, float scale, int64_t first_keys,
                          int64_t group, BlockTilesOf block_tiles, char* scratch,
                          const cpu::KernelTable& kernels) {
  clear(tile);
  std::array<const char*, kSegmentBlocks> keys, values;
  const int64_t first = segment * kSegmentBlocks;
  const int64_t most = first_keys + (tile.rows - 1) / group;
  cpu::SegmentArgs args;
  args.queries = tile.queries;
  args.rows = tile.rows;
  args.head_dim = tile.head_dim;
  args.scale = scale;
  args.first_keys = first_keys - segment * kSegment;
  args.group = group;
  args.blocks = std::min(kSegmentBlocks, (most + kBlock - 1) / kBlock - first);
  for (int64_t b = 0; b < args.blocks; ++b) {
    const BlockTiles tiles = block_tiles(first + b);
    keys[static_cast<size_t>(b)] = static_cast<const char*>(tiles.keys);
    values[static_cast<size_t>(b)] = static_cast<const char*>(tiles.values);
  }
  args.keys = keys.data();
  args.values = values.data();
  args.stride = kStride;
  args.out = tile.out;
  args.sums = tile.sums;
  args.maximum = tile.maximum;
  args.scratch = scratch;
  args.kernels = &kernels;
  kernels.segment_bf16(args);
}

}  // namespace looplm::attention

#endif  // LOOPLM_KERNELS_ATTENTION_BLOCK_H_
