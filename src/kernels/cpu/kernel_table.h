// The kernels of one instruction set, as a table of functions; and the tile arithmetic that they
// share.
//
// These functions do a piece of one thread's work. What is split over threads, and how, is decided
// above them (src/kernels/*.cc).
//
// Numbers: matrix products sum over k in a fixed order: chunks of kChunk terms, each summed in
// sequence from zero by fused multiply-add, the chunk sums added in sequence. bf16 products take
// the terms of each pair (2j, 2j+1) odd one first, the order of the processor's own bf16 dot
// product. Neither the number of rows nor the split over threads enters, so a row's result is the
// same alone and in a batch.
#ifndef LOOPLM_KERNELS_CPU_KERNEL_TABLE_H_
#define LOOPLM_KERNELS_CPU_KERNEL_TABLE_H_

#include <stdint.h>

#include "base/isa.h"

namespace looplm::cpu {

inline constexpr int64_t kPanel = 32;   // columns (outputs) of a packed panel
inline constexpr int64_t kChunk = 256;  // terms summed before a partial sum is added up; even
// Distance between rows of a chunk of A, in 4-byte slots: the chunk and one cache line, so that
// rows fall into different cache sets.
inline constexpr int64_t kRowStride = kChunk + 16;
inline constexpr int64_t kGroup = 32;  // values that share a maximum in a search for the largest
inline constexpr int kMaxTileRows = 12;
// Terms that share a scale in products of small integers.
inline constexpr int64_t kQuantGroup = 64;

// Rows of A, converted for the tiles: fp32 as they are, or rounded to bf16 and laid out the way
// tile_bf16 wants them.
struct PrepareRowsArgs {
  const float* source = nullptr;
  // Instead of `source`, for products of bf16: values that are rounded already. Rows lie one after
  // another's terms (term_stride 1), or for the interleaved form side by side.
  const uint16_t* rounded = nullptr;
  int64_t row_stride = 0;  // distance between rows of A in the source
  // Distance between terms: 1, or the row length when A is a transposed matrix.
  int64_t term_stride = 1;
  int64_t rows = 0;
  int64_t tile_rows = 0;  // all tiles but the last have as many
  int64_t terms = 0;      // at most kChunk
  // row-major: row m starts at slot m * kRowStride; interleaved: so does a tile whose first row is
  // m, and its term i starts i * (rows of the tile) slots later. There is room for rows *
  // kRowStride slots, and what no row owns may be overwritten.
  void* out = nullptr;
};

// C[0..rows) x [panels * kPanel columns) (+)= A * B over one chunk of terms.
struct TileArgs {
  const void* a = nullptr;
  int64_t a_term_stride = 0;  // interleaved A: slots between terms
  int64_t a_row_stride = 0;   // tile_f32_in_place: floats between rows; kRowStride in the others
  const void* b = nullptr;    // panel: (terms, kPanel) fp32, or (terms / 2, kPanel, 2) bf16
  int64_t b_panel_bytes = 0;  // distance between panels
  int64_t terms = 0;          // at most kChunk; even for bf16
  int64_t rows = 0;           // 1..tile_rows
  int64_t columns = 0;        // positive; the last panel may be partly used
  float* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;  // add to C, or overwrite it
  bool pairs = false;       // fp32, at most pair_rows rows: two panels at a time
  // fp32 without pair_rows, tile_rows rows: whether to prefetch B as `fetch` says; the last terms
  // of a number that is no multiple of four always do. Pairs never do, all other tiles always.
  bool fetches = true;
  // Bytes of B to fetch into the first cache meanwhile, evenly over the terms; of each panel.
  int64_t fetch = 0;  // distance from the panel's start in this call
  int64_t fetch_bytes = 0;
  // Bytes that a later call reads, to fetch into the second-level cache at once; of each panel.
  int64_t ahead = 0;
  int64_t ahead_bytes = 0;
};

// Panels of small integers; layouts in kernels/quantized.h.
inline constexpr int64_t kQuantStepBytes = kPanel * 4;       // 32 columns, four bytes each
inline constexpr int64_t kInt8HeaderBytes = kPanel * 4;      // fp32 scales, before all steps
inline constexpr int64_t kInt4HeaderBytes = 2 * kPanel * 2;  // fp16 scales, minimums: per group
inline constexpr int64_t kInt8GroupBytes = kQuantGroup / 4 * kQuantStepBytes;
inline constexpr int64_t kInt4GroupBytes = kInt4HeaderBytes + kQuantGroup / 8 * kQuantStepBytes;

// A block of rows goes through two panels and keeps the levels of kQuantChunk groups in the
// first-level cache.
inline constexpr int64_t kQuantBlockRows = 256;
inline constexpr int64_t kQuantChunk = 4;
// What a block needs: fp32 sums, and int4's chunk unpacked.
inline constexpr int64_t kQuantScratchFloats =
    2 * kPanel * (kQuantBlockRows + kQuantChunk * (2 + kQuantGroup / 4));

// C[0..rows) x columns (+)= A * B in small integers, over all terms; layouts in
// kernels/quantized.h.
struct QuantTileArgs {
  const int8_t* a = nullptr;  // (rows, groups * 64)
  int64_t a_row_stride = 0;
  int64_t a_rows = 0;               // distance between groups of what follows
  const float* a_scales = nullptr;  // (groups, rows)
  // (groups, rows), for int8: what integer sums start from, -128 times the sum of a, since levels
  // are q + 128.
  const int32_t* a_starts = nullptr;
  const float* a_offsets = nullptr;  // (groups, rows), for int4: a_scales times the sum of a
  const void* b = nullptr;           // the first panel
  int64_t groups = 0;
  int64_t rows = 0;     // a tile's: 1..quant_tile_rows; a block's: 3..kQuantBlockRows
  int64_t columns = 0;  // of one panel, or of a block's two
  float* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;
  // Tiles: so many bytes ahead they call for B, which lies in memory. 0: they do not, but for six
  // rows of int8.
  int64_t fetch = 0;
  // Blocks:
  int64_t b_panel_bytes = 0;  // distance to the second panel; 0 where there is none
  float* scratch = nullptr;   // kQuantScratchFloats, undefined
};

// Products on a matrix unit (AMX), whose tiles have 16 rows of 64 bytes. A step is the terms that a
// tile of A holds: 32 of bf16, or a group of 64 of int8. B's panels are those of the other kernels,
// padded to whole steps: two tiles side by side.
//
// Numbers: a step adds to each element of C, in fp32 that takes and leaves no denormals, the sum of
// its even terms plus that of its odd ones, each added up in order from zero. Steps follow each
// other, so where a caller cuts them does not matter.
inline constexpr int64_t kAmxRows = 16;
inline constexpr int64_t kAmxRowBytes = 64;
inline constexpr int64_t kAmxTileBytes = kAmxRows * kAmxRowBytes;
inline constexpr int64_t kAmxTerms = 32;       // of bf16
inline constexpr int64_t kAmxQuantRows = 128;  // most rows of a call of amx_int8 and amx_int4
struct AmxPrepareArgs;                         // kernels/cpu/amx_args.h
struct AmxArgs;
struct AmxQuantArgs;

struct SegmentArgs;  // kernels/cpu/segment_args.h

struct AdamWArgs {
  float* parameter = nullptr;
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  const float* gradient = nullptr;
  int64_t count = 0;
  float gradient_scale = 1;
  float learning_rate = 0;
  float one_minus_beta1 = 0;
  float beta2 = 0;
  float one_minus_beta2 = 0;
  float epsilon = 0;
  float weight_decay = 0;
  float bias_correction1 = 1;       // 1 - beta1^step
  float bias_correction2_root = 1;  // sqrt(1 - beta2^step)
};

// Of part of a row of logits x, with m their maximum: m, sum e^(x - m), sum (x - m) e^(x - m).
struct SoftmaxPart {
  float most = 0;  // the largest that is not NaN
  float sum = 0;   // NaN where a logit is NaN or +infinity
  float weighted = 0;
  int32_t finite = 0;  // 1 when every logit is
};

struct KernelTable {
  Isa isa = Isa::kPortable;
  const char* name = "";
  int tile_rows = 0;  // most rows that a tile call takes
  int pair_rows = 0;  // most rows of a call by pairs of panels; 0: there are none
  // tile_bf16 uses the processor's bf16 dot product, on rows rounded to bf16 pairs.
  bool bf16_dot = false;

