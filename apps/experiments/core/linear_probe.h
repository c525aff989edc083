// Linear probes: can a hyperplane in the space of hidden states tell two classes apart?
//
// L2-regularised logistic regression on standardised features. With z a state less the training
// mean, divided by the training deviation per element,
//
//   minimise  sum_i log(1 + exp(-s_i (w z_i + b))) + penalty / 2 |w|^2,   s_i = -1 or +1,
//
// b not penalised: scikit-learn's LogisticRegression with C = 1 / penalty after a StandardScaler.
// The minimum is unique and is found by Newton's method, in the space of the examples where they
// are fewer than the elements.
#ifndef LOOPLM_EXPERIMENTS_CORE_LINEAR_PROBE_H_
#define LOOPLM_EXPERIMENTS_CORE_LINEAR_PROBE_H_

#include <span>
#include <vector>

#include "experiments/core/labelled_states.h"

namespace looplm {

struct ProbeOptions {
  double penalty = 1;  // positive
};

class LinearProbe {
 public:
  // On these rows of the data, each class at least once. Fails where the data does (check() above)
  // or a row is out of range.
  static Result<LinearProbe> fit(const LabelledStates& data, std::span<const size_t> rows,
                                 const ProbeOptions& options = {});

  // Log-odds of class 1.
  double score(std::span<const float> state) const;

  // Of the raw, not standardised, elements; elements that did not vary have 0.
  const std::vector<double>& weights() const { return weights_; }
  double bias() const { return bias_; }

 private:
  std::vector<double> weights_;
  double bias_ = 0;
};

// Area under the curve of true over false positives: the chance that a random example of class 1
// has a higher score than one of class 0, ties counting half. NaN where a class is missing.
double roc_auc(std::span<const double> scores, std::span<const uint8_t> labels);

// Each example judged by a probe that was fitted without it.
struct ProbeQuality {
  std::vector<double> scores;  // held-out log-odds, in the order of the examples
  std::vector<uint8_t> right;  // whether the score's sign is the label's
  double accuracy = 0;
  double auc = 0;  // over all held-out scores
};

struct CrossValidation {
  size_t folds = 5;   // from 2; each class has at least as many examples
  uint64_t seed = 1;  // which examples share a fold; classes are spread evenly
};

Result<ProbeQuality> cross_validate_probe(const LabelledStates& data, const CrossValidation& how,
                                          const ProbeOptions& options = {});

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_LINEAR_PROBE_H_
