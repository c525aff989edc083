// Rows of logits on the way to a token: weights, selection, noise.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

typedef uint32_t VU __attribute__((vector_size(kVectorBytes)));
typedef uint64_t VL __attribute__((vector_size(kVectorBytes)));
constexpr int kLongLanes = kVectorBytes / 8;

float softmax_weights(const float* x, int64_t n, float most, float factor, float* weights) {
  V sum = {};
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    V d = (load_some(x + i, lanes) - set1(most)) * set1(factor);
    for (int64_t k = lanes; k < kLanes; ++k) d[k] = -__builtin_inff();
    const V e = exponential(d);
    store_some(weights + i, e, lanes);
    sum = sum + e;
  });
  return sum_lanes(sum);
}

int64_t group_maxima(const float* x, int64_t n, float* maxima) {
  constexpr int64_t kStep = kGroup * kLanes;
  int64_t groups = 0;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep, groups += kLanes) {
    V most = load(x + i);
    for (int64_t k = kLanes; k < kStep; k += kLanes) most = maximum(load(x + i + k), most);
    store(maxima + groups, most);
  }
  for (; i < n; i += kGroup, ++groups) {
    const int64_t end = i + kGroup < n ? i + kGroup : n;
    maxima[groups] = x[i];
    for (int64_t k = i + 1; k < end; ++k) {
      if (x[k] > maxima[groups]) maxima[groups] = x[k];
    }
  }
  return groups;
}

int64_t at_least(const float* x, int64_t n, float least, int32_t* indices) {
  const V bound = set1(least);
  int64_t found = 0;
  int64_t i = 0;
#if defined(__AVX512F__)
  VI index;
  for (int k = 0; k < kLanes; ++k) index[k] = k;
#endif
  for (; i + kLanes <= n; i += kLanes) {
    uint32_t mask = lane_mask(load(x + i) >= bound);
#if defined(__AVX512F__)
    // A whole vector: `found` is at most i, so it ends within the n that there is room for.
    const __m512i kept = _mm512_maskz_compress_epi32(
        static_cast<__mmask16>(mask), reinterpret_cast<__m512i>(index + static_cast<int32_t>(i)));
    _mm512_storeu_si512(indices + found, kept);
    found += __builtin_popcount(mask);
#else
    for (; mask != 0; mask &= mask - 1) {
      indices[found++] = static_cast<int32_t>(i) + __builtin_ctz(mask);
    }
#endif
  }
  for (; i < n; ++i) {
    if (x[i] >= least) indices[found++] = static_cast<int32_t>(i);
  }
  return found;
}

int64_t first_below(const uint32_t* words, const float* weights, int64_t n, float limit) {
  const V factor = set1(limit);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    VU word;
    memcpy(&word, words + i, sizeof(word));
    const V left = __builtin_convertvector(reinterpret_cast<VI>(~word >> 1), V);
    const uint32_t mask = lane_mask(left < load(weights + i) * factor);
    if (mask != 0) return i + __builtin_ctz(mask);
  }
  for (; i < n; ++i) {
    if (static_cast<float>(~words[i] >> 1) < weights[i] * limit) return i;
  }
  return n;
}

// Products of the lower halves of each lane.
LOOPLM_INLINE VL multiply_lower(VL a, VL b) {
#if defined(__AVX512F__)
  return reinterpret_cast<VL>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<VL>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// Lanes of `a` (below kLongLanes) and `b` (from there on), as `order` names them.
LOOPLM_INLINE VL interleaved(VL a, VL b, VL order) {
#if defined(__clang__)  // has no shuffle by a vector; the fuzz targets alone are built with it
  VL out = {};
  for (int k = 0; k < kLongLanes; ++k) {
    const auto lane = static_cast<int>(order[k]);
    out[k] = lane < kLongLanes ? a[lane] : b[lane - kLongLanes];
  }
  return out;
#else
  return __builtin_shuffle(a, b, order);
#endif
}

// A block per lane; the words of base/rng.h's philox() are the lower halves, and what the upper
// ones hold does not matter.
void philox_words(uint64_t key, uint64_t counter_high, uint64_t first, int64_t blocks,
                  uint32_t* words) {
  const VL zero = {};
  VL lane, low, high;
  for (int k = 0; k < kLongLanes; ++k) lane[k] = static_cast<uint64_t>(k);
  for (int k = 0; k < kLongLanes; ++k) {
    low[k] = static_cast<uint64_t>(k % 2 == 0 ? k / 2 : kLongLanes + k / 2);
    high[k] = low[k] + kLongLanes / 2;
  }
  for (int64_t b = 0; b < blocks; b += kLongLanes) {
    const VL counter = lane + (first + static_cast<uint64_t>(b));
    VL c0 = counter, c1 = counter >> 32, c2 = zero + counter_high, c3 = zero + (counter_high >> 32);
    uint32_t k0 = static_cast<uint32_t>(key);
    uint32_t k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const VL p0 = multiply_lower(c0, zero + uint64_t{0xD2511F53u});
      const VL p1 = multiply_lower(c2, zero + uint64_t{0xCD9E8D57u});
      c0 = (p1 >> 32) ^ c1 ^ (zero + uint64_t{k0});
      c2 = (p0 >> 32) ^ c3 ^ (zero + uint64_t{k1});
      c1 = p1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    const VL first_words = (c0 & 0xffffffffu) | (c1 << 32);
    const VL last_words = (c2 & 0xffffffffu) | (c3 << 32);
    const VL out[2] = {interleaved(first_words, last_words, low),
                       interleaved(first_words, last_words, high)};
    memcpy(words + 4 * b, out, sizeof(out));
  }
}

}  // namespace

void add_sampling_kernels(KernelTable& table) {
  table.softmax_weights = softmax_weights;
  table.group_maxima = group_maxima;
  table.at_least = at_least;
  table.first_below = first_below;
  table.philox_words = philox_words;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
