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
constexpr size_t kMostBytes = size_t{256} << 20;

}  // namespace

int64_t measure_knee(const ModelWeights& weights, Device& device) {
  const ModelConfig& config = weights.config();
  std::vector<const PackedMatrix*> matrices;
  size_t bytes = 0;
  for (int64_t layer = 0; layer < config.layers && bytes < kMostBytes; ++layer) {
    const BlockWeights& b = weights.block(layer);
    for (const PackedMatrix* m : {&b.qkv, &b.output, &b.gate_up, &b.down}) {
      matrices.push_back(m);
      bytes += m->bytes();
    }
  }
  int64_t widest = 0, tallest = 0;
  for (const PackedMatrix* m : matrices) {
    widest = std::max(widest, m->columns());
    tallest = std::max(tallest, m->terms());
  }
  Buffer<float> a(static_cast<size_t>(kLanes.back() * tallest));
  std::fill(a.begin(), a.end(), 0.01f);
  Buffer<float> c(static_cast<size_t>(kLanes.back() * widest));

  std::array<double, kLanes.size()> seconds;
  seconds.fill(std::numeric_limits<double>::infinity());
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kLanes.size(); ++i) {
      Timer timer;
      for (const PackedMatrix* m : matrices) {
        MatmulParams p;
        p.a = a.data();
        p.a_row_stride = m->terms();
        p.rows = kLanes[i];
        p.b = m;
        p.c = c.data();
        p.c_row_stride = m->columns();
        matmul(p, device);
      }
      seconds[i] = std::min(seconds[i], timer.seconds());
    }
  }
  int64_t knee = 1;
  for (size_t i = 0; i < kLanes.size() && seconds[i] <= kMostRatio * seconds[0]; ++i) {
    knee = kLanes[i];
  }
  return knee;
}

}  // namespace looplm
