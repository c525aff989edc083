#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "kernels/attention.h"
#include "kernels/cases/op_case.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

class AttentionCaseBase : public OpCase {
 public:
  explicit AttentionCaseBase(ref::AttentionSize size) : size_(std::move(size)) {
    size_.scale = 1 / std::sqrt(static_cast<double>(size_.head_dim));
  }
  std::vector<OpInput> inputs() const override {
    return {{"q", query_count(), 0, 2}, {"k", kv_count()}, {"v", kv_count()}};
  }
  std::vector<int64_t> output_counts() const override { return {query_count()}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::attention(in[0].data(), in[1].data(), in[2].data(), size_, out[0].data());
  }
  // Scores of spread 2 err by about 2^-24 * head_dim^1/2 roundings, which the exponential turns
  // into relative errors.
  double tolerance() const override { return 200 * 0x1p-24; }
  OpWork work(OpDirection direction) const override {
    double pairs = 0;  // (query, key) pairs
    for (size_t d = 0; d + 1 < size_.document_starts.size(); ++d) {
      const auto n = static_cast<double>(size_.document_starts[d + 1] - size_.document_starts[d]);
      pairs += n * (n + 1) / 2;
    }
    const double products = 4 * pairs * static_cast<double>(size_.heads * size_.head_dim);
    const double bytes = 4.0 * static_cast<double>(2 * query_count() + 2 * kv_count());
    return direction == OpDirection::kForward ? OpWork{products, bytes}
                                              : OpWork{2.5 * products, 2 * bytes};
  }

 protected:
  int64_t rows() const { return size_.document_starts.back(); }
  int64_t query_count() const { return rows() * size_.heads * size_.head_dim; }
  int64_t kv_count() const { return rows() * size_.kv_heads * size_.head_dim; }

  ref::AttentionSize size_;
};

class PackedAttentionCase : public AttentionCaseBase {
 public:
  explicit PackedAttentionCase(ref::AttentionSize size, DType operands = DType::kF32)
      : AttentionCaseBase(std::move(size)), operands_(operands) {}
  std::string op() const override {
    return operands_ == DType::kF32 ? "attention" : "attention_bf16";
  }
  std::vector<OpInput> inputs() const override {
    return {{"q", query_count(), 0, 2, operands_},
            {"k", kv_count(), 0, 1, operands_},
            {"v", kv_count(), 0, 1, operands_}};
  }
  // Weights are rounded to bf16 too: see CachedAttentionCase. Gradients have three such factors,
  // and may be mainly one term that is five root mean squares large.
  double tolerance() const override {
    return operands_ == DType::kBf16 ? 4 * 0x1p-9 : AttentionCaseBase::tolerance();
  }
  double gradient_tolerance() const override {
    return operands_ == DType::kBf16 ? 15 * 0x1p-9 : AttentionCaseBase::tolerance();
  }
  DType arithmetic() const override { return operands_; }
  std::string shape() const override {
    return fmt::format("documents={} rows={} heads={} kv_heads={} head_dim={}",
                       size_.document_starts.size() - 1, rows(), size_.heads, size_.kv_heads,
                       size_.head_dim);
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    ref::attention_backward(in[0].data(), in[1].data(), in[2].data(), dout[0].data(), size_,
                            din[0].data(), din[1].data(), din[2].data());
  }
  // q, k and v side by side in each row, as the fused projection leaves them.
  void prepare(const Floats& in, Device&) override {
    const int64_t q = size_.heads * size_.head_dim;
    const int64_t kv = size_.kv_heads * size_.head_dim;
    stride_ = q + 2 * kv;
    qkv_.resize(static_cast<size_t>(rows() * stride_));
    for (int64_t r = 0; r < rows(); ++r) {
      float* row = qkv_.data() + r * stride_;
      std::copy_n(in[0].begin() + r * q, q, row);
      std::copy_n(in[1].begin() + r * kv, kv, row + q);
      std::copy_n(in[2].begin() + r * kv, kv, row + q + kv);
    }
    dqkv_.resize(qkv_.size());
    log_sum_.resize(static_cast<size_t>(rows() * size_.heads));
  }
  void forward(const Floats&, Floats& out, Device& device) override {
    params_ = {qkv_.data(),
               qkv_.data() + size_.heads * size_.head_dim,
               qkv_.data() + (size_.heads + size_.kv_heads) * size_.head_dim,
               stride_,
               size_.heads,
               size_.kv_heads,
               size_.head_dim,
               static_cast<float>(size_.scale),
               size_.document_starts,
               out[0].data(),
               log_sum_.data(),
               operands_};
    attention_forward(params_, device);
  }
  void backward(const Floats&, const Floats& dout, Floats& din, Device& device) override {
    const int64_t q = size_.heads * size_.head_dim;
    const int64_t kv = size_.kv_heads * size_.head_dim;
    attention_backward(
        {params_, dout[0].data(), dqkv_.data(), dqkv_.data() + q, dqkv_.data() + q + kv, stride_},
        device);
    for (int64_t r = 0; r < rows(); ++r) {
      const float* row = dqkv_.data() + r * stride_;
      std::copy_n(row, q, din[0].begin() + r * q);
      std::copy_n(row + q, kv, din[1].begin() + r * kv);
      std::copy_n(row + q + kv, kv, din[2].begin() + r * kv);
    }
  }

