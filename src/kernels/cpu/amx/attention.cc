// Attention to keys and values in bf16 of a page cache.
#include "kernels/cpu/amx/amx_kernels.h"
#include "kernels/cpu/amx/bf16_block.h"
#include "kernels/cpu/segment_args.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int64_t kValuePanelBytes = kPanel * kPanel * 2;  // 32 positions of 32 dimensions
static_assert(kValuePanelBytes == kStepOfPanel);

int64_t pieces(int64_t count, int64_t piece) { return (count + piece - 1) / piece; }
int64_t steps_of(int64_t head_dim) { return pieces(head_dim, kAmxTerms); }
int64_t tile_bytes(int64_t rows, int64_t steps) {
  return pieces(rows, kAmxRows) * steps * kAmxTileBytes;
}

// Rows of `terms` values rounded, as tiles of whole steps.
void round_rows(const SegmentArgs& p, const float* x, int64_t stride, int64_t terms, char* tiles) {
  const int64_t block_bytes = steps_of(terms) * kAmxTileBytes;
  for (int64_t first = 0; first < p.rows; first += kAmxRows, tiles += block_bytes) {
    AmxPrepareArgs args;
    args.source = x + first * stride;
    args.row_stride = stride;
    args.rows = p.rows - first < kAmxRows ? p.rows - first : kAmxRows;
    args.terms = terms;
    args.out = tiles;
    args.step_bytes = kAmxTileBytes;
    p.kernels->amx_prepare(args);
  }
}

// C (+)= tiles of all rows times a panel. `ahead` is as large a one to fetch meanwhile, or null.
void multiply(Tiles& tiles, int64_t rows, const char* a, int64_t steps, const char* panel,
              const char* ahead, float* c, int64_t c_row_stride, int64_t columns, bool accumulate) {
  AmxArgs args;
  args.a = {a, rows, kAmxRowBytes, kAmxTileBytes, steps * kAmxTileBytes};
  args.steps = steps;
  args.c = {.at = c, .row_stride = c_row_stride};
  if (accumulate) args.before = args.c;
  for (int64_t m = 0; m < rows; m += 2 * kAmxRows) {
    const char* block = a + m / kAmxRows * args.a.block_bytes;
    float* to = c + m * c_row_stride;
    const Left left = {rows - m, columns};
    const int64_t fetched = ahead != nullptr && m == 0 ? kStepOfPanel : 0;
    if (left.rows > kAmxRows) {
      product<2>(tiles, args, block, panel, ahead, fetched, to, to, left);
    } else {
      product<1>(tiles, args, block, panel, ahead, fetched, to, to, left);
    }
  }
}

// Positions of a panel of values from `count` on are zero: they have not been written, and their
// weight of zero would not hide what is no number.
void copy_values(const char* from, int64_t count, char* to) {
  for (int64_t pair = 0; pair < kPanel / 2; ++pair) {
    uint32_t words[kPanel];
    const int64_t there = count - 2 * pair;
    memcpy(words, from + pair * kRowOfPanel, sizeof(words));
    const uint32_t kept = there >= 2 ? 0xffffffffu : there == 1 ? 0xffffu : 0;
    for (uint32_t& word : words) word &= kept;
    memcpy(to + pair * kRowOfPanel, words, sizeof(words));
  }
}

struct Scratch {
  char* queries;  // tiles of the head's steps
  char* weights;  // tiles of one step
  float* scores;  // (rows, 32)
};

void add_block(Tiles& tiles, const SegmentArgs& p, const Scratch& scratch, int64_t block) {
  const int64_t first_keys = p.first_keys - block * kPanel;
  const auto keys = [&](int64_t r) {
    const int64_t count = first_keys + r / p.group;
    return count < kPanel ? count : kPanel;
  };
  const bool last = block + 1 == p.blocks;
  multiply(tiles, p.rows, scratch.queries, steps_of(p.head_dim), p.keys[block],
           last ? nullptr : p.keys[block + 1], scratch.scores, kPanel, kPanel, false);
  for (int64_t r = 0; r < p.rows; ++r) {
    const float correction = p.kernels->softmax_block(scratch.scores + r * kPanel, keys(r), p.scale,
                                                      p.maximum + r, p.sums + r * kPanel);
    if (correction != 1.0f) p.kernels->scale(correction, p.head_dim, p.out + r * p.stride);
  }
  round_rows(p, scratch.scores, kPanel, kPanel, scratch.weights);
  const int64_t most = keys(p.rows - 1);
  for (int64_t first = 0; first < p.head_dim; first += kPanel) {
    const int64_t at = first / kPanel * kValuePanelBytes;
    const char* values = p.values[block] + at;
    alignas(64) char some[kValuePanelBytes];
    if (most < kPanel) {
      copy_values(values, most, some);
      values = some;
    }
    multiply(tiles, p.rows, scratch.weights, 1, values, last ? nullptr : p.values[block + 1] + at,
             p.out + first, p.stride, p.head_dim - first < kPanel ? p.head_dim - first : kPanel,
             true);
  }
}

void attend(const SegmentArgs& p) {
  Tiles tiles;
  Scratch scratch;
  scratch.queries = p.scratch;
  scratch.weights = scratch.queries + tile_bytes(p.rows, steps_of(p.head_dim));
  scratch.scores = reinterpret_cast<float*>(scratch.weights + tile_bytes(p.rows, 1));
  round_rows(p, p.queries, p.stride, p.head_dim, scratch.queries);
  for (int64_t block = 0; block < p.blocks; ++block) add_block(tiles, p, scratch, block);
}

int64_t scratch_bytes(int64_t rows, int64_t head_dim) {
  return tile_bytes(rows, steps_of(head_dim) + 1) + rows * kPanel * 4;
}

}  // namespace

void add_attention_kernels(KernelTable& table) {
  table.segment_bf16 = attend;
  table.segment_bf16_bytes = scratch_bytes;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
