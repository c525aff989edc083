// Causal attention: softmax(scale q k^T) v over earlier positions, without ever holding the scores
// (Dao et al., 2022: online softmax).
//
// Both forms below walk the keys in blocks of 32 that start at position 0 of the document, with the
// same arithmetic per query. Each 1,024 keys are a segment with a maximum and sums of its own, and
// segments are added in order, so that several threads may share one query's keys. A query gets the
// same bits whether it came through a training batch, a prompt chunk or alone against the cache: in
// fp32, and in bf16 where the processor multiplies that. Elsewhere the cache's form rounds keys and
// values alone.
#ifndef LOOPLM_KERNELS_ATTENTION_H_
#define LOOPLM_KERNELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "looplm/kv_policy.h"

#include "kernels/device.h"
#include "tensor/dtype.h"

namespace looplm {

// ---- Packed documents (training)

struct AttentionParams {
  const float* q = nullptr;  // (rows, heads, head_dim), rotated
  const float* k = nullptr;  // (rows, kv_heads, head_dim), rotated
  const float* v = nullptr;
  int64_t qkv_stride = 0;  // elements between rows of q, k and v
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // at most 256
  float scale = 0;       // usually head_dim^-1/2
  // Document d is rows [starts[d], starts[d + 1]); rows attend within their document only.
  std::span<const int64_t> document_starts;
  float* out = nullptr;  // (rows, heads, head_dim), contiguous
  // (rows, heads): log of the softmax's denominator, for the backward pass.
  float* log_sum = nullptr;
  // Of the products' operands, kF32 or kBf16: rounded once, and their products summed in fp32.
  DType operands = DType::kF32;
};
void attention_forward(const AttentionParams& params, Device& device);

struct AttentionBackwardParams {
  AttentionParams forward;      // with the results of attention_forward
  const float* dout = nullptr;  // (rows, heads, head_dim), contiguous
  float* dq = nullptr;          // overwritten
  float* dk = nullptr;
  float* dv = nullptr;
  int64_t gradient_stride = 0;  // elements between rows of dq, dk and dv
};
void attention_backward(const AttentionBackwardParams& params, Device& device);
// What a thread's scratch for it grows to, for documents of up to `rows`; the forward pass takes
// less. Of `params` it reads head_dim and operands.
size_t attention_backward_scratch_bytes(const AttentionParams& params, int64_t rows);

// ---- Cached keys and values (inference)

inline constexpr int64_t kPagePositions = 32;  // positions per page: one block of keys
// The number of pages for `positions` positions.
constexpr int64_t pages_for(int64_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

// A page holds 32 consecutive positions of one (loop, layer) for all key-value heads:
//   keys   (kv_heads, head_dim, 32)            transposed, as the score product reads them
//   values (kv_heads, head_dim / 32, 32, 32)   panels of 32 dimensions, as the output product reads
//   them
//   bf16 only: pairs of a product's terms side by side, and head_dim padded to 32 with zeros:
//   keys (kv_heads, head_dim / 2, 32, 2), values (kv_heads, head_dim / 32, 16, 32, 2)
//   int8 only: scales of keys (kv_heads, 32) and of values (kv_heads, 32), fp32
struct KvLayout {
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  KvType type = KvType::kF32;

  int64_t element_bytes() const { return type == KvType::kF32 ? 4 : type == KvType::kBf16 ? 2 : 1; }
  // Elements.
  int64_t value_panels() const { return (head_dim + cpu::kPanel - 1) / cpu::kPanel; }
  int64_t key_terms() const {
    return type == KvType::kBf16 ? value_panels() * cpu::kPanel : head_dim;
  }
  int64_t key_tile() const { return key_terms() * kPagePositions; }
  int64_t value_tile() const { return value_panels() * cpu::kPanel * kPagePositions; }
  int64_t page_bytes() const {
    const int64_t scales = type == KvType::kInt8 ? 2 * kv_heads * kPagePositions * 4 : 0;
    return kv_heads * (key_tile() + value_tile()) * element_bytes() + scales;
  }
  // Bytes from the start of a page.
  int64_t key_offset(int64_t head) const { return head * key_tile() * element_bytes(); }
  int64_t value_offset(int64_t head) const {
    return (kv_heads * key_tile() + head * value_tile()) * element_bytes();
  }
  int64_t key_scale_offset(int64_t head) const {
    return value_offset(kv_heads) + head * kPagePositions * 4;
  }
  int64_t value_scale_offset(int64_t head) const { return key_scale_offset(kv_heads + head); }
};

// Writes one position's k and v, each (kv_heads, head_dim), into slot `position % 32` of its page.
void store_kv(const KvLayout& layout, const float* k, const float* v, int64_t position,
              std::byte* page);
// The same of consecutive positions, from `position` on, that share the page: a row of each. What
// is stored has the same bits.
void store_kv_rows(const KvLayout& layout, std::span<const float* const> k,
                   std::span<const float* const> v, int64_t position, std::byte* page,
                   const cpu::KernelTable& kernels);
// Copies a head's keys and values of the first `positions` slots of a page to another page, whose
// other slots are then undefined.
void copy_kv(const KvLayout& layout, int64_t head, const std::byte* from, int64_t positions,
             std::byte* to);
// Reads them back, as they were rounded.
void load_kv(const KvLayout& layout, const std::byte* page, int64_t position, float* k, float* v);

// Consecutive positions of one sequence that attend to the same pages.
struct CachedQueries {
  int64_t first_row = 0;  // row of q and out
  int64_t rows = 0;
  int64_t first_position = 0;         // row r attends to positions 0 .. first_position + r
  std::byte* const* pages = nullptr;  // page i holds positions 32 i .. 32 i + 31
};

struct CachedAttentionParams {
  KvLayout layout;
  const float* q = nullptr;  // (rows, heads, head_dim)
  int64_t q_stride = 0;
  int64_t heads = 0;
  float scale = 0;
  std::span<const CachedQueries> queries;
  float* out = nullptr;  // (rows, heads, head_dim), contiguous
};
void cached_attention(const CachedAttentionParams& params, Device& device);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_ATTENTION_H_
