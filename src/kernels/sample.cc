#include "kernels/sample.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace looplm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Weights are summed in parts of this many.
constexpr int64_t kWeightsAtOnce = 4096;
// Tokens whose noise is drawn together.
constexpr int64_t kStretch = 1024;
// A set is kept as a list once it is this many times smaller than what it was chosen from.
constexpr int64_t kSparse = 8;

double gumbel_of(uint32_t word) {
  // All 32 bits: with the 23 of a float, no token could be more than 16.6 ahead of its logit.
  return -std::log(-std::log((static_cast<double>(word) + 0.5) * 0x1p-32));
}

uint32_t noise_word(uint64_t seed, int64_t position, int32_t token) {
  const auto id = static_cast<uint32_t>(token);
  return philox(seed, static_cast<uint64_t>(position), id / 4)[id % 4];
}

auto ranks_before(const float* values) {
  return [values](int32_t a, int32_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
  };
}

// Writes the ids of the `count` first-ranked of n values to `ids`, in any order; 1 <= count <= n.
// `ids` has room for n.
void select_first(const float* values, int64_t n, int64_t count, const cpu::KernelTable& kernels,
                  int32_t* ids) {
  // As many groups as tokens wanted have a value of at least the count-th largest of the groups'
  // maxima, so the ones wanted have too.
  std::vector<float> maxima(static_cast<size_t>(n / cpu::kGroup + 1));
  const int64_t groups = kernels.group_maxima(values, n, maxima.data());
  float least = -kInfinity;
  if (count <= groups) {
    const auto last = maxima.begin() + count - 1;
    std::nth_element(maxima.begin(), last, maxima.begin() + groups, std::greater<>());
    least = *last;
  }
  const int64_t candidates = kernels.at_least(values, n, least, ids);
  std::nth_element(ids, ids + count - 1, ids + candidates, ranks_before(values));
}

// Buckets of weights from 1 downwards, 64 to each halving; the last one takes all below 2^-32.
constexpr int64_t kBuckets = 2048;
int64_t bucket_of(float weight) {
  const int32_t below = std::bit_cast<int32_t>(1.0f) - std::bit_cast<int32_t>(weight);
  return std::clamp<int64_t>(below >> 17, 0, kBuckets - 1);
}

// One row on its way to a token.
class RowSampler {
 public:
  static int64_t floats(int64_t vocabulary) { return 4 * vocabulary; }

  RowSampler(const SampleRow& row, int64_t vocabulary, float* scratch,
             const cpu::KernelTable& kernels)
      : row_(row),
        rule_(row.rule),
        kernels_(kernels),
        vocabulary_(vocabulary),
        altered_(scratch),
        weights_(altered_ + vocabulary),
        gathered_(weights_ + vocabulary),
        ids_(reinterpret_cast<int32_t*>(gathered_ + vocabulary)),
        values_(row.logits),
        top_(row.summary->best),
        most_(static_cast<double>(row.summary->best_logit)) {}

  int32_t run() {
    if (!row_.overrides.empty() || !row_.allowed.empty()) alter();
    if (rule_.temperature == 0 || top_ < 0 || !row_.summary->finite) return top_;
    keep_top_k();
    if (rule_.top_p < 1) keep_top_p();
    if (rule_.min_p > 0) keep_min_p();
    return race();
  }

 private:
  bool allowed(int32_t token) const {
    const auto at = static_cast<size_t>(token);
    return row_.allowed.empty() || (row_.allowed[at / 32] >> (at % 32) & 1) != 0;
  }

