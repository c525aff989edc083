#include "kernels/attention.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/attention_block.h"

namespace looplm {
namespace {

using attention::kBlock;
using attention::kSegment;
using attention::kStride;
using cpu::kPanel;

// Query rows that share a block of keys before the next block is read.
constexpr int64_t kQueryRows = 48;
// Blocks of keys that a block of queries meets at once on the way back, in bf16. In fp32 it is one.
constexpr int64_t kStepBlocks = 4;

// One (document, key-value head): its rows and the head's columns in q, k and v.
struct HeadOfDocument {
  const AttentionParams* params;
  int64_t first_row;
  int64_t rows;
  int64_t kv_head;

  bool rounded() const { return params->operands == DType::kBf16; }
  int64_t blocks() const { return (rows + kBlock - 1) / kBlock; }
  int64_t group() const { return params->heads / params->kv_heads; }
  const float* key(int64_t row) const {
    return params->k + (first_row + row) * params->qkv_stride + kv_head * params->head_dim;
  }
  const float* value(int64_t row) const {
    return params->v + (first_row + row) * params->qkv_stride + kv_head * params->head_dim;
  }
  const float* query(int64_t row, int64_t head) const {
    return params->q + (first_row + row) * params->qkv_stride + head * params->head_dim;
  }
};

// Floats of a block of 32 rows, packed in either way.
int64_t transposed_floats(const AttentionParams& p) {
  const int64_t width = attention::panels_of(p.head_dim) * kPanel;
  return (p.operands == DType::kBf16 ? width / 2 : p.head_dim) * kBlock;
}
int64_t paneled_floats(const AttentionParams& p) {
  const int64_t floats = attention::panels_of(p.head_dim) * kPanel * kBlock;
  return p.operands == DType::kBf16 ? floats / 2 : floats;
}

// (blocks, head_dim, 32): the transposes of blocks of 32 rows, zero beyond the last row. In bf16
// (blocks, head_dim / 2, 32, 2), with head_dim padded to 32 by zeros.
template <typename Row>
void pack_transposed(const HeadOfDocument& head, Row row, float* out,
                     const cpu::KernelTable& kernels) {
  const int64_t head_dim = head.params->head_dim, floats = transposed_floats(*head.params);
  std::array<std::array<uint32_t, attention::kMaxHeadDim / 2>, kBlock> pairs;
  for (int64_t first = 0; first < head.rows; first += kBlock, out += floats) {
    const int64_t count = std::min(kBlock, head.rows - first);
    if (count < kBlock || head_dim % kPanel != 0) std::fill(out, out + floats, 0.0f);
    std::array<const void*, kBlock> sources{};
    for (int64_t r = 0; r < count; ++r) {
      const auto i = static_cast<size_t>(r);
      sources[i] = row(first + r);
      if (!head.rounded()) continue;
      kernels.round_row_bf16(row(first + r), head_dim, pairs[i].data());
      sources[i] = pairs[i].data();
    }
    kernels.transpose_words(sources.data(), count, head.rounded() ? (head_dim + 1) / 2 : head_dim,
                            reinterpret_cast<uint32_t*>(out));
  }
}

// Panels of 32 dimensions of blocks of 32 rows: (32, 32) floats each, zero beyond the last row; or
// (16, 32, 2) bf16. Floats between panels and between blocks are given.
template <typename Row>
void pack_panels(const HeadOfDocument& head, Row row, int64_t panel_floats, int64_t block_floats,
                 float* out, const cpu::KernelTable& kernels) {
  const int64_t head_dim = head.params->head_dim, each = head.rounded() ? 2 : 1;  // rows
  constexpr std::array<float, kPanel> kZeros = {};
  for (int64_t i = 0; i < head_dim; i += kPanel, out += panel_floats) {
    const int64_t columns = std::min(kPanel, head_dim - i);
    for (int64_t r = 0; r < head.blocks() * kBlock; r += each) {
      float* to = out + r / kBlock * block_floats + r % kBlock / each * kPanel;
      if (r >= head.rows || columns < kPanel) std::fill_n(to, kPanel, 0.0f);
      if (r >= head.rows) continue;
      if (head.rounded()) {
        kernels.pair_rows_bf16(row(r) + i, r + 1 < head.rows ? row(r + 1) + i : kZeros.data(),
                               columns, reinterpret_cast<uint32_t*>(to));
      } else if (columns == kPanel) {  // a known size, so no call and no loop
        std::memcpy(to, row(r) + i, kPanel * sizeof(float));
      } else {
        std::memcpy(to, row(r) + i, static_cast<size_t>(columns) * sizeof(float));
      }
    }
  }
}

std::vector<HeadOfDocument> list_heads(const AttentionParams& p) {
  std::vector<HeadOfDocument> heads;
  for (size_t d = 0; d + 1 < p.document_starts.size(); ++d) {
    const int64_t first = p.document_starts[d];
    const int64_t rows = p.document_starts[d + 1] - first;
    if (rows <= 0) continue;
    for (int64_t h = 0; h < p.kv_heads; ++h) heads.push_back({&p, first, rows, h});
  }
  // Longest first, so that the last task to finish is a short one.
  std::stable_sort(
      heads.begin(), heads.end(),
      [](const HeadOfDocument& a, const HeadOfDocument& b) { return a.rows > b.rows; });
  return heads;
}

void check_shapes(const AttentionParams& p) {
  LOOPLM_CHECK(p.head_dim > 0 && p.head_dim <= attention::kMaxHeadDim, "head_dim {}", p.head_dim);
  LOOPLM_CHECK(p.kv_heads > 0 && p.heads % p.kv_heads == 0, "{} heads, {} key-value heads", p.heads,
               p.kv_heads);
  LOOPLM_CHECK(p.operands == DType::kF32 || p.operands == DType::kBf16, "operands of {}",
               dtype_word(p.operands));
}

// Whether one kernel takes a segment.
bool by_segments(const AttentionParams& p, const cpu::KernelTable& kernels) {
  return p.operands == DType::kBf16 && kernels.segment_bf16 != nullptr;
}
int64_t query_rows(const AttentionParams& p, const cpu::KernelTable& kernels) {
  return by_segments(p, kernels) ? kernels.segment_bf16_rows : kQueryRows;
}
// Room for whole tiles of a matrix unit.
int64_t room_for(int64_t rows) {
  return (rows + cpu::kAmxRows - 1) / cpu::kAmxRows * cpu::kAmxRows;
}
int64_t segment_floats(const AttentionParams& p, const cpu::KernelTable& kernels) {
  if (!by_segments(p, kernels)) return 0;
  return kernels.segment_bf16_bytes(query_rows(p, kernels), p.head_dim) / 4;
}

void forward_head(const HeadOfDocument& head, float* scratch, const cpu::KernelTable& kernels) {
  const AttentionParams& p = *head.params;
  const bool at_once = by_segments(p, kernels);
  const int64_t key_floats = transposed_floats(p), value_floats = paneled_floats(p);
  const int64_t state_floats = attention::row_state_floats(p.head_dim);
  const int64_t tile_rows = query_rows(p, kernels);
  float* keys = scratch;
  float* values = keys + head.blocks() * key_floats;
  float* tile_scratch = values + head.blocks() * value_floats;
  float* segment_scratch = tile_scratch + attention::query_tile_floats(room_for(tile_rows));
  float* totals = segment_scratch + segment_floats(p, kernels);
  pack_transposed(
      head, [&](int64_t r) { return head.key(r); }, keys, kernels);
  pack_panels(
      head, [&](int64_t r) { return head.value(r); },
      value_floats / attention::panels_of(p.head_dim), value_floats, values, kernels);
  const auto block_tiles = [&](int64_t block) {
    attention::BlockTiles tiles;
    tiles.type = head.rounded() ? KvType::kBf16 : KvType::kF32;
    tiles.keys = keys + block * key_floats;
    tiles.values = values + block * value_floats;
    tiles.round_weights = head.rounded();
    return tiles;
  };

  for (int64_t g = 0; g < head.group(); ++g) {
    const int64_t query_head = head.kv_head * head.group() + g;
    for (int64_t first = 0; first < head.rows; first += tile_rows) {
      const int64_t rows = std::min(tile_rows, head.rows - first);
      attention::QueryTile tile =
          attention::make_query_tile(room_for(rows), p.head_dim, tile_scratch);
      tile.rows = rows;
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(tile_scratch + r * kStride, head.query(first + r, query_head),
                    static_cast<size_t>(p.head_dim) * sizeof(float));
        if (head.rounded() && !at_once) {
          kernels.round_to_bf16(attention::panels_of(p.head_dim) * kPanel,
                                tile_scratch + r * kStride);
        }
      }
      const auto keys_of = [&](int64_t r) { return first + r + 1; };
      const auto total = [&](int64_t r) {
        return attention::row_state(totals + r * state_floats, p.head_dim);
      };
      const bool one_segment = first + rows <= kSegment;
      for (int64_t segment = 0; segment * kSegment < first + rows; ++segment) {
        if (at_once) {
          attention::collect_segment_bf16(tile, segment, p.scale, keys_of(0), 1, block_tiles,
                                          reinterpret_cast<char*>(segment_scratch), kernels);
        } else {
          attention::collect_segment(tile, segment, p.scale, keys_of, block_tiles, kernels);
        }
        for (int64_t r = 0; r < rows && !one_segment; ++r) {
          if (keys_of(r) <= segment * kSegment) continue;
          attention::add_segment(attention::row_state(tile, r), p.head_dim, segment == 0, total(r),
                                 kernels);
        }
      }
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = (head.first_row + first + r) * p.heads + query_head;
        const float log_sum =
            attention::finish_row(one_segment ? attention::row_state(tile, r) : total(r),
                                  p.head_dim, p.out + at * p.head_dim, kernels);
        if (p.log_sum != nullptr) p.log_sum[at] = log_sum;
      }
    }
  }
}

