#include "infer/knee.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/timer.h"

namespace looplm {
namespace {

constexpr std::array<int64_t, 9> kLanes = {1, 2, 4, 8, 12, 16, 24, 32, 64};
constexpr double kMostRatio = 1.25;
constexpr int kRounds = 3;
// More than the last-level cache of most machines, so that a large model's are read from memory.
constexpr size_t kMostBytes = size_t{128} << 20;

// Times products of the model's matrices with rows of lanes.
class LaneTimer {
 public:
  LaneTimer(const ModelWeights& weights, Device& device) : device_(device) {
    size_t bytes = 0;
    for (int64_t layer = 0; layer < weights.config().layers && bytes < kMostBytes; ++layer) {
      const BlockWeights& b = weights.block(layer);
      for (const PackedMatrix* m : {&b.qkv, &b.output, &b.gate_up, &b.down}) {
        matrices_.push_back(m);
        bytes += m->bytes();
        widest_ = std::max(widest_, m->columns());
        tallest_ = std::max(tallest_, m->terms());
      }
    }
    a_ = Buffer<float>(static_cast<size_t>(kLanes.back() * tallest_));
    std::fill(a_.begin(), a_.end(), 0.01f);
    c_ = Buffer<float>(static_cast<size_t>(kLanes.back() * widest_));
    time(1);  // brings the matrices in
  }

  // Whether products of so many lanes cost little more than those of one lane, by the best times of
  // a few rounds: a busy machine only ever adds to them.
  bool cheap(int64_t lanes) {
    double best = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      one_ = std::min(one_, time(1));
      best = std::min(best, time(lanes));
    }
    return best <= kMostRatio * one_;
  }

 private:
  double time(int64_t lanes) {
    const Timer timer;
    for (const PackedMatrix* m : matrices_) {
      MatmulParams p;
      p.a = a_.data();
      p.a_row_stride = m->terms();
      p.rows = lanes;
      p.b = m;
      p.c = c_.data();
      p.c_row_stride = m->columns();
      matmul(p, device_);
    }
    return timer.seconds();
  }

  Device& device_;
  std::vector<const PackedMatrix*> matrices_;
  int64_t widest_ = 0;
  int64_t tallest_ = 0;
  Buffer<float> a_;
  Buffer<float> c_;
  double one_ = std::numeric_limits<double>::infinity();  // seconds of one lane
};

}  // namespace

int64_t measure_knee(const ModelWeights& weights, Device& device) {
  LaneTimer timer(weights, device);
  // The largest index that is cheap lies in [low, high).
  size_t low = 0, high = kLanes.size();
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    (timer.cheap(kLanes[middle]) ? low : high) = middle;
  }
  return kLanes[low];
}

}  // namespace looplm