  // Puts the changed row into altered_, as differences from its best: these are small where it
  // matters, even when the logits themselves are too large for fp32.
  void alter() {
    std::copy_n(row_.logits, vocabulary_, altered_);
    for (int64_t i = 0; i < vocabulary_ && !row_.allowed.empty(); ++i) {
      if (!allowed(static_cast<int32_t>(i))) altered_[i] = -kInfinity;
    }
    for (const LogitOverride& o : row_.overrides) altered_[o.token] = -kInfinity;
    const float rest = kernels_.maximum(altered_, vocabulary_);
    most_ = static_cast<double>(rest);
    top_ =
        rest == -kInfinity ? -1 : static_cast<int32_t>(kernels_.find(altered_, vocabulary_, rest));
    for (const LogitOverride& o : row_.overrides) {
      if (!allowed(o.token) || !(o.logit >= most_) || o.logit == -INFINITY) continue;
      if (o.logit == most_ && o.token > top_) continue;
      most_ = o.logit;
      top_ = o.token;
    }
    const auto difference = [most = most_](double logit) {
      if (most == INFINITY) return logit == most ? 0.0f : -kInfinity;
      return static_cast<float>(logit - most);
    };
    for (int64_t i = 0; i < vocabulary_; ++i) {
      altered_[i] = difference(static_cast<double>(altered_[i]));
    }
    for (const LogitOverride& o : row_.overrides) {
      if (allowed(o.token)) altered_[o.token] = difference(o.logit);
    }
    values_ = altered_;
    most_ = 0;
  }

  int32_t id(int64_t i) const { return listed_ ? ids_[i] : static_cast<int32_t>(i); }

  // The weights of `count` values; sets their sum.
  void weigh(const float* values, int64_t count) {
    // The factor is not 0, which would give a forbidden token a weight; and not infinite, which
    // would make NaN of the best one's.
    const auto factor = static_cast<float>(std::clamp(1 / rule_.temperature, 1e-37, 1e37));
    count_ = count;
    sum_ = 0;
    for (int64_t at = 0; at < count; at += kWeightsAtOnce) {
      sum_ += static_cast<double>(
          kernels_.softmax_weights(values + at, std::min(kWeightsAtOnce, count - at),
                                   static_cast<float>(most_), factor, weights_ + at));
    }
  }

  // The first top_k, as a list, or all.
  void keep_top_k() {
    if (rule_.top_k == 0 || rule_.top_k >= vocabulary_) {
      weigh(values_, vocabulary_);
      return;
    }
    select_first(values_, vocabulary_, rule_.top_k, kernels_, ids_);
    std::sort(ids_, ids_ + rule_.top_k);
    listed_ = true;
    for (int64_t i = 0; i < rule_.top_k; ++i) gathered_[i] = values_[ids_[i]];
    weigh(gathered_, rule_.top_k);
  }

  // Where all tokens are candidates and few have one of `values` >= least, lists those.
  void list_few(const float* values, float least) {
    if (listed_) return;
    const int64_t few = kernels_.at_least(values, vocabulary_, least, ids_);
    if (few > vocabulary_ / kSparse) return;
    listed_ = true;
    count_ = few;
    for (int64_t i = 0; i < count_; ++i) weights_[i] = weights_[ids_[i]];
  }

