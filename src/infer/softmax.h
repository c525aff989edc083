// Probabilities of a row of logits, in double: exit rules and samplers look at one row at a time,
// where accuracy costs nothing.
#ifndef LOOPLM_INFER_SOFTMAX_H_
#define LOOPLM_INFER_SOFTMAX_H_

#include <algorithm>
#include <cmath>
#include <span>

namespace looplm {

// log sum exp
inline double log_sum_exp(std::span<const float> logits) {
  const auto most = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return most + std::log(sum);
}

// What exit rules and reports say of a row.
struct SoftmaxSummary {
  double log_sum = 0;  // log sum exp
  double entropy = 0;  // nats
  double margin = 0;   // of the two largest probabilities; 1 for a vocabulary of one
  size_t best = 0;     // the first of equals, as greedy decoding takes

  // Of the token with this logit.
  float log_probability(float logit) const {
    return static_cast<float>(static_cast<double>(logit) - log_sum);
  }
};

inline SoftmaxSummary summarize_softmax(std::span<const float> logits) {
  SoftmaxSummary s;
  float second = -INFINITY;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[s.best]) {
      second = logits[s.best];
      s.best = i;
    } else if (logits[i] > second) {
      second = logits[i];
    }
  }
  const auto most = static_cast<double>(logits[s.best]);
  double sum = 0, weighted = 0;  // of e^d, and of d e^d; d the distance from the best, at most 0
  for (float logit : logits) {
    const double d = static_cast<double>(logit) - most;
    const double e = std::exp(d);
    sum += e;
    if (e > 0) weighted += d * e;
  }
  s.log_sum = most + std::log(sum);
  s.entropy = std::log(sum) - weighted / sum;
  s.margin = (1 - std::exp(static_cast<double>(second) - most)) / sum;
  return s;
}

}  // namespace looplm

#endif  // LOOPLM_INFER_SOFTMAX_H_
