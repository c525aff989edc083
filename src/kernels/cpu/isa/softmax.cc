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
  for (; i + kLanes <= n; i += kLanes) most = maximum(most, load(x + i));
  float result = max_lanes(most);
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

// With s the logits, m their maximum and Z = sum exp(s - m): log sum = m + log Z, and the entropy
// of the softmax is log Z - sum exp(s - m) (s - m) / Z.
void softmax_statistics(const float* logits, int64_t n, float* log_sum, float* entropy) {
  const float most = row_maximum(logits, n);
  const V mv = set1(most);
  V z[2] = {};
  V weighted[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    for (int k = 0; k < 2; ++k) {
      const V d = load(logits + i + k * kLanes) - mv;
      const V e = exponential(d);
      z[k] = z[k] + e;
      weighted[k] = fma(e, d, weighted[k]);
    }
  }
  for_vectors(n - i, [&](int64_t j, int64_t lanes) {
    V d = set1(kMinusInfinity);
    for (int64_t k = 0; k < lanes; ++k) d[k] = logits[i + j + k] - most;
    const V e = exponential(d);
    z[0] = z[0] + e;
    for (int64_t k = 0; k < lanes; ++k) weighted[0][k] += e[k] * d[k];
  });
  const float total = sum_lanes(z[0] + z[1]);
  const float log_total = logf(total);
  *log_sum = most + log_total;
  if (entropy != nullptr) *entropy = log_total - sum_lanes(weighted[0] + weighted[1]) / total;
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
  table.softmax_statistics = softmax_statistics;
  table.softmax_gradient = softmax_gradient;
  table.softmax_block = softmax_block;
  table.sum_panel = sum_panel;
  table.softmax_block_again = softmax_block_again;
  table.softmax_block_backward = softmax_block_backward;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