 private:
  DType operands_;
  int64_t stride_ = 0;
  std::vector<float> qkv_;
  std::vector<float> dqkv_;
  std::vector<float> log_sum_;
  AttentionParams params_;
};

// One sequence against its cache: the last `queries` rows attend to everything before them. Timed
// with one query, tested with chunks.
class CachedAttentionCase : public AttentionCaseBase {
 public:
  CachedAttentionCase(ref::AttentionSize size, int64_t chunk, KvType type = KvType::kF32)
      : AttentionCaseBase(std::move(size)),
        chunk_(chunk),
        layout_{size_.kv_heads, size_.head_dim, type} {}
  std::string op() const override {
    return layout_.type == KvType::kF32
               ? "cached_attention"
               : fmt::format("cached_attention_{}", kv_type_name(layout_.type));
  }
  std::vector<OpInput> inputs() const override {
    // Queries are rounded like keys by processors that multiply bf16.
    const DType storage = layout_.type == KvType::kBf16 ? DType::kBf16 : DType::kF32;
    return {{"q", query_count(), 0, 2, storage},
            {"k", kv_count(), 0, 1, storage},
            {"v", kv_count(), 0, 1, storage}};
  }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    Doubles stored = in;
    if (layout_.type == KvType::kInt8) {
      round_to_int8(stored[1]);
      round_to_int8(stored[2]);
    }
    AttentionCaseBase::forward_reference(stored, out);
  }
  std::string shape() const override {
    return fmt::format("context={} chunk={} heads={} kv_heads={} head_dim={}", rows(), chunk_,
                       size_.heads, size_.kv_heads, size_.head_dim);
  }
  bool has_backward() const override { return false; }
  // Weights are rounded to bf16 too: each value errs by up to 2^-9 of itself, the largest of many
  // values is some four root mean squares.
  double tolerance() const override {
    return layout_.type == KvType::kBf16 ? 4 * 0x1p-9 : AttentionCaseBase::tolerance();
  }
  DType arithmetic() const override {
    return layout_.type == KvType::kBf16 ? DType::kBf16 : DType::kF32;
  }
  void prepare(const Floats& in, Device&) override {
    const int64_t pages = pages_for(rows());
    memory_ = Buffer<std::byte>(static_cast<size_t>(pages * layout_.page_bytes()));
    // All bits set is NaN in every type: unwritten slots must not matter.
    std::fill(memory_.data(), memory_.data() + memory_.size(), std::byte{0xff});
    pages_.clear();
    for (int64_t i = 0; i < pages; ++i) pages_.push_back(memory_.data() + i * layout_.page_bytes());
    const int64_t kv = size_.kv_heads * size_.head_dim;
    for (int64_t r = 0; r < rows(); ++r) {
      store_kv(layout_, in[1].data() + r * kv, in[2].data() + r * kv, r,
               pages_[static_cast<size_t>(r / kPagePositions)]);
    }
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    const int64_t first = only_last_ ? rows() - chunk_ : 0;
    for (int64_t at = first; at < rows(); at += chunk_) {
      const std::vector<CachedQueries> queries = {
          {at, std::min(chunk_, rows() - at), at, pages_.data()}};
      CachedAttentionParams p;
      p.layout = layout_;
      p.q = in[0].data();
      p.q_stride = size_.heads * size_.head_dim;
      p.heads = size_.heads;
      p.scale = static_cast<float>(size_.scale);
      p.queries = queries;
      p.out = out[0].data();
      cached_attention(p, device);
    }
  }
  OpWork work(OpDirection) const override {
    const auto keys = static_cast<double>(rows() * chunk_);
    return {4 * keys * static_cast<double>(size_.heads * size_.head_dim),
            static_cast<double>(2 * layout_.element_bytes() * kv_count())};
  }
  // For timing: only the last chunk, not the whole sequence chunk by chunk.
  void time_last_chunk_only() { only_last_ = true; }

 private:
  // Each head's vector to whole numbers of 1/127 of its largest magnitude.
  void round_to_int8(std::vector<double>& x) const {
    const auto n = static_cast<size_t>(size_.head_dim);
    for (size_t at = 0; at < x.size(); at += n) {
      float most = 0;
      for (size_t i = at; i < at + n; ++i) {
        most = std::max(most, std::abs(static_cast<float>(x[i])));
      }
      const float inverse = most > 0 ? 127.0f / most : 0.0f;
      for (size_t i = at; i < at + n; ++i) {
        x[i] =
            std::nearbyint(static_cast<float>(x[i]) * inverse) * static_cast<double>(most / 127.0f);
      }
    }
  }

  int64_t chunk_;
  KvLayout layout_;
  bool only_last_ = false;
  Buffer<std::byte> memory_;
  std::vector<std::byte*> pages_;
};

}  // namespace

