#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace looplm {
namespace {

bool decays(ParameterRole role) {
  return role != ParameterRole::kNorm && role != ParameterRole::kGateBias;
}

}  // namespace

double Optimizer::step(ParameterSet& parameters, const ParameterSet& gradients,
                       double learning_rate, Device& device) {
  const std::vector<ParameterSpec>& specs = parameters.specs();
  double squares = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    squares += sum_of_squares(gradients.data() + gradients.offset(i), specs[i].count(), device);
  }
  const double norm = std::sqrt(squares);
  // As torch.nn.utils.clip_grad_norm_ does.
  const double scale = settings_.clip > 0 ? std::min(1.0, settings_.clip / (norm + 1e-6)) : 1.0;

  ++steps_;
  AdamWParams p;
  p.gradient_scale = static_cast<float>(scale);
  p.learning_rate = learning_rate;
  p.beta1 = settings_.beta1;
  p.beta2 = settings_.beta2;
  p.epsilon = settings_.epsilon;
  p.step = steps_;
  for (size_t i = 0; i < specs.size(); ++i) {
    const int64_t at = parameters.offset(i);
    p.parameter = parameters.data() + at;
    p.first_moment = first_moments_.data() + at;
    p.second_moment = second_moments_.data() + at;
    p.gradient = gradients.data() + at;
    p.count = specs[i].count();
    p.weight_decay = decays(specs[i].role) ? settings_.weight_decay : 0;
    adamw(p, device);
  }
  return norm;
}

}  // namespace looplm