int64_t forward_floats(const AttentionParams& p, int64_t rows, const cpu::KernelTable& kernels) {
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  const int64_t tile_rows = query_rows(p, kernels);
  return blocks * (transposed_floats(p) + paneled_floats(p)) +
         attention::query_tile_floats(room_for(tile_rows)) + segment_floats(p, kernels) +
         tile_rows * attention::row_state_floats(p.head_dim);
}

// The backward pass of one head of one document. With P the probabilities and dO the output's
// gradient:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(dO O)) scale,  dQ = dS K,  dK = dS^T Q
class BackwardHead {
 public:
  BackwardHead(const AttentionBackwardParams& b, const HeadOfDocument& head, float* scratch,
               const cpu::KernelTable& kernels)
      : b_(b),
        p_(b.forward),
        head_(head),
        kernels_(kernels),
        width_(attention::panels_of(p_.head_dim) * kPanel),
        transposed_(transposed_floats(p_)),
        block_floats_(head.rounded() ? kBlock * kPanel / 2 : width_ * kBlock),
        panel_floats_(head.rounded() ? head.blocks() * block_floats_ : kBlock * kPanel) {
    const int64_t blocks = head.blocks();
    const auto take = [&scratch](int64_t floats) {
      float* at = scratch;
      scratch += floats;
      return at;
    };
    keys_t_ = take(blocks * transposed_);
    values_t_ = take(blocks * transposed_);
    keys_ = take(blocks * paneled_floats(p_));
    queries_ = take(blocks * paneled_floats(p_));
    douts_ = take(blocks * paneled_floats(p_));
    dk_ = take(blocks * kBlock * width_);
    dv_ = take(blocks * kBlock * width_);
    dq_ = take(blocks * kBlock * width_);
    deltas_ = take(blocks * kBlock);
    query_rows_ = take(kBlock * kStride);
    dout_rows_ = take(kBlock * kStride);
    scores_ = take(kBlock * kStride);
    dscores_ = take(kBlock * kStride);
    rounded_ = take(rounded_floats(p_));
  }