  void keep_top_p() {
    // The tokens below this weight are less in all than what may be left out.
    const double spare = (1 - rule_.top_p) * sum_ / static_cast<double>(count_);
    const auto least = static_cast<float>(spare * (1 - 1e-6));
    list_few(weights_, least);

    // Find the bucket in which enough is reached; only its tokens need an order.
    std::array<double, kBuckets> sums{};
    for (int64_t i = 0; i < count_; ++i) {
      if (weights_[i] < least) continue;
      sums[static_cast<size_t>(bucket_of(weights_[i]))] += static_cast<double>(weights_[i]);
    }
    const double enough = rule_.top_p * sum_;
    double sum = 0;
    int64_t border = 0;
    while (border + 1 < kBuckets && sum + sums[static_cast<size_t>(border)] < enough) {
      sum += sums[static_cast<size_t>(border++)];
    }
    std::vector<int64_t> order;
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t bucket = bucket_of(weights_[i]);
      if (bucket == border) order.push_back(i);
      if (bucket > border) weights_[i] = 0;
    }
    const auto before = ranks_before(values_);
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return before(id(a), id(b)); });
    for (int64_t i : order) {
      if (sum >= enough) {
        weights_[i] = 0;
      } else {
        sum += static_cast<double>(weights_[i]);
      }
    }
  }

  void keep_min_p() {
    const double lowest = rule_.temperature * std::log(rule_.min_p);  // as a difference from best
    list_few(values_, std::nextafter(static_cast<float>(most_ + lowest), -kInfinity));
    for (int64_t i = 0; i < count_; ++i) {
      if (static_cast<double>(values_[id(i)]) - most_ < lowest) weights_[i] = 0;
    }
  }

  // argmax of log weight and noise. With u the uniform number behind a token's noise, w its weight
  // and v the greatest sum so far, a token exceeds v only if -log(u) < w e^-v, hence only if 1 - u
  // < w e^-v. Few pass that test, and only those need logarithms.
  int32_t race() {
    enter(top_, noise_word(rule_.seed, row_.position, top_));
    if (listed_) {
      for (int64_t i = 0; i < count_; ++i) {
        const uint32_t word = noise_word(rule_.seed, row_.position, ids_[i]);
        if (static_cast<float>(~word >> 1) < weights_[i] * limit_) enter(ids_[i], word);
      }
      return winner_;
    }
    std::array<uint32_t, kStretch> words;
    for (int64_t first = 0; first < vocabulary_; first += kStretch) {
      const int64_t count = std::min(kStretch, vocabulary_ - first);
      kernels_.philox_words(rule_.seed, static_cast<uint64_t>(row_.position),
                            static_cast<uint64_t>(first / 4), (count + 3) / 4, words.data());
      const float* weights = weights_ + first;
      for (int64_t i = 0; i < count; ++i) {
        i += kernels_.first_below(words.data() + i, weights + i, count - i, limit_);
        if (i < count) enter(static_cast<int32_t>(first + i), words[static_cast<size_t>(i)]);
      }
    }
    return winner_;
  }

  void enter(int32_t token, uint32_t word) {
    const double log_weight = (static_cast<double>(values_[token]) - most_) / rule_.temperature;
    const double value = log_weight + gumbel_of(word);
    if (!(value > best_value_ || (value == best_value_ && token < winner_))) return;
    winner_ = token;
    best_value_ = value;
    // In halves of the words' units, and a little more than e^-v for what fp32 rounds.
    limit_ = static_cast<float>(0x1.001p31 * std::exp(-value));
  }

  const SampleRow& row_;
  const SampleRule& rule_;
  const cpu::KernelTable& kernels_;
  const int64_t vocabulary_;
  float* altered_;
  float* weights_;   // (count_); 0 for candidates that were dropped
  float* gathered_;  // values of a list
  int32_t* ids_;     // (count_) of a list, ascending
  const float* values_;
  int32_t top_;  // the first-ranked token
  double most_;  // its value

  bool listed_ = false;  // otherwise the candidates are all tokens
  int64_t count_ = 0;    // candidates
  double sum_ = 0;       // of the weights of the first top_k

  int32_t winner_ = -1;
  double best_value_ = -INFINITY;
  float limit_ = 0;
};

}  // namespace

double gumbel_noise(uint64_t seed, int64_t position, int32_t token) {
  return gumbel_of(noise_word(seed, position, token));
}

void sample(std::span<SampleRow> rows, int64_t vocabulary, Device& device) {
  const auto floats = static_cast<size_t>(RowSampler::floats(vocabulary));
  device.pool().parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t i, int thread) {
    SampleRow& row = rows[static_cast<size_t>(i)];
    row.token =
        RowSampler(row, vocabulary, device.thread_scratch(thread, floats), device.kernels()).run();
  });
}

std::vector<int32_t> most_likely(const float* logits, int64_t n, int64_t count,
                                 const cpu::KernelTable& kernels) {
  if (count == 0) return {};
  std::vector<int32_t> ids(static_cast<size_t>(n));
  select_first(logits, n, count, kernels, ids.data());
  ids.resize(static_cast<size_t>(count));
  std::sort(ids.begin(), ids.end(), ranks_before(logits));
  return ids;
}

}  // namespace looplm