  // Matrix products. "interleaved" variants take A with the rows of one term side by side.
  void (*prepare_rows_f32)(const PrepareRowsArgs&) = nullptr;
  void (*prepare_rows_bf16)(const PrepareRowsArgs&) = nullptr;
  void (*prepare_interleaved_f32)(const PrepareRowsArgs&) = nullptr;
  void (*prepare_interleaved_bf16)(const PrepareRowsArgs&) = nullptr;
  // out[i] <- the pair of even[i] (lower half) and odd[i], rounded to bf16: two terms of a panel.
  void (*pair_rows_bf16)(const float* even, const float* odd, int64_t n, uint32_t* out) = nullptr;
  // The same of rows that are rounded already.
  void (*pair_rounded_rows)(const uint16_t* even, const uint16_t* odd, int64_t n,
                            uint32_t* out) = nullptr;
  // A row rounded to bf16, where it lies if `pairs` is; an odd last term is paired with zero.
  void (*round_row_bf16)(const float* x, int64_t n, uint32_t* pairs) = nullptr;
  // The same values as floats, in place; n a multiple of kPanel.
  void (*round_to_bf16)(int64_t n, float* x) = nullptr;
  // out[i * kPanel + r] <- word i of rows[r], of any alignment, for `count` rows, at most kPanel.
  void (*transpose_words)(const void* const* rows, int64_t count, int64_t words,
                          uint32_t* out) = nullptr;
  void (*tile_f32)(const TileArgs&) = nullptr;
  void (*tile_bf16)(const TileArgs&) = nullptr;
  // tile_f32 with B's panels in a smaller type: (terms / 2, kPanel, 2) of bf16, or (terms, kPanel)
  // of int8.
  void (*tile_f32_by_bf16)(const TileArgs&) = nullptr;
  void (*tile_f32_by_int8)(const TileArgs&) = nullptr;
  void (*tile_f32_interleaved)(const TileArgs&) = nullptr;
  void (*tile_f32_in_place)(const TileArgs&) = nullptr;  // on rows of A that were not prepared
  void (*tile_bf16_interleaved)(const TileArgs&) = nullptr;

