#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace looplm {
namespace {

bool decays(ParameterRole role) {
  return role != ParameterRole::kNorm && role != ParameterRole::kGateBias;
}

// Of one parameter: a task for one thread. Sums of squares are added piece by piece.
struct Piece {
  size_t parameter;
  int64_t first;
  int64_t count;
};

std::vector<Piece> pieces_of(const std::vector<ParameterSpec>& specs) {
  constexpr int64_t kElements = int64_t{1} << 14;
  std::vector<Piece> pieces;
  for (size_t i = 0; i < specs.size(); ++i) {
    for (int64_t first = 0; first < specs[i].count(); first += kElements) {
      pieces.push_back({i, first, std::min(kElements, specs[i].count() - first)});
    }
  }
  return pieces;
}

}  // namespace

double Optimizer::step(ParameterSet& parameters, const ParameterSet& gradients,
                       double learning_rate, Device& device) {
  const std::vector<ParameterSpec>& specs = parameters.specs();
  const std::vector<Piece> pieces = pieces_of(specs);
  const auto count = static_cast<int64_t>(pieces.size());
  std::vector<double> sums(pieces.size());
  device.pool().parallel_for(count, [&](int64_t i, int thread) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const float* at = gradients.data() + gradients.offset(piece.parameter) + piece.first;
    sums[static_cast<size_t>(i)] = sum_of_squares(at, piece.count, device.alone(thread));
  });
  std::vector<double> of_parameter(specs.size(), 0.0);
  for (size_t i = 0; i < pieces.size(); ++i) of_parameter[pieces[i].parameter] += sums[i];
  const double squares = std::accumulate(of_parameter.begin(), of_parameter.end(), 0.0);
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
  device.pool().parallel_for(count, [&](int64_t i, int thread) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    const int64_t at = parameters.offset(piece.parameter) + piece.first;
    AdamWParams own = p;
    own.parameter = parameters.data() + at;
    own.first_moment = first_moments_.data() + at;
    own.second_moment = second_moments_.data() + at;
    own.gradient = gradients.data() + at;
    own.count = piece.count;
    own.weight_decay = decays(specs[piece.parameter].role) ? settings_.weight_decay : 0;
    adamw(own, device.alone(thread));
  });
  return norm;
}

}  // namespace looplm