  static int64_t floats(const AttentionParams& p, int64_t rows) {
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    const int64_t width = attention::panels_of(p.head_dim) * kPanel;
    return blocks * (2 * transposed_floats(p) + 3 * paneled_floats(p) + kBlock * (3 * width + 1)) +
           4 * kBlock * kStride + rounded_floats(p);
  }

  void run() {
    const int64_t gradient_floats = head_.blocks() * kBlock * width_;
    std::fill(dk_, dk_ + gradient_floats, 0.0f);
    std::fill(dv_, dv_ + gradient_floats, 0.0f);
    pack_transposed(
        head_, [&](int64_t r) { return head_.key(r); }, keys_t_, kernels_);
    pack_transposed(
        head_, [&](int64_t r) { return head_.value(r); }, values_t_, kernels_);
    pack([&](int64_t r) { return head_.key(r); }, keys_);
    for (int64_t g = 0; g < head_.group(); ++g) run_query_head(head_.kv_head * head_.group() + g);
    for (int64_t r = 0; r < head_.rows; ++r) {
      const int64_t at = (head_.first_row + r) * b_.gradient_stride + head_.kv_head * p_.head_dim;
      copy(dk_ + r * width_, b_.dk + at);
      copy(dv_ + r * width_, b_.dv + at);
    }
  }

