#include "kernels/head_loss.h"

#include <algorithm>
#include <cmath>

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

void softmax_rows(const float* logits, const LogitSummary* summary, int64_t rows,
                  int64_t vocabulary, float* out, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(rows, 1, [&](int64_t r, int64_t, int) {
    const float* from = logits + r * vocabulary;
    float* to = out + r * vocabulary;
    std::copy_n(from, vocabulary, to);
    const double log_sum = summary[r].log_sum;
    // softmax - onehot of id 0, whose element is then put right.
    k.softmax_gradient(to, vocabulary, static_cast<float>(log_sum), 1.0f, 0);
    to[0] = static_cast<float>(std::exp(static_cast<double>(from[0]) - log_sum));
  });
}

void teacher_divergence(const HeadLossParams& f, const TeacherParams& teacher, float* divergence,
                        Device& device) {
  const int64_t vocabulary = f.head->columns();
  device.for_pieces(f.rows, 1, [&](int64_t r, int64_t, int) {
    const int64_t of = r % teacher.teachers;
    const float* p = teacher.probabilities + of * vocabulary;
    const float* logits = f.logits + r * vocabulary;
    double mass = 0, mean = 0;
    for (int64_t v = 0; v < vocabulary; ++v) {
      const auto q = static_cast<double>(p[v]);
      mass += q;
      mean += q * static_cast<double>(logits[v]);
    }
    divergence[r] = static_cast<float>(f.summary[r].log_sum - mean / mass - teacher.entropy[of]);
  });
}

namespace {

// logits = scale * (softmax - onehot) + divergence_scale * (softmax - teacher)
void distil_backward(const HeadLossBackwardParams& p, Device& device) {
  const HeadLossParams& f = p.forward;
  const int64_t vocabulary = f.head->columns();
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(f.rows, 1, [&](int64_t r, int64_t, int) {
    float* logits = f.logits + r * vocabulary;
    const float towards = p.divergence_scale[r], both = p.scale[r] + towards;
    if (p.scale[r] == 0.0f && towards == 0.0f) {
      std::fill_n(logits, vocabulary, 0.0f);
      return;
    }
    k.softmax_gradient(logits, vocabulary, static_cast<float>(f.summary[r].log_sum), both,
                       f.targets[r]);
    logits[f.targets[r]] += towards;
    if (towards == 0.0f) return;
    const float* teacher = p.teacher.probabilities + r % p.teacher.teachers * vocabulary;
    for (int64_t v = 0; v < vocabulary; ++v) logits[v] -= towards * teacher[v];
  });
}

}  // namespace

void head_loss_backward(const HeadLossBackwardParams& p, Device& device) {
  const HeadLossParams& f = p.forward;
  const int64_t vocabulary = f.head->columns();
  if (p.divergence_scale != nullptr) {
    distil_backward(p, device);
  } else {
    CrossEntropyBackwardParams loss;
    loss.logits = f.logits;
    loss.targets = f.targets;
    loss.summary = f.summary;
    loss.scale = p.scale;
    loss.rows = f.rows;
    loss.vocabulary = vocabulary;
    cross_entropy_backward(loss, device);
  }

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
