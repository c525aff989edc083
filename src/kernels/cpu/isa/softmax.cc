// Softmax: whole rows of logits for the loss, and blocks of attention scores for the online form.
#include <math.h>

#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr int kVectorsPerPanel = static_cast<int>(kPanel) / kLanes;

float row_maximum(const float* x, int64_t n) {
  V most = set1(kMinusInfinity);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = maximum(load(x + i), most);
  float result = max_lanes(most);
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

int64_t find(const float* x, int64_t n, float value) {
  constexpr int64_t kStep = 4 * kLanes;
  const V wanted = set1(value);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    VI hits = {};
    for (int64_t k = 0; k < kStep; k += kLanes) hits |= load(x + i + k) == wanted;
    if (lane_mask(hits) != 0) break;
  }
  for (; i < n; ++i) {
    if (x[i] == value) return i;
  }
  return -1;
}

// NaN if there is one, else 0.
float nan_among(const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] != x[i]) return x[i];
  }
  return 0;
}

SoftmaxPart softmax_part(const float* logits, int64_t n) {
  SoftmaxPart part;
  part.most = row_maximum(logits, n);
  if (part.most == kMinusInfinity) {
    part.sum = nan_among(logits, n);
    part.weighted = part.sum;
    return part;
  }
  const V most = set1(part.most);
  // Far below where the exponential is 0: there -infinity times 0 would be NaN.
  const V floor = set1(-200.0f);
  V sum[2] = {};
  V weighted[2] = {};
  V zero[2] = {};  // becomes NaN at a logit that is not finite
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    for (int k = 0; k < 2; ++k) {
      const V x = load(logits + i + k * kLanes);
      const V d = x - most;
      const V e = exponential(d);
      sum[k] = sum[k] + e;
      weighted[k] = fma(e, maximum(d, floor), weighted[k]);
      zero[k] = fma(x, V{}, zero[k]);
    }
  }
  for_vectors(n - i, [&](int64_t j, int64_t lanes) {
    const V x = load_some(logits + i + j, lanes);
    V d = x - most;
    for (int64_t k = lanes; k < kLanes; ++k) d[k] = kMinusInfinity;
    const V e = exponential(d);
    sum[0] = sum[0] + e;
    weighted[0] = fma(e, maximum(d, floor), weighted[0]);
    zero[0] = fma(x, V{}, zero[0]);
  });
  part.sum = sum_lanes(sum[0] + sum[1]);
  part.weighted = sum_lanes(weighted[0] + weighted[1]);
  part.finite = sum_lanes(zero[0] + zero[1]) == 0;
  return part;
}

void softmax_gradient(float* logits, int64_t n, float log_sum, float scale, int64_t target) {
  const V shift = set1(log_sum);
  const V factor = set1(scale);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    store_some(logits + i, exponential(load_some(logits + i, lanes) - shift) * factor, lanes);
  });
  if (target >= 0) logits[target] -= scale;
}

// Lanes of vector g of a panel whose column is below `valid` keep x, others take `other`.
LOOPLM_INLINE V keep_valid(V x, int g, int64_t valid, float other) {
  VI lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = g * kLanes + i;
  const VI limit = static_cast<int32_t>(valid) - VI{};
  return lane < limit ? x : set1(other);
}

float softmax_block(float* scores, int64_t valid, float scale, float* running_maximum,
                    float* sums) {
  if (valid <= 0) {
    for (int g = 0; g < kVectorsPerPanel; ++g) store(scores + g * kLanes, V{});
    return 1.0f;
  }
  V s[kVectorsPerPanel];
  V most = set1(*running_maximum);
  for (int g = 0; g < kVectorsPerPanel; ++g) {
    s[g] = keep_valid(load(scores + g * kLanes) * set1(scale), g, valid, kMinusInfinity);
    most = maximum(most, s[g]);
  }
  const float maximum_now = max_lanes(most);
  const float correction = exponential(set1(*running_maximum - maximum_now))[0];
  for (int g = 0; g < kVectorsPerPanel; ++g) {
    const V p = exponential(s[g] - set1(maximum_now));
    store(scores + g * kLanes, p);
    store(sums + g * kLanes, fma(load(sums + g * kLanes), set1(correction), p));
  }
  *running_maximum = maximum_now;
  return correction;
}

float sum_panel(const float* sums) {
  V total = load(sums);
  for (int g = 1; g < kVectorsPerPanel; ++g) total = total + load(sums + g * kLanes);
  return sum_lanes(total);
}

void softmax_block_again(float* scores, int64_t valid, float scale, float log_sum) {
  for (int g = 0; g < kVectorsPerPanel; ++g) {
    const V s = keep_valid(load(scores + g * kLanes) * set1(scale), g, valid, kMinusInfinity);
    store(scores + g * kLanes, exponential(s - set1(log_sum)));
  }
}

void softmax_block_backward(const float* p, float* dp, float delta, float scale) {
  for (int g = 0; g < kVectorsPerPanel; ++g) {
    const V d = load(dp + g * kLanes) - set1(delta);
    store(dp + g * kLanes, load(p + g * kLanes) * d * set1(scale));
  }
}

}  // namespace

void add_softmax_kernels(KernelTable& table) {
  table.maximum = row_maximum;
  table.find = find;
  table.softmax_part = softmax_part;
  table.softmax_gradient = softmax_gradient;
  table.softmax_block = softmax_block;
  table.sum_panel = sum_panel;
  table.softmax_block_again = softmax_block_again;
  table.softmax_block_backward = softmax_block_backward;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