 private:
  static int64_t rounded_floats(const AttentionParams& p) {
    return p.operands == DType::kBf16 ? kStepBlocks * kBlock * kStride : 0;
  }
  void copy(const float* from, float* to) const {
    std::memcpy(to, from, static_cast<size_t>(p_.head_dim) * sizeof(float));
  }
  const float* dout(int64_t row, int64_t query_head) const {
    return b_.dout + ((head_.first_row + row) * p_.heads + query_head) * p_.head_dim;
  }
  template <typename Row>
  void pack(Row row, float* out) const {
    pack_panels(head_, row, panel_floats_, block_floats_, out, kernels_);
  }

  void run_query_head(int64_t query_head) {
    std::fill(dq_, dq_ + head_.blocks() * kBlock * width_, 0.0f);
    const auto query = [&](int64_t r) { return head_.query(r, query_head); };
    const auto gradient = [&](int64_t r) { return dout(r, query_head); };
    pack(query, queries_);
    pack(gradient, douts_);
    for (int64_t r = 0; r < head_.rows; ++r) {
      const float* out = p_.out + ((head_.first_row + r) * p_.heads + query_head) * p_.head_dim;
      deltas_[r] = kernels_.dot(gradient(r), out, p_.head_dim);
    }
    const int64_t step_blocks = head_.rounded() ? kStepBlocks : 1;
    for (int64_t q = 0; q < head_.blocks(); ++q) {
      const int64_t rows = std::min(kBlock, head_.rows - q * kBlock);
      take_rows(query(q * kBlock), p_.qkv_stride, rows, query_rows_);
      take_rows(gradient(q * kBlock), p_.heads * p_.head_dim, rows, dout_rows_);
      for (int64_t k = 0; k <= q; k += step_blocks) {
        run_step(query_head, q, rows, k, std::min(step_blocks, q + 1 - k));
      }
    }
    for (int64_t r = 0; r < head_.rows; ++r) {
      copy(dq_ + r * width_,
           b_.dq + (head_.first_row + r) * b_.gradient_stride + query_head * p_.head_dim);
    }
  }

