#include "kernels/attention_block.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/amx_args.h"

namespace looplm::attention {
namespace {

// Where rows of a term lie side by side, `term_stride` is between terms; 0: as many slots as a tile
// has rows.
void multiply_tiles(const BlockProduct& p, void (*tile)(const cpu::TileArgs&), int64_t tile_rows,
                    int64_t row_slots, int64_t term_stride) {
  cpu::TileArgs t;
  t.b = p.panels;
  t.b_panel_bytes = p.panel_bytes;
  t.terms = p.terms;
  t.columns = p.columns;
  t.c_row_stride = p.c_stride;
  t.accumulate = p.accumulate;
  for (int64_t m = 0; m < p.rows; m += tile_rows) {
    t.rows = std::min(tile_rows, p.rows - m);
    t.a_term_stride = term_stride == 0 ? t.rows : term_stride;
    t.a = p.a + m * row_slots;
    t.c = p.c + m * p.c_stride;
    tile(t);
  }
}

int64_t amx_block_bytes(int64_t terms) {
  return (terms + cpu::kAmxTerms - 1) / cpu::kAmxTerms * cpu::kAmxTileBytes;
}

}  // namespace

void multiply(const BlockProduct& product, const cpu::KernelTable& kernels, KvType stored) {
  const auto tile = stored == KvType::kF32    ? kernels.tile_f32
                    : stored == KvType::kBf16 ? kernels.tile_f32_by_bf16
                                              : kernels.tile_f32_by_int8;
  multiply_tiles(product, tile, kernels.tile_rows, kStride, 0);
}

void multiply_transposed(const BlockProduct& product, const cpu::KernelTable& kernels) {
  multiply_tiles(product, kernels.tile_f32_interleaved, kernels.tile_rows, 1, kStride);
}

void round_rows(const RowsToRound& a, const cpu::KernelTable& kernels, float* out) {
  if (kernels.amx_prepare == nullptr) {
    const auto prepare =
        a.term_stride == 1 ? kernels.prepare_rows_bf16 : kernels.prepare_interleaved_bf16;
    prepare({.source = a.source,
             .row_stride = a.row_stride,
             .term_stride = a.term_stride,
             .rows = a.rows,
             .tile_rows = kernels.tile_rows,
             .terms = a.terms,
             .out = out});
    return;
  }
  char* tiles = reinterpret_cast<char*>(out);
  for (int64_t m = 0; m < a.rows; m += cpu::kAmxRows, tiles += amx_block_bytes(a.terms)) {
    kernels.amx_prepare({.source = a.source + m * a.row_stride,
                         .row_stride = a.row_stride,
                         .term_stride = a.term_stride,
                         .rows = std::min(cpu::kAmxRows, a.rows - m),
                         .terms = a.terms,
                         .out = tiles,
                         .step_bytes = cpu::kAmxTileBytes});
  }
}

void multiply_rounded(const BlockProduct& product, int64_t term_stride,
                      const cpu::KernelTable& kernels) {
  if (kernels.amx_bf16 == nullptr) {
    BlockProduct even = product;
    even.terms = (product.terms + 1) / 2 * 2;
    const auto tile = term_stride == 1 ? kernels.tile_bf16 : kernels.tile_bf16_interleaved;
    return multiply_tiles(even, tile, kernels.tile_rows, kStride, 0);
  }
  const cpu::AmxSums c = {.at = product.c, .row_stride = product.c_stride, .roomy = true};
  const int64_t block_bytes = amx_block_bytes(product.terms);
  kernels.amx_bf16({.a = {.tiles = product.a,
                          .rows = product.rows,
                          .row_bytes = cpu::kAmxRowBytes,
                          .step_bytes = cpu::kAmxTileBytes,
                          .block_bytes = block_bytes},
                    .steps = block_bytes / cpu::kAmxTileBytes,
                    .b = static_cast<const char*>(product.panels),
                    .b_panel_bytes = product.panel_bytes,
                    .columns = product.columns,
                    .before = product.accumulate ? c : cpu::AmxSums(),
                    .c = c});
}

int64_t query_tile_floats(int64_t rows) { return rows * (3 * kStride + kBlock + 1); }

QueryTile make_query_tile(int64_t rows, int64_t head_dim, float* scratch) {
  QueryTile tile;
  tile.rows = rows;
  tile.head_dim = head_dim;
  tile.queries = scratch;
  tile.scores = scratch + rows * kStride;
  tile.out = tile.scores + rows * kStride;
  tile.sums = tile.out + rows * kStride;
  tile.maximum = tile.sums + rows * kBlock;
  return tile;
}

void clear(const QueryTile& tile) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    std::fill_n(tile.out + r * kStride, tile.head_dim, 0.0f);
  }
  std::fill_n(tile.sums, tile.rows * kBlock, 0.0f);
  std::fill_n(tile.maximum, tile.rows, -std::numeric_limits<float>::infinity());
}

void add_segment(const RowState& segment, int64_t head_dim, bool first, const RowState& total,
                 const cpu::KernelTable& kernels) {
  if (first) {
    std::copy_n(segment.out, head_dim, total.out);
    std::copy_n(segment.sums, kBlock, total.sums);
    *total.maximum = *segment.maximum;
    return;
  }
  const float most = std::max(*total.maximum, *segment.maximum);
  const float before = std::exp(*total.maximum - most);
  const float now = std::exp(*segment.maximum - most);
  *total.maximum = most;
  kernels.scale(before, head_dim, total.out);
  kernels.add_scaled(segment.out, now, head_dim, total.out);
  kernels.scale(before, kBlock, total.sums);
  kernels.add_scaled(segment.sums, now, kBlock, total.sums);
}

float finish_row(const RowState& row, int64_t head_dim, float* to,
                 const cpu::KernelTable& kernels) {
  const float denominator = kernels.sum_panel(row.sums);
  for (int64_t i = 0; i < head_dim; ++i) to[i] = row.out[i] / denominator;
  return *row.maximum + std::log(denominator);
}

}  // namespace looplm::attention
