#include "kernels/head_loss.h"

#include <algorithm>

namespace looplm {

void head_loss_forward(const HeadLossParams& p, Device& device) {
  const int64_t vocabulary = p.head->columns();
  MatmulParams logits;
  logits.a = p.states;
  logits.a_row_stride = p.width;
  logits.rows = p.rows;
  logits.b = p.head;
  logits.c = p.logits;
  logits.c_row_stride = vocabulary;
  matmul(logits, device);

  CrossEntropyParams loss;
  loss.logits = p.logits;
  loss.targets = p.targets;
  loss.rows = p.rows;
  loss.vocabulary = vocabulary;
  loss.nll = p.nll;
  loss.summary = p.summary;
  cross_entropy_forward(loss, device);
}

void head_loss_backward(const HeadLossBackwardParams& p, Device& device) {
  const HeadLossParams& f = p.forward;
  const int64_t vocabulary = f.head->columns();
  CrossEntropyBackwardParams loss;
  loss.logits = f.logits;
  loss.targets = f.targets;
  loss.summary = f.summary;
  loss.scale = p.scale;
  loss.rows = f.rows;
  loss.vocabulary = vocabulary;
  cross_entropy_backward(loss, device);

  MatmulParams states;
  states.a = f.logits;
  states.a_row_stride = vocabulary;
  states.rows = f.rows;
  states.b = p.head_columns != nullptr ? p.head_columns : f.head;
  states.transposed = p.head_columns == nullptr;
  states.c = p.dstates;
  states.c_row_stride = f.width;
  matmul(states, device);

  if (p.head_gradient == nullptr) return;
  LinearWeightGradientParams weight;
  weight.dy = f.logits;
  weight.dy_stride = vocabulary;
  weight.x = f.states;
  weight.x_stride = f.width;
  weight.rows = f.rows;
  weight.out = vocabulary;
  weight.in = f.width;
  weight.dtype = f.head->dtype();
  weight.weight_gradient = p.head_gradient;
  linear_weight_gradient(weight, device);
}

int64_t head_loss_chunk_rows(int64_t vocabulary) {
  constexpr int64_t kFloats = int64_t{8} << 20;
  return std::clamp<int64_t>(kFloats / vocabulary / 4 * 4, 64, 4096);
}

}  // namespace looplm