  // Query block q against key blocks from k on.
  void run_step(int64_t query_head, int64_t q, int64_t rows, int64_t k, int64_t blocks) {
    const int64_t columns = blocks * kBlock;
    product({query_rows_, rows, p_.head_dim, keys_t_ + k * transposed_, transposed_ * 4, columns,
             scores_, kStride, false});
    product({dout_rows_, rows, p_.head_dim, values_t_ + k * transposed_, transposed_ * 4, columns,
             dscores_, kStride, false});
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = q * kBlock + r;
      const float log_sum = p_.log_sum[(head_.first_row + row) * p_.heads + query_head];
      for (int64_t b = 0; b < blocks; ++b) {
        float* const scores = scores_ + r * kStride + b * kBlock;
        kernels_.softmax_block_again(scores, row + 1 - (k + b) * kBlock, p_.scale, log_sum);
        kernels_.softmax_block_backward(scores, dscores_ + r * kStride + b * kBlock, deltas_[row],
                                        p_.scale);
      }
    }
    const int64_t keys = std::min(columns, head_.rows - k * kBlock);
    transposed_product(scores_, keys, rows, douts_ + q * block_floats_, dv_ + k * kBlock * width_);
    transposed_product(dscores_, keys, rows, queries_ + q * block_floats_,
                       dk_ + k * kBlock * width_);
    const float* a = dscores_;
    if (head_.rounded()) {
      attention::round_rows({dscores_, kStride, 1, rows, keys}, kernels_, rounded_);
      a = rounded_;
    }
    product({a, rows, keys, keys_ + k * block_floats_, panel_floats_ * 4, p_.head_dim,
             dq_ + q * kBlock * width_, width_, true});
  }

  // Rows that multiply.
  void take_rows(const float* first, int64_t stride, int64_t rows, float* to) const {
    if (head_.rounded()) {
      return attention::round_rows({first, stride, 1, rows, p_.head_dim}, kernels_, to);
    }
    for (int64_t r = 0; r < rows; ++r) copy(first + r * stride, to + r * kStride);
  }
  void product(const attention::BlockProduct& product) const {
    if (head_.rounded()) return attention::multiply_rounded(product, 1, kernels_);
    attention::multiply(product, kernels_);
  }
  void transposed_product(const float* a, int64_t rows, int64_t terms, const float* panels,
                          float* c) const {
    attention::BlockProduct product = {a,           rows, terms,  panels, panel_floats_ * 4,
                                       p_.head_dim, c,    width_, true};
    if (!head_.rounded()) return attention::multiply_transposed(product, kernels_);
    attention::round_rows({a, 1, kStride, rows, terms}, kernels_, rounded_);
    product.a = rounded_;
    attention::multiply_rounded(product, kStride, kernels_);
  }

  const AttentionBackwardParams& b_;
  const AttentionParams& p_;
  const HeadOfDocument& head_;
  const cpu::KernelTable& kernels_;
  int64_t width_;         // head_dim rounded up to whole panels
  int64_t transposed_;    // floats of one transposed block
  int64_t block_floats_;  // between blocks of panels
  // Between panels. In bf16 all blocks of a panel lie together, so that they are terms of one
  // product.
  int64_t panel_floats_;
  float* keys_t_;
  float* values_t_;
  float* keys_;
  float* queries_;
  float* douts_;
  float* dk_;  // (rows, width_)
  float* dv_;
  float* dq_;
  float* deltas_;      // rowsum(dO O)
  float* query_rows_;  // the query block, kStride between rows or rounded
  float* dout_rows_;
  float* scores_;
  float* dscores_;
  float* rounded_;
};

int64_t longest_document(const AttentionParams& p) {
  int64_t longest = 0;
  for (size_t d = 0; d + 1 < p.document_starts.size(); ++d) {
    longest = std::max(longest, p.document_starts[d + 1] - p.document_starts[d]);
  }
  return longest;
}

}  // namespace

void attention_forward(const AttentionParams& p, Device& device) {
  check_shapes(p);
  const std::vector<HeadOfDocument> heads = list_heads(p);
  const auto floats = static_cast<size_t>(forward_floats(p, longest_document(p), device.kernels()));
  device.pool().parallel_for(static_cast<int64_t>(heads.size()), [&](int64_t i, int thread) {
    forward_head(heads[static_cast<size_t>(i)], device.thread_scratch(thread, floats),
                 device.kernels());
  });
}

size_t attention_backward_scratch_bytes(const AttentionParams& params, int64_t rows) {
  const size_t bytes = static_cast<size_t>(BackwardHead::floats(params, rows)) * sizeof(float);
  return bytes + bytes / 4;  // a device takes a quarter more than it is asked for
}

void attention_backward(const AttentionBackwardParams& b, Device& device) {
  check_shapes(b.forward);
  const std::vector<HeadOfDocument> heads = list_heads(b.forward);
  const auto floats =
      static_cast<size_t>(BackwardHead::floats(b.forward, longest_document(b.forward)));
  device.pool().parallel_for(static_cast<int64_t>(heads.size()), [&](int64_t i, int thread) {
    BackwardHead(b, heads[static_cast<size_t>(i)], device.thread_scratch(thread, floats),
                 device.kernels())
        .run();
  });
}

}  // namespace looplm
