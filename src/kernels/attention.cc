#include "kernels/attention.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/attention_block.h"

namespace looplm {
namespace {

using attention::BlockProduct;
using attention::kBlock;
using attention::kSegment;
using attention::kStride;
using cpu::kPanel;

// Query rows that share a block of keys before the next block is read.
constexpr int64_t kQueryRows = 48;

// One (document, key-value head): its rows and the head's columns in q, k and v.
struct HeadOfDocument {
  const AttentionParams* params;
  int64_t first_row;
  int64_t rows;
  int64_t kv_head;

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

// (blocks, head_dim, 32): the transposes of blocks of 32 rows, zero beyond the last row.
template <typename Row>
void pack_transposed(int64_t rows, int64_t head_dim, Row row, float* out,
                     const cpu::KernelTable& kernels) {
  for (int64_t first = 0; first < rows; first += kBlock, out += head_dim * kBlock) {
    const int64_t count = std::min(kBlock, rows - first);
    if (count < kBlock) std::fill(out, out + head_dim * kBlock, 0.0f);
    std::array<const void*, kBlock> sources{};
    for (int64_t r = 0; r < count; ++r) sources[static_cast<size_t>(r)] = row(first + r);
    kernels.transpose_words(sources.data(), count, head_dim, reinterpret_cast<uint32_t*>(out));
  }
}

// (blocks, panels, 32, 32): blocks of 32 rows as panels of 32 dimensions, zero beyond the last row.
template <typename Row>
void pack_blocks(int64_t rows, int64_t head_dim, Row row, float* out) {
  const int64_t block_floats = attention::panels_of(head_dim) * kPanel * kBlock;
  for (int64_t first = 0; first < rows; first += kBlock, out += block_floats) {
    const int64_t count = std::min(kBlock, rows - first);
    if (count < kBlock) std::fill(out, out + block_floats, 0.0f);
    for (int64_t r = 0; r < count; ++r) {
      const float* source = row(first + r);
      for (int64_t i = 0; i < head_dim; i += kPanel) {
        std::memcpy(out + i * kBlock + r * kPanel, source + i,
                    static_cast<size_t>(std::min(kPanel, head_dim - i)) * sizeof(float));
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
}

void forward_head(const HeadOfDocument& head, float* scratch, const cpu::KernelTable& kernels) {
  const AttentionParams& p = *head.params;
  const int64_t key_floats = p.head_dim * kBlock;
  const int64_t value_floats = attention::panels_of(p.head_dim) * kPanel * kBlock;
  float* keys = scratch;
  float* values = keys + head.blocks() * key_floats;
  const int64_t state_floats = attention::row_state_floats(p.head_dim);
  float* totals = values + head.blocks() * value_floats;
  float* tile_scratch = totals + kQueryRows * state_floats;
  pack_transposed(
      head.rows, p.head_dim, [&](int64_t r) { return head.key(r); }, keys, kernels);
  pack_blocks(
      head.rows, p.head_dim, [&](int64_t r) { return head.value(r); }, values);

  for (int64_t g = 0; g < head.group(); ++g) {
    const int64_t query_head = head.kv_head * head.group() + g;
    for (int64_t first = 0; first < head.rows; first += kQueryRows) {
      const int64_t rows = std::min(kQueryRows, head.rows - first);
      const attention::QueryTile tile = attention::make_query_tile(rows, p.head_dim, tile_scratch);
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(tile_scratch + r * kStride, head.query(first + r, query_head),
                    static_cast<size_t>(p.head_dim) * sizeof(float));
      }
      const auto keys_of = [&](int64_t r) { return first + r + 1; };
      const auto total = [&](int64_t r) {
        return attention::row_state(totals + r * state_floats, p.head_dim);
      };
      const bool one_segment = first + rows <= kSegment;
      for (int64_t segment = 0; segment * kSegment < first + rows; ++segment) {
        attention::collect_segment(
            tile, segment, p.scale, keys_of,
            [&](int64_t block) {
              attention::BlockTiles tiles;
              tiles.keys = keys + block * key_floats;
              tiles.values = values + block * value_floats;
              return tiles;
            },
            kernels);
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

int64_t forward_floats(const AttentionParams& p, int64_t rows) {
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  return blocks * kBlock * (p.head_dim + attention::panels_of(p.head_dim) * kPanel) +
         kQueryRows * attention::row_state_floats(p.head_dim) +
         attention::query_tile_floats(std::min(kQueryRows, rows));
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
        transposed_(p_.head_dim * kBlock),
        paneled_(width_ * kBlock) {
    const int64_t blocks = head.blocks();
    const auto take = [&scratch](int64_t floats) {
      float* at = scratch;
      scratch += floats;
      return at;
    };
    keys_t_ = take(blocks * transposed_);
    values_t_ = take(blocks * transposed_);
    keys_ = take(blocks * paneled_);
    queries_ = take(blocks * paneled_);
    douts_ = take(blocks * paneled_);
    dk_ = take(blocks * kBlock * width_);
    dv_ = take(blocks * kBlock * width_);
    dq_ = take(blocks * kBlock * width_);
    deltas_ = take(blocks * kBlock);
    query_rows_ = take(kBlock * kStride);
    dout_rows_ = take(kBlock * kStride);
    scores_ = take(kBlock * kStride);
    dscores_ = take(kBlock * kStride);
  }

  static int64_t floats(const AttentionParams& p, int64_t rows) {
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    const int64_t width = attention::panels_of(p.head_dim) * kPanel;
    return blocks * kBlock * (2 * p.head_dim + 6 * width + 1) + 4 * kBlock * kStride;
  }

  void run() {
    const int64_t gradient_floats = head_.blocks() * kBlock * width_;
    std::fill(dk_, dk_ + gradient_floats, 0.0f);
    std::fill(dv_, dv_ + gradient_floats, 0.0f);
    pack_transposed(
        head_.rows, p_.head_dim, [&](int64_t r) { return head_.key(r); }, keys_t_, kernels_);
    pack_transposed(
        head_.rows, p_.head_dim, [&](int64_t r) { return head_.value(r); }, values_t_, kernels_);
    pack_blocks(
        head_.rows, p_.head_dim, [&](int64_t r) { return head_.key(r); }, keys_);
    for (int64_t g = 0; g < head_.group(); ++g) run_query_head(head_.kv_head * head_.group() + g);
    for (int64_t r = 0; r < head_.rows; ++r) {
      const int64_t at = (head_.first_row + r) * b_.gradient_stride + head_.kv_head * p_.head_dim;
      copy(dk_ + r * width_, b_.dk + at);
      copy(dv_ + r * width_, b_.dv + at);
    }
  }

 private:
  void copy(const float* from, float* to) const {
    std::memcpy(to, from, static_cast<size_t>(p_.head_dim) * sizeof(float));
  }
  const float* dout(int64_t row, int64_t query_head) const {
    return b_.dout + ((head_.first_row + row) * p_.heads + query_head) * p_.head_dim;
  }

  void run_query_head(int64_t query_head) {
    std::fill(dq_, dq_ + head_.blocks() * kBlock * width_, 0.0f);
    pack_blocks(
        head_.rows, p_.head_dim, [&](int64_t r) { return head_.query(r, query_head); }, queries_);
    pack_blocks(
        head_.rows, p_.head_dim, [&](int64_t r) { return dout(r, query_head); }, douts_);
    for (int64_t r = 0; r < head_.rows; ++r) {
      const float* out = p_.out + ((head_.first_row + r) * p_.heads + query_head) * p_.head_dim;
      deltas_[r] = kernels_.dot(dout(r, query_head), out, p_.head_dim);
    }
    for (int64_t q = 0; q < head_.blocks(); ++q) {
      const int64_t rows = std::min(kBlock, head_.rows - q * kBlock);
      for (int64_t r = 0; r < rows; ++r) {
        copy(head_.query(q * kBlock + r, query_head), query_rows_ + r * kStride);
        copy(dout(q * kBlock + r, query_head), dout_rows_ + r * kStride);
      }
      for (int64_t k = 0; k <= q; ++k) run_block(query_head, q, rows, k);
    }
    for (int64_t r = 0; r < head_.rows; ++r) {
      copy(dq_ + r * width_,
           b_.dq + (head_.first_row + r) * b_.gradient_stride + query_head * p_.head_dim);
    }
  }

  // Query block q against key block k.
  void run_block(int64_t query_head, int64_t q, int64_t rows, int64_t k) {
    product(query_rows_, rows, p_.head_dim, keys_t_ + k * transposed_, 0, kBlock, scores_, kStride,
            false);
    product(dout_rows_, rows, p_.head_dim, values_t_ + k * transposed_, 0, kBlock, dscores_,
            kStride, false);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = q * kBlock + r;
      const float log_sum = p_.log_sum[(head_.first_row + row) * p_.heads + query_head];
      kernels_.softmax_block_again(scores_ + r * kStride, row + 1 - k * kBlock, p_.scale, log_sum);
      kernels_.softmax_block_backward(scores_ + r * kStride, dscores_ + r * kStride, deltas_[row],
                                      p_.scale);
    }
    const int64_t keys = std::min(kBlock, head_.rows - k * kBlock);
    const int64_t panel = kBlock * kPanel;
    transposed_product(scores_, keys, rows, douts_ + q * paneled_, dv_ + k * kBlock * width_);
    transposed_product(dscores_, keys, rows, queries_ + q * paneled_, dk_ + k * kBlock * width_);
    product(dscores_, rows, keys, keys_ + k * paneled_, panel, p_.head_dim,
            dq_ + q * kBlock * width_, width_, true);
  }

  void product(const float* a, int64_t rows, int64_t terms, const float* panels,
               int64_t panel_floats, int64_t columns, float* c, int64_t c_stride,
               bool accumulate) const {
    attention::multiply(
        {a, rows, terms, panels, panel_floats * 4, columns, c, c_stride, accumulate}, kernels_);
  }
  void transposed_product(const float* a, int64_t rows, int64_t terms, const float* panels,
                          float* c) const {
    attention::multiply_transposed(
        {a, rows, terms, panels, kBlock * kPanel * 4, p_.head_dim, c, width_, true}, kernels_);
  }

  const AttentionBackwardParams& b_;
  const AttentionParams& p_;
  const HeadOfDocument& head_;
  const cpu::KernelTable& kernels_;
  int64_t width_;       // head_dim rounded up to whole panels
  int64_t transposed_;  // floats of one transposed block
  int64_t paneled_;     // floats of one block of panels
  float* keys_t_;
  float* values_t_;
  float* keys_;
  float* queries_;
  float* douts_;
  float* dk_;  // (rows, width_)
  float* dv_;
  float* dq_;
  float* deltas_;      // rowsum(dO O)
  float* query_rows_;  // the query block, kStride between rows
  float* dout_rows_;
  float* scores_;
  float* dscores_;
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
  const auto floats = static_cast<size_t>(forward_floats(p, longest_document(p)));
  device.pool().parallel_for(static_cast<int64_t>(heads.size()), [&](int64_t i, int thread) {
    forward_head(heads[static_cast<size_t>(i)], device.thread_scratch(thread, floats),
                 device.kernels());
  });
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
