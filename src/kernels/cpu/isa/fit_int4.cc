// Rounds groups of weights to int4: lanes are groups, so that each group's sums have one order on
// every instruction set.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int kGroups = kVectorBytes / 8;  // worked on together, a double each
typedef double D __attribute__((vector_size(kVectorBytes)));
typedef float F __attribute__((vector_size(kVectorBytes / 2)));
typedef int32_t I __attribute__((vector_size(kVectorBytes / 2)));

LOOPLM_INLINE F all(float x) { return x - F{}; }
LOOPLM_INLINE D wide(F x) { return __builtin_convertvector(x, D); }
LOOPLM_INLINE F narrow(D x) { return __builtin_convertvector(x, F); }
LOOPLM_INLINE F clamped(F x, float low, float high) {
  x = x < all(low) ? all(low) : x;
  return all(high) < x ? all(high) : x;
}

// To the nearest value that fp16 holds, ties to even.
LOOPLM_INLINE F round_to_half(F x) {
  constexpr float kMostHalf = 65504.0f;
  constexpr int32_t kLeastNormal = 0x38800000;  // 2^-14
  constexpr int32_t kSign = INT32_MIN;
  x = clamped(x, -kMostHalf, kMostHalf);
  I bits;
  memcpy(&bits, &x, sizeof(bits));
  const I normal = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff;
  const F small = (x + all(0.75f)) - all(0.75f);  // to multiples of 2^-24
  I small_bits;
  memcpy(&small_bits, &small, sizeof(small_bits));
  small_bits |= bits & kSign;
  const I rounded = (bits & ~kSign) < kLeastNormal ? small_bits : normal;
  memcpy(&x, &rounded, sizeof(x));
  return x;
}

// Evenly spaced levels: minimum + scale * q.
struct Range {
  F minimum;
  F scale;
};

LOOPLM_INLINE Range rounded_range(F minimum, F scale) {
  return {round_to_half(minimum), round_to_half(scale)};
}

class GroupFit {
 public:
  // Weight i of group g at weights[i * kGroups + g].
  GroupFit(const float* weights, int64_t count) : weights_(weights), count_(count) {
    for (int64_t i = 0; i < count; ++i) sum_ += wide(at(i));
  }

  // Cutting the extremes off a little often pays: the many weights between get finer levels. The
  // best of a few cuts, each with its best fit.
  Range best() const {
    F least = at(0), most = least;
    for (int64_t i = 1; i < count_; ++i) {
      const F w = at(i);
      least = w < least ? w : least;
      most = w < most ? most : w;
    }
    const F range = most - least;
    Range best = rounded_range(least, range / 15.0f);
    D least_error = error(best);
    constexpr float kCuts[] = {0.0f, 0.04f, 0.08f};
    for (const float cut : kCuts) {
      const Range fitted = refit(rounded_range(least + cut * range, (1 - 2 * cut) * range / 15.0f));
      const D fitted_error = error(fitted);
      const auto better = fitted_error < least_error;
      const I chosen = __builtin_convertvector(better, I);
      least_error = better ? fitted_error : least_error;
      best.minimum = chosen ? fitted.minimum : best.minimum;
      best.scale = chosen ? fitted.scale : best.scale;
    }
    return best;
  }

  // levels[i * kGroups + g]
  void round(const Range& r, int32_t* levels) const {
    const F inverse = inverse_of(r);
    for (int64_t i = 0; i < count_; ++i) {
      const I whole = __builtin_convertvector(level(r, inverse, at(i)), I);
      memcpy(levels + i * kGroups, &whole, sizeof(whole));
    }
  }

 private:
  LOOPLM_INLINE F at(int64_t i) const {
    F w;
    memcpy(&w, weights_ + i * kGroups, sizeof(w));
    return w;
  }
  static LOOPLM_INLINE F inverse_of(const Range& r) {
    return r.scale > all(0) ? 1.0f / r.scale : all(0);
  }
  static LOOPLM_INLINE F level(const Range& r, F inverse, F w) {
    const F shift = all(0x1.8p23f);  // adding it rounds to the nearest whole number
    return (clamped((w - r.minimum) * inverse, 0, 15) + shift) - shift;
  }

  D error(const Range& r) const {
    const F inverse = inverse_of(r);
    D sum = {};
    for (int64_t i = 0; i < count_; ++i) {
      const F d = r.minimum + level(r, inverse, at(i)) * r.scale - at(i);
      sum += wide(d * d);
    }
    return sum;
  }

  // The scale and minimum that fit these levels best, by least squares.
  Range refit(const Range& r) const {
    const F inverse = inverse_of(r);
    F levels = {}, squares = {};  // whole numbers that floats hold
    D products = {};
    for (int64_t i = 0; i < count_; ++i) {
      const F q = level(r, inverse, at(i));
      levels += q;
      squares += q * q;
      products += wide(q) * wide(at(i));
    }
    const auto n = static_cast<double>(count_);
    const D spread = n * wide(squares) - wide(levels) * wide(levels);
    const D scale = (n * products - wide(levels) * sum_) / spread;
    const Range fitted = rounded_range(narrow((sum_ - scale * wide(levels)) / n), narrow(scale));
    const I spreads = __builtin_convertvector(spread > D{}, I);
    return {spreads ? fitted.minimum : r.minimum, spreads ? fitted.scale : r.scale};
  }

  const float* weights_;
  int64_t count_;
  D sum_ = {};
};

void fit_int4(const float* weights, int64_t terms, uint8_t* levels, float* scales,
              float* minimums) {
  const int64_t groups = (terms + kQuantGroup - 1) / kQuantGroup;
  int64_t together = 0;
  for (int64_t first = 0; first < groups; first += together) {
    // Whole groups together; then the last one, if it is not whole.
    const int64_t whole = terms / kQuantGroup - first;
    const int64_t count = whole > 0 ? kQuantGroup : terms % kQuantGroup;
    together = whole <= 0 ? 1 : whole < kGroups ? whole : kGroups;
    alignas(64) float columns[kQuantGroup * kGroups];
    alignas(64) int32_t rounded[kQuantGroup * kGroups];
    for (int64_t g = 0; g < kGroups; ++g) {
      const int64_t group = first + (g < together ? g : 0);  // nobody reads the others
      for (int64_t i = 0; i < count; ++i) {
        columns[i * kGroups + g] = weights[group * kQuantGroup + i];
      }
    }
    const GroupFit fit(columns, count);
    const Range best = fit.best();
    fit.round(best, rounded);
    for (int64_t g = 0; g < together; ++g) {
      scales[first + g] = best.scale[g];
      minimums[first + g] = best.minimum[g];
      uint8_t* to = levels + (first + g) * kQuantGroup;
      for (int64_t i = 0; i < kQuantGroup; ++i) {
        to[i] = i < count ? static_cast<uint8_t>(rounded[i * kGroups + g]) : 0;
      }
    }
  }
}

}  // namespace

void add_fit_kernels(KernelTable& table) { table.fit_int4 = fit_int4; }

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