void add_attention_cases(bool perf, OpCases& cases) {
  if (perf) {
    for (const ref::AttentionSize& size : {ref::AttentionSize{16, 16, 128, 0, {0, 1024}},
                                           {16, 16, 128, 0, {0, 4096}},
                                           {8, 8, 64, 0, {0, 256, 512, 768, 1024}}}) {
      for (DType type : {DType::kF32, DType::kBf16}) {
        cases.push_back(std::make_unique<PackedAttentionCase>(size, type));
      }
    }
    for (KvType type : kKvTypes) {
      auto decode = std::make_unique<CachedAttentionCase>(
          ref::AttentionSize{16, 16, 128, 0, {0, 4096}}, 1, type);
      decode->time_last_chunk_only();
      cases.push_back(std::move(decode));
    }
    // Long contexts and grouped heads, for one query and for a prompt's chunk.
    for (const ref::AttentionSize& size : {ref::AttentionSize{16, 2, 128, 0, {0, 8192}},
                                           {8, 8, 128, 0, {0, 16384}},
                                           {8, 1, 128, 0, {0, 16384}}}) {
      for (int64_t chunk : {1, 256}) {
        auto last = std::make_unique<CachedAttentionCase>(size, chunk, KvType::kBf16);
        last->time_last_chunk_only();
        cases.push_back(std::move(last));
      }
    }
    return;
  }
  const std::vector<ref::AttentionSize> sizes = {
      {1, 1, 2, 0, {0, 1}},        {2, 1, 10, 0, {0, 5, 6, 40}},  {4, 2, 16, 0, {0, 33, 64, 129}},
      {3, 3, 33, 0, {0, 70}},      {6, 2, 64, 0, {0, 31, 63}},    {1, 1, 128, 0, {0, 97, 97, 100}},
      {2, 2, 256, 0, {0, 50, 83}}, {2, 1, 6, 0, {0, 1100, 1130}},
  };
  for (const ref::AttentionSize& size : sizes) {
    cases.push_back(std::make_unique<PackedAttentionCase>(size));
    if (size.document_starts.back() > 1000) continue;
    cases.push_back(std::make_unique<PackedAttentionCase>(size, DType::kBf16));
  }
  for (KvType type : {KvType::kF32, KvType::kBf16}) {
    cases.push_back(
        std::make_unique<CachedAttentionCase>(ref::AttentionSize{2, 1, 6, 0, {0, 1100}}, 30, type));
  }
  for (int64_t chunk : {1, 7, 32, 100}) {
    for (KvType type : kKvTypes) {
      cases.push_back(std::make_unique<CachedAttentionCase>(
          ref::AttentionSize{4, 2, 16, 0, {0, 75}}, chunk, type));
      cases.push_back(std::make_unique<CachedAttentionCase>(
          ref::AttentionSize{3, 3, 33, 0, {0, 66}}, chunk, type));
    }
  }
}

}  // namespace looplm
