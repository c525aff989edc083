#include "infer/knee.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>

#include "base/timer.h"

namespace looplm {
namespace {

// Not the numbers between: kernels take rows by fours, and a line through these is what a lane
// costs on average.
constexpr std::array<int64_t, 8> kLanes = {1, 4, 8, 12, 16, 24, 32, 64};
constexpr double kMostRatio = 1.25;
// Passes of more than this are not measured.
constexpr double kMostCost = 4;
constexpr int kRounds = 3;
// More than the last-level cache of most machines, so that a large model's are read from memory.
constexpr size_t kMostBytes = size_t{128} << 20;

// Times passes of lanes of as many sequences, each at its first position.
class PassTimer {
 public:
  explicit PassTimer(PassRunner& runner)
      : runner_(runner),
        layers_(layers_of(runner.weights())),
        pages_({runner.weights().config().kv_heads, runner.weights().config().head_dim}),
        arena_(runner.weights().config()),
        logits_(static_cast<size_t>(kLanes.back() * runner.weights().config().vocab_size)),
        summaries_(static_cast<size_t>(kLanes.back())) {
    for (int64_t i = 0; i < kLanes.back(); ++i) caches_.emplace_back(pages_, layers_, 1);
    time(1);  // brings the matrices in
  }

  // Seconds of a pass of all layers, and of reading it out.
  struct Seconds {
    double layers = std::numeric_limits<double>::infinity();
    double head = std::numeric_limits<double>::infinity();
  };
  Seconds time(int64_t lanes) {
    const ModelConfig& config = runner_.weights().config();
    arena_.resize(lanes);
    std::fill_n(arena_.state(0), lanes * config.hidden_size, 0.01f);
    std::vector<Lane> all;
    for (int64_t i = 0; i < lanes; ++i) {
      all.push_back({.cache = &caches_[static_cast<size_t>(i)]});
    }
    const Timer layers;
    runner_.run_layers(arena_, all, layers_);
    const double seconds = layers.seconds();
    const Timer head;
    runner_.read_out(arena_.normed(0), lanes, logits_.data(), summaries_.data());
    return {seconds * static_cast<double>(config.layers) / static_cast<double>(layers_),
            head.seconds()};
  }

 private:
  static int64_t layers_of(const ModelWeights& weights) {
    size_t bytes = 0;
    int64_t layers = 0;
    while (layers < weights.config().layers && bytes < kMostBytes) {
      const BlockWeights& b = weights.block(layers++);
      for (const PackedMatrix* m : {&b.qkv, &b.output, &b.gate_up, &b.down}) bytes += m->bytes();
    }
    return layers;
  }

  PassRunner& runner_;
  const int64_t layers_;
  PagePool pages_;
  std::deque<SequenceCache> caches_;
  LaneArena arena_;
  std::vector<float> logits_;
  std::vector<LogitSummary> summaries_;
};

}  // namespace

LaneCosts::LaneCosts(std::vector<Point> points) : points_(std::move(points)), knee_(1) {
  for (size_t i = 1; i < points_.size(); ++i) {
    const Point &a = points_[i - 1], &b = points_[i];
    if (b.cost <= kMostRatio) {
      knee_ = b.lanes;
      continue;
    }
    const double share = (kMostRatio - a.cost) / (b.cost - a.cost);
    knee_ = a.lanes + static_cast<int64_t>(share * static_cast<double>(b.lanes - a.lanes));
    break;
  }
}

double LaneCosts::least(int64_t lanes, int64_t sharers, bool reads) const {
  if (points_.empty()) return lanes < knee_ ? 0 : 2;
  // The line through the points around the new lane: what it costs, and what the pass costs without
  // any.
  size_t after = 1;
  while (after + 1 < points_.size() && points_[after].lanes <= lanes) ++after;
  const Point &a = points_[after - 1], &b = points_[after];
  const auto between = static_cast<double>(b.lanes - a.lanes);
  const double layers = (b.cost - a.cost) / between;
  const double step = layers + std::max(0.0, b.read_out - a.read_out) / between;
  const double rest =
      (a.cost - layers * static_cast<double>(a.lanes)) / static_cast<double>(sharers);
  const double read_out = reads ? points_[0].read_out / static_cast<double>(sharers) : 0;
  return rest > 0 ? (step + read_out) / (step + rest) : 2;
}

LaneCosts measure_lane_costs(PassRunner& runner) {
  PassTimer timer(runner);
  // The best of a few rounds: a busy machine only ever adds to them.
  std::array<PassTimer::Seconds, kLanes.size()> best;
  size_t count = kLanes.size();
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < count; ++i) {
      const PassTimer::Seconds seconds = timer.time(kLanes[i]);
      best[i].layers = std::min(best[i].layers, seconds.layers);
      best[i].head = std::min(best[i].head, seconds.head);
      if (i > 0 && best[i].layers > kMostCost * best[0].layers) count = i + 1;
    }
  }
  std::vector<LaneCosts::Point> points;
  for (size_t i = 0; i < count; ++i) {
    const double cost = best[i].layers / best[0].layers;
    points.push_back({kLanes[i], i == 0 ? 1 : std::max(points.back().cost, cost),
                      best[i].head / best[0].layers});
  }
  return LaneCosts(std::move(points));
}

}  // namespace looplm
