#include "infer/pass.h"

#include <cmath>
#include <cstring>

#include "base/check.h"

namespace looplm {

// Attention of a pass: every lane against the pages of its own sequence and loop.
class PassRunner::Attention : public BlockAttention {
  static constexpr int64_t kStoreRows = 8;  // lanes per task

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
  }

  const RotaryTable& rotary() const override { return rotary_; }
  const int32_t* positions() const override { return positions_.data(); }

  void forward(int64_t layer, const float* qkv, float* out, float*, Device& device) override {
    const int64_t stride = config_.query_size() + 2 * config_.kv_size();
    const auto rows = static_cast<int64_t>(lanes_.size());
    pages_.clear();
    for (const Lane& lane : lanes_) {
      pages_.push_back(lane.cache->reserve(lane.loop, layer, lane.position));
    }
    const KvLayout& layout = lanes_.front().cache->layout();
    device.for_pieces(rows, kStoreRows, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const float* k = qkv + r * stride + config_.query_size();
        store_kv(layout, k, k + config_.kv_size(), lanes_[static_cast<size_t>(r)].position,
                 pages_[static_cast<size_t>(r)]);
      }
    });
    queries_.clear();
    for (int64_t r = 0; r < rows; ++r) {
      const Lane& lane = lanes_[static_cast<size_t>(r)];
      if (r > 0 && continues(lanes_[static_cast<size_t>(r - 1)], lane)) {
        ++queries_.back().rows;
      } else {
        const KvPlane& plane = lane.cache->plane(lane.loop, layer);
        queries_.push_back({r, 1, lane.position, plane.pages.data()});
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
  static bool continues(const Lane& before, const Lane& lane) {
    return before.cache == lane.cache && before.loop == lane.loop &&
           before.position + 1 == lane.position;
  }

  const ModelConfig& config_;
  RotaryTable rotary_;
  std::span<Lane> lanes_;
  std::vector<int32_t> positions_;
  std::vector<CachedQueries> queries_;
  std::vector<std::byte*> pages_;  // of each lane
};

PassRunner::PassRunner(const ModelWeights& weights, Device& device)
    : weights_(weights), device_(device), attention_(new Attention(weights.config())) {}

PassRunner::~PassRunner() = default;

void PassRunner::run(std::span<Lane> lanes, BlockHook* hook) {
  if (lanes.empty()) return;
  const ModelConfig& config = weights_.config();
  const int64_t width = config.hidden_size;
  const auto rows = static_cast<int64_t>(lanes.size());
  const auto floats = static_cast<size_t>(rows * width);
  const auto row_bytes = static_cast<size_t>(width) * sizeof(float);
  if (x_.size() < floats) {
    x_ = Buffer<float>(floats);
    normed_ = Buffer<float>(floats);
    activations_ = Buffer<float>(static_cast<size_t>(BlockActivations::floats(config, rows)));
    gate_logits_.resize(static_cast<size_t>(rows));
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(x_.data() + r * width, lanes[static_cast<size_t>(r)].state, row_bytes);
  }

  attention_->set_lanes(lanes, device_);
  BlockActivations a = BlockActivations::assign(config, rows, activations_.data());
  a.middle = x_.data();  // nothing is kept: blocks work in place
  a.attention_log_sum = nullptr;
  a.inverse_rms = nullptr;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    block_forward(config, weights_.block(layer), layer, x_.data(), a, *attention_, x_.data(),
                  device_);
    if (hook != nullptr) hook->after_block(layer, lanes, x_.data());
  }
  rms_norm_forward({x_.data(), weights_.final_norm(), static_cast<float>(config.rms_norm_eps), rows,
                    width, normed_.data(), nullptr},
                   device_);
  if (config.exit_gate) {
    gate_forward({normed_.data(), weights_.gate_weight(), weights_.gate_bias(), rows, width,
                  gate_logits_.data()},
                 device_);
  }
  const float* carried = config.norm_between_loops ? normed_.data() : x_.data();
  for (int64_t r = 0; r < rows; ++r) {
    Lane& lane = lanes[static_cast<size_t>(r)];
    std::memcpy(lane.state, carried + r * width, row_bytes);
    std::memcpy(lane.normed, normed_.data() + r * width, row_bytes);
    lane.gate_logit = config.exit_gate ? gate_logits_[static_cast<size_t>(r)] : 0.0f;
  }
  ++passes_;
  lanes_run_ += rows;
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