  int quant_tile_rows = 0;
  void (*tile_int8)(const QuantTileArgs&) = nullptr;
  void (*tile_int4)(const QuantTileArgs&) = nullptr;
  // Null where only tiles are.
  void (*block_int8)(const QuantTileArgs&) = nullptr;
  void (*block_int4)(const QuantTileArgs&) = nullptr;
  // A row of `terms` values in groups of 64: levels (padded with zeros to whole groups), scales
  // and sums of levels per group.
  void (*quantize_groups)(const float* x, int64_t terms, int8_t* levels, float* scales,
                          int32_t* sums) = nullptr;

  // A row of weights to int4 (kernels/quantized.h): levels, padded with zeros to whole groups, and
  // each group's scale and minimum. With the bits of ref::fit_int4.
  void (*fit_int4)(const float* weights, int64_t terms, uint8_t* levels, float* scales,
                   float* minimums) = nullptr;

  // Null without a matrix unit. With one, all products of bf16 use it, however many rows they have,
  // and those of small integers with more than a few.
  void (*amx_prepare)(const AmxPrepareArgs&) = nullptr;
  void (*amx_bf16)(const AmxArgs&) = nullptr;
  void (*amx_int8)(const AmxQuantArgs&) = nullptr;
  void (*amx_int4)(const AmxQuantArgs&) = nullptr;

  // Attention to keys and values in bf16 by products of bf16: queries and weights are rounded too.
  // Null where there is no instruction for these; attention then widens keys and values. The number
  // of rows that it takes best, and bytes of scratch for so many rows.
  void (*segment_bf16)(const SegmentArgs&) = nullptr;
  int64_t segment_bf16_rows = 0;
  int64_t (*segment_bf16_bytes)(int64_t rows, int64_t head_dim) = nullptr;

  // One row of n values each.
  void (*rms_norm_row)(const float* x, const float* weight, float eps, int64_t n, float* y,
                       float* inverse_rms) = nullptr;
  // dx (+)= ...; weight_gradient += dy * x * inverse_rms
  void (*rms_norm_backward_row)(const float* dy, const float* x, const float* weight,
                                float inverse_rms, int64_t n, bool accumulate, float* dx,
                                float* weight_gradient) = nullptr;
  void (*add_rms_norm_row)(const float* y, const float* weight, float eps, int64_t n, float* x,
                           float* inverse_rms) = nullptr;
  void (*rotate_row)(const float* cosine, const float* sine, int64_t heads, int64_t head_dim,
                     float direction, float* x) = nullptr;
  void (*swiglu_row)(const float* gate, const float* up, int64_t n, float* out) = nullptr;
  // `activated`, which may be null, gets what swiglu_row gives.
  void (*swiglu_backward_row)(const float* dout, const float* gate, const float* up, int64_t n,
                              float* dgate, float* dup, float* activated) = nullptr;
  float (*dot)(const float* a, const float* b, int64_t n) = nullptr;
  void (*add_scaled)(const float* x, float scale, int64_t n, float* y) = nullptr;  // y += scale * x
  void (*scale)(float factor, int64_t n, float* x) = nullptr;
  void (*add_bf16_row)(const uint16_t* x, int64_t n, float* y) = nullptr;
  double (*sum_of_squares)(const float* x, int64_t n) = nullptr;
  void (*adamw)(const AdamWArgs&) = nullptr;

