// The distribution over exit loops that the gate defines (arXiv:2510.25741 section 3.2, equation
// 3).
//
// With gate logits z_1..z_T and lambda_t = sigmoid(z_t): p_t = lambda_t prod_{j<t} (1 - lambda_j)
// for t < T, and p_T = prod_{j<T} (1 - lambda_j); z_T is not used. Computed in log space: log
// lambda = -softplus(-z), log(1 - lambda) = -softplus(z).
#ifndef LOOPLM_MODEL_EXIT_DISTRIBUTION_H_
#define LOOPLM_MODEL_EXIT_DISTRIBUTION_H_

#include <cmath>
#include <span>

namespace looplm {

// log(1 + e^x) without overflow.
inline double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
inline double log_sigmoid(double x) { return -softplus(-x); }
inline double sigmoid(double x) { return std::exp(log_sigmoid(x)); }

// log p_t for every loop; both spans have T elements, T >= 1.
inline void exit_log_probabilities(std::span<const float> gate_logits, std::span<double> log_p) {
  double log_survival = 0;  // log prod_{j<t} (1 - lambda_j)
  const size_t last = gate_logits.size() - 1;
  for (size_t t = 0; t < last; ++t) {
    const auto z = static_cast<double>(gate_logits[t]);
    log_p[t] = log_survival + log_sigmoid(z);
    log_survival -= softplus(z);
  }
  log_p[last] = log_survival;
}

}  // namespace looplm

#endif  // LOOPLM_MODEL_EXIT_DISTRIBUTION_H_
