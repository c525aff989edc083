// AdamW over a ParameterSet, with global-norm clipping.
#ifndef LOOPLM_TRAIN_OPTIMIZER_H_
#define LOOPLM_TRAIN_OPTIMIZER_H_

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model/parameter_set.h"

namespace looplm {

struct OptimizerSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  // On matrices: projections, embedding, head, gate weight; not on norms and biases.
  double weight_decay = 0.1;
  double clip = 1.0;  // largest global gradient norm; 0: no clipping
  bool operator==(const OptimizerSettings&) const = default;
};

class Optimizer {
 public:
  // Of the parameters that are trained.
  Optimizer(const std::vector<ParameterSpec>& trained, const OptimizerSettings& settings)
      : settings_(settings), first_moments_(trained), second_moments_(trained) {}

  // One step with gradients that are sums already scaled to the mean; both sets are of the trained
  // parameters. Returns the norm before clipping.
  double step(ParameterSet& parameters, const ParameterSet& gradients, double learning_rate,
              Device& device);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  ParameterSet& first_moments() { return first_moments_; }
  const ParameterSet& first_moments() const { return first_moments_; }
  ParameterSet& second_moments() { return second_moments_; }
  const ParameterSet& second_moments() const { return second_moments_; }

 private:
  OptimizerSettings settings_;
  ParameterSet first_moments_;
  ParameterSet second_moments_;
  int64_t steps_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_TRAIN_OPTIMIZER_H_
