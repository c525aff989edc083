#include "infer/pass.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <tuple>

#include "base/check.h"

namespace looplm {

// Attention of a pass: every lane against the pages of its own sequence and loop.
class PassRunner::Attention : public BlockAttention {
  static constexpr int64_t kStoreRows = 8;    // lanes per task, where runs are shorter
  static constexpr int64_t kCopiedHeads = 4;  // per task, 16 KiB each

 public:
  explicit Attention(const ModelConfig& config)
      : config_(config), rotary_(config.head_dim, config.rope_theta) {}

  void set_lanes(std::span<Lane> lanes, Device& device) {
    lanes_ = lanes;
    positions_.clear();
    int64_t last = 0;
    for (const Lane& lane : lanes) {
      positions_.push_back(static_cast<int32_t>(lane.position));
      last = std::max(last, lane.position);
    }
    rotary_.grow(last + 1, device);
    // The cache takes the positions of a plane in ascending order.
    order_.resize(lanes.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    const auto before = [&lanes](size_t a, size_t b) {
      const Lane &x = lanes[a], &y = lanes[b];
      if (x.cache != y.cache) return std::less<>()(x.cache, y.cache);
      return std::tie(x.loop, x.position) < std::tie(y.loop, y.position);
    };
    std::sort(order_.begin(), order_.end(), before);
    runs_.clear();
    for (size_t i = 0; i < order_.size(); ++i) {
      if (i > 0 && shares_page(order_[i - 1], order_[i])) {
        ++runs_.back().lanes;
      } else {
        runs_.push_back({i, 1});
      }
    }
  }

  const RotaryTable& rotary() const override { return rotary_; }
  const int32_t* positions() const override { return positions_.data(); }

  void forward(int64_t layer, const float* qkv, float* out, float*, Device& device) override {
    const int64_t stride = config_.query_size() + 2 * config_.kv_size();
    const auto rows = static_cast<int64_t>(lanes_.size());
    pages_.resize(lanes_.size());
    copies_.clear();
    for (const size_t r : order_) {
      const Lane& lane = lanes_[r];
      pages_[r] = lane.cache->reserve(lane.loop, layer, lane.position, copies_);
    }
    const KvLayout& layout = lanes_.front().cache->layout();
    copy_pages(layout, device);
    const auto runs = static_cast<int64_t>(runs_.size());
    device.for_pieces(runs, std::max<int64_t>(1, kStoreRows * runs / rows),
                      [&](int64_t begin, int64_t end, int) {
                        for (int64_t i = begin; i < end; ++i) {
                          store(runs_[static_cast<size_t>(i)], qkv + config_.query_size(), stride,
                                device.kernels());
                        }
                      });
    queries_.clear();
    for (size_t i = 0; i < order_.size(); ++i) {
      const size_t r = order_[i];
      if (i > 0 && continues(order_[i - 1], r)) {
        ++queries_.back().rows;
      } else {
        const KvPlane& plane = lanes_[r].cache->plane(lanes_[r].loop, layer);
        queries_.push_back({static_cast<int64_t>(r), 1, lanes_[r].position, plane.pages.data()});
      }
    }
    CachedAttentionParams p;
    p.layout = layout;
    p.q = qkv;
    p.q_stride = stride;
    p.heads = config_.heads;
    p.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
    p.queries = queries_;
    p.out = out;
    cached_attention(p, device);
  }

 private:
  bool continues(size_t row_before, size_t row) const {
    const Lane &before = lanes_[row_before], &lane = lanes_[row];
    return row_before + 1 == row && before.cache == lane.cache && before.loop == lane.loop &&
           before.position + 1 == lane.position;
  }

  // By itself, since others may store to the pages that are copied.
  void copy_pages(const KvLayout& layout, Device& device) const {
    const int64_t heads = layout.kv_heads;
    device.for_pieces(std::ssize(copies_) * heads, kCopiedHeads,
                      [&](int64_t begin, int64_t end, int) {
                        for (int64_t i = begin; i < end; ++i) {
                          const PageCopy& copy = copies_[static_cast<size_t>(i / heads)];
                          copy_kv(layout, i % heads, copy.from, copy.positions, copy.to);
                        }
                      });
  }

  // Lanes whose keys and values lie side by side in a page.
  struct Run {
    size_t first;  // in order_
    size_t lanes;
  };

  bool shares_page(size_t row_before, size_t row) const {
    const Lane &before = lanes_[row_before], &lane = lanes_[row];
    return before.cache == lane.cache && before.loop == lane.loop &&
           before.position + 1 == lane.position && lane.position % kPagePositions != 0;
  }

  // `keys` of the first row; values follow them.
  void store(const Run& run, const float* keys, int64_t stride,
             const cpu::KernelTable& kernels) const {
    std::array<const float*, kPagePositions> k, v;
    for (size_t i = 0; i < run.lanes; ++i) {
      k[i] = keys + static_cast<int64_t>(order_[run.first + i]) * stride;
      v[i] = k[i] + config_.kv_size();
    }
    const size_t first = order_[run.first];
    store_kv_rows(lanes_[first].cache->layout(), std::span(k).first(run.lanes),
                  std::span(v).first(run.lanes), lanes_[first].position, pages_[first], kernels);
  }

  const ModelConfig& config_;
  RotaryTable rotary_;
  std::span<Lane> lanes_;
  std::vector<size_t> order_;  // rows by (cache, loop, position)
  std::vector<Run> runs_;
  std::vector<int32_t> positions_;
  std::vector<CachedQueries> queries_;
  std::vector<std::byte*> pages_;  // of each lane
  std::vector<PageCopy> copies_;
};

namespace {

// Operands of products of bf16 may be rounded where they are made, with the same bits.
bool rounds_operands(const BlockWeights& block) {
  const auto rounds = [](const PackedMatrix& m) {
    return m.quant() == Quant::kNone && m.dtype() == DType::kBf16;
  };
  return rounds(block.qkv) && rounds(block.gate_up) && rounds(block.down);
}

}  // namespace

PassRunner::PassRunner(const ModelWeights& weights, Device& device, AdapterWeights* adapter)
    : weights_(weights),
      device_(device),
      adapter_(adapter),
      attention_(new Attention(weights.config())) {}

PassRunner::~PassRunner() = default;

void PassRunner::run(LaneArena& arena, std::span<Lane> lanes, BlockHook* hook) {
  if (lanes.empty()) return;
  run_layers(arena, lanes, weights_.config().layers, hook);
  ++passes_;
  lanes_run_ += static_cast<int64_t>(lanes.size());
}

void PassRunner::run_layers(LaneArena& arena, std::span<Lane> lanes, int64_t layers,
                            BlockHook* hook) {
  const ModelConfig& config = weights_.config();
  const int64_t width = config.hidden_size;
  const auto rows = static_cast<int64_t>(lanes.size());
  LOOPLM_CHECK(rows == arena.used(), "{} lanes in {} slots", rows, arena.used());
  attention_->set_lanes(lanes, device_);
  adapted_.clear();
  for (const Lane& lane : lanes) {
    adapted_.add(lane.adapter != nullptr ? lane.adapter : adapter_, lane.loop);
  }
  const DType operands =
      adapted_.empty() && rounds_operands(weights_.block(0)) ? DType::kBf16 : DType::kF32;
  const int64_t kept = BlockActivations::floats(config, rows);
  const auto floats =
      static_cast<size_t>(kept + BlockActivations::operand_floats(config, rows, operands));
  if (activations_.size() < floats) activations_ = Buffer<float>(floats);
  gate_logits_.resize(std::max(gate_logits_.size(), static_cast<size_t>(rows)));
  float* const x = arena.state(0);
  float* const memory = activations_.data();
  BlockActivations a = BlockActivations::assign(config, rows, operands, memory, memory + kept);
  a.middle = x;  // nothing is kept: blocks work in place
  a.attention_log_sum = nullptr;
  a.inverse_rms = nullptr;
  for (int64_t layer = 0; layer < layers; ++layer) {
    block_forward(config, weights_.block(layer), layer, x, a, *attention_, x, device_,
                  {.layer = layer, .rows = &adapted_});
    if (hook != nullptr) hook->after_block(layer, lanes, x);
  }
  // In place where the next loop starts from the normed state.
  float* const normed = arena.normed(0);
  rms_norm_forward({x, weights_.final_norm(), static_cast<float>(config.rms_norm_eps), rows, width,
                    normed, nullptr},
                   device_);
  if (config.exit_gate) {
    gate_forward(
        {normed, weights_.gate_weight(), weights_.gate_bias(), rows, width, gate_logits_.data()},
        device_);
  }
  for (int64_t r = 0; r < rows; ++r) {
    lanes[static_cast<size_t>(r)].gate_logit =
        config.exit_gate ? gate_logits_[static_cast<size_t>(r)] : 0.0f;
  }
}

void PassRunner::embed(std::span<const int32_t> ids, float* out) {
  const TensorView& table = weights_.embedding();
  embedding_forward({ids.data(), static_cast<int64_t>(ids.size()), weights_.config().hidden_size,
                     table.data, table.dtype, out},
                    device_);
}

void PassRunner::read_out(const float* normed, int64_t rows, float* logits,
                          LogitSummary* summaries) {
  MatmulParams p;
  p.a = normed;
  p.a_row_stride = weights_.config().hidden_size;
  p.rows = rows;
  p.b = &weights_.head();
  p.c = logits;
  p.c_row_stride = weights_.config().vocab_size;
  matmul(p, device_);
  if (summaries != nullptr) logit_summary({logits, rows, p.c_row_stride, summaries}, device_);
}

}  // namespace looplm
