// A step of the online softmax over keys and values in bf16.
#ifndef LOOPLM_KERNELS_CPU_ISA_SOFTMAX_STEP_H_
#define LOOPLM_KERNELS_CPU_ISA_SOFTMAX_STEP_H_

#include "kernels/cpu/isa/bf16_rounding.h"
#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// A step takes four blocks: its maximum, its correction and its way through the outputs are paid
// once for 128 keys.
constexpr int64_t kStepBlocks = 4;
constexpr int64_t kStepKeys = kStepBlocks * kPanel;
constexpr int64_t kBlockPairs = kPanel / 2;  // of keys

// One row's step over the first `valid` keys, at least one; the others weigh nothing. `weights`
// gets pairs of bf16, with `stride` words between blocks. Returns the factor for what was collected
// before.
LOOPLM_INLINE float weigh_step(const float* scores, int64_t blocks, int64_t valid, float scale,
                               float* running_maximum, float* sums, uint32_t* weights,
                               int64_t stride) {
  constexpr int kVectors = static_cast<int>(kPanel) / kLanes;  // of a block
  constexpr int kAll = kStepBlocks * kVectors;
  const int count = static_cast<int>(blocks) * kVectors;
  const V nothing = set1(-__builtin_inff());
  VI lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  V s[kAll];
  V most = set1(*running_maximum);
#pragma GCC unroll 16
  for (int g = 0; g < kAll; ++g) {
    if (g >= count) {
      s[g] = nothing;
      continue;
    }
    s[g] = load(scores + g * kLanes) * set1(scale);
    const VI limit = static_cast<int32_t>(valid - g * kLanes) - VI{};
    s[g] = lane < limit ? s[g] : nothing;
    most = maximum(most, s[g]);
  }
  const float now = max_lanes(most);
  const float correction = exponential(set1(*running_maximum - now))[0];
  *running_maximum = now;
  V sum[kVectors] = {};
#pragma GCC unroll 16
  for (int b = 0; b < kStepBlocks; ++b) {
    if (b >= blocks) break;
    float p[kVectors * kLanes];
#pragma GCC unroll 16
    for (int g = 0; g < kVectors; ++g) {
      const V e = exponential(s[b * kVectors + g] - set1(now));
      sum[g] = sum[g] + e;
      store(p + g * kLanes, e);
    }
#pragma GCC unroll 16
    for (int g = 0; g < kVectors; g += 2) {
      round_two_vectors(p + g * kLanes, weights + b * stride + g * kLanes / 2);
    }
  }
#pragma GCC unroll 16
  for (int g = 0; g < kVectors; ++g) {
    store(sums + g * kLanes, fma(load(sums + g * kLanes), set1(correction), sum[g]));
  }
  return correction;
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_SOFTMAX_STEP_H_
