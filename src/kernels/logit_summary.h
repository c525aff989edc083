// What a row of logits says: its most likely tokens, its normaliser, how sure it is. The one place
// where logits become probabilities: exits, greedy decoding, log-probabilities, evaluation and
// training's loss all read these figures, so that the log-probability of a generated token is, bit
// for bit, the one that training computes from the same logits.
#ifndef LOOPLM_KERNELS_LOGIT_SUMMARY_H_
#define LOOPLM_KERNELS_LOGIT_SUMMARY_H_

#include <cmath>
#include <cstdint>

#include "kernels/device.h"

namespace looplm {

struct LogitSummary {
  int32_t best = 0;     // the most likely token; of equals the lowest id
  int32_t second = -1;  // the next one; -1 where no other logit is above -infinity
  float best_logit = 0;
  float second_logit = -INFINITY;
  // Whether every logit is finite. If not, the model is broken. NaN and +infinity make log_sum,
  // entropy and margin() NaN; -infinity only has no probability.
  bool finite = false;
  double log_sum = 0;  // log sum exp
  double entropy = 0;  // of the softmax, nats

  // p(best) - p(second); 1 for a vocabulary of one.
  double margin() const {
    return std::exp(static_cast<double>(best_logit) - log_sum) -
           std::exp(static_cast<double>(second_logit) - log_sum);
  }
  // Of the token with this logit.
  float log_probability(float logit) const {
    return static_cast<float>(static_cast<double>(logit) - log_sum);
  }
};

struct LogitSummaryParams {
  const float* logits = nullptr;  // (rows, vocabulary)
  int64_t rows = 0;
  int64_t vocabulary = 0;
  LogitSummary* out = nullptr;  // (rows)
};
void logit_summary(const LogitSummaryParams& params, Device& device);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_LOGIT_SUMMARY_H_