  // The largest value that is not NaN; -infinity of none.
  float (*maximum)(const float* x, int64_t n) = nullptr;
  // Index of the first that equals `value`; -1 where none does.
  int64_t (*find)(const float* x, int64_t n, float value) = nullptr;
  // Softmax over a row of logits.
  SoftmaxPart (*softmax_part)(const float* logits, int64_t n) = nullptr;
  // weights <- e^((x - most) * factor); returns their sum, so n should not be many thousands.
  float (*softmax_weights)(const float* x, int64_t n, float most, float factor,
                           float* weights) = nullptr;
  // Largest values of disjoint groups of at most kGroup, which together are all; returns how many
  // there are, at most n / kGroup + 1.
  int64_t (*group_maxima)(const float* x, int64_t n, float* maxima) = nullptr;
  // Indices of the values >= least, ascending; returns how many. Needs room for n.
  int64_t (*at_least)(const float* x, int64_t n, float least, int32_t* indices) = nullptr;
  // The first i with (~words[i] >> 1) < weights[i] * limit; n where there is none.
  int64_t (*first_below)(const uint32_t* words, const float* weights, int64_t n,
                         float limit) = nullptr;
  // philox(key, counter_high, first + b) of base/rng.h for b in [0, blocks), four words each. Needs
  // room for `blocks` rounded up to a multiple of 8.
  void (*philox_words)(uint64_t key, uint64_t counter_high, uint64_t first, int64_t blocks,
                       uint32_t* words) = nullptr;
  // logits <- scale * (softmax(logits) - onehot(target))
  void (*softmax_gradient)(float* logits, int64_t n, float log_sum, float scale,
                           int64_t target) = nullptr;

  // One block of keys of an online softmax, one query row. On entry scores[0..valid) hold raw
  // products; on exit scores[0..kPanel) hold exp(scale * s - new maximum), zero beyond `valid`.
  // Updates the running maximum and the kPanel partial sums; returns the factor by which what was
  // accumulated before must be multiplied.
  float (*softmax_block)(float* scores, int64_t valid, float scale, float* maximum,
                         float* sums) = nullptr;
  // x <- x * factors, n a multiple of kPanel
  void (*multiply)(const float* factors, int64_t n, float* x) = nullptr;
  // The total of the partial sums, in a fixed order.
  float (*sum_panel)(const float* sums) = nullptr;
  // scores <- exp(scale * s - log_sum) for the valid keys, zero beyond: probabilities again, for
  // the backward pass.
  void (*softmax_block_again)(float* scores, int64_t valid, float scale, float log_sum) = nullptr;
  // ds <- p * (dp - delta) * scale, in place of dp
  void (*softmax_block_backward)(const float* p, float* dp, float delta, float scale) = nullptr;

  // Loops at the machine's limits. The dot loops return the operations done (a multiply and an add
  // count two); null where the instruction set has no such instruction.
  uint64_t (*read_bytes)(const void* data, int64_t bytes) = nullptr;
  double (*multiply_adds)(int64_t rounds) = nullptr;
  double (*bf16_dots)(int64_t rounds) = nullptr;
  double (*int8_dots)(int64_t rounds) = nullptr;
};

// Null when this build has no kernels for that instruction set.
const KernelTable* kernel_table(Isa isa);

// One per instruction set, each in its own library.
namespace portable {
const KernelTable& table();
}
namespace avx2 {
const KernelTable& table();
}
namespace avx512 {
const KernelTable& table();
}
namespace avx512_bf16 {
const KernelTable& table();
}
// These add the amx_ kernels to another set's table: by the instructions, or by their emulation.
namespace amx {
void add_kernels(KernelTable& table);
}
namespace amx_emulated {
void add_kernels(KernelTable& table);
}

}  // namespace looplm::cpu

#endif  // LOOPLM_KERNELS_CPU_KERNEL_TABLE_H_
