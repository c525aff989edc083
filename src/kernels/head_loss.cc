#include "kernels/head_loss.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

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

namespace {

double unnamed_mass(const TopTokens& teacher) {
  double named = 0;
  for (const float log_p : teacher.log_probabilities) named += std::exp(static_cast<double>(log_p));
  return std::max(0.0, 1 - named);
}

void top_divergence(const HeadLossParams& f, const TeacherParams& teacher, float* divergence,
                    Device& device) {
  const int64_t vocabulary = f.head->columns();
  const auto of = [&](int64_t r) { return teacher.top[r % teacher.teachers]; };
  // Where the logits of a row's named tokens are put while those of the others are summed.
  std::vector<size_t> begin(static_cast<size_t>(f.rows) + 1);
  for (int64_t r = 0; r < f.rows; ++r) {
    begin[static_cast<size_t>(r) + 1] = begin[static_cast<size_t>(r)] + of(r).ids.size();
  }
  std::vector<float> named(begin.back());
  device.for_pieces(f.rows, 1, [&](int64_t r, int64_t, int) {
    size_t next = begin[static_cast<size_t>(r)];
    for (const uint32_t id : of(r).ids) {
      named[next++] = std::exchange(f.logits[r * vocabulary + id], -INFINITY);
    }
  });
  std::vector<LogitSummary> unnamed(static_cast<size_t>(f.rows));
  logit_summary({f.logits, f.rows, vocabulary, unnamed.data()}, device);
  device.for_pieces(f.rows, 1, [&](int64_t r, int64_t, int) {
    const TopTokens top = of(r);
    const float* logits = named.data() + begin[static_cast<size_t>(r)];
    const double log_sum = f.summary[r].log_sum;
    double sum = 0;
    for (size_t i = 0; i < top.ids.size(); ++i) {
      f.logits[r * vocabulary + top.ids[i]] = logits[i];
      const auto log_p = static_cast<double>(top.log_probabilities[i]);
      sum += std::exp(log_p) * (log_p - (static_cast<double>(logits[i]) - log_sum));
    }
    teacher.unnamed_log_sum[r] = unnamed[static_cast<size_t>(r)].log_sum;
    const double rest = unnamed_mass(top);
    const bool all = static_cast<int64_t>(top.ids.size()) == vocabulary;
    if (rest > 0 && !all) sum += rest * (std::log(rest) - (teacher.unnamed_log_sum[r] - log_sum));
    divergence[r] = static_cast<float>(sum);
  });
}

}  // namespace

void teacher_divergence(const HeadLossParams& f, const TeacherParams& teacher, float* divergence,
                        Device& device) {
  if (teacher.top != nullptr) return top_divergence(f, teacher, divergence, device);
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

// The same where the teacher names few ids. To the others it gives its remaining mass in the shares
// that the row itself gives them.
void top_distil_backward(const HeadLossBackwardParams& p, Device& device) {
  const HeadLossParams& f = p.forward;
  const int64_t vocabulary = f.head->columns();
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(f.rows, 1, [&](int64_t r, int64_t, int) {
    float* logits = f.logits + r * vocabulary;
    const int32_t target = f.targets[r];
    const auto scale = static_cast<double>(p.scale[r]);
    const auto towards = static_cast<double>(p.divergence_scale[r]);
    const double both = scale + towards, log_sum = f.summary[r].log_sum;
    const TopTokens& top = p.teacher.top[r % p.teacher.teachers];
    std::vector<double> named;
    for (size_t i = 0; i < top.ids.size(); ++i) {
      named.push_back(both * std::exp(static_cast<double>(logits[top.ids[i]]) - log_sum) -
                      towards * std::exp(static_cast<double>(top.log_probabilities[i])));
    }
    // Shares among the unnamed ids are never above 1, however little of the row's mass they have.
    const double unnamed_log_sum = p.teacher.unnamed_log_sum[r];
    const auto factor = static_cast<float>(both * std::exp(unnamed_log_sum - log_sum) -
                                           towards * unnamed_mass(top));
    k.softmax_gradient(logits, vocabulary, static_cast<float>(unnamed_log_sum), factor, target);
    logits[target] += factor;
    for (size_t i = 0; i < named.size(); ++i) logits[top.ids[i]] = static_cast<float>(named[i]);
    logits[target] -= p.scale[r];
  });
}

}  // namespace

void head_loss_backward(const HeadLossBackwardParams& p, Device& device) {
  const HeadLossParams& f = p.forward;
  const int64_t vocabulary = f.head->columns();
  // The gradient of the logits, rounded once for both products that take it.
  const bool rounded = p.divergence_scale == nullptr && p.head_columns != nullptr &&
                       p.head_columns->dtype() == DType::kBf16;
  if (p.divergence_scale != nullptr && p.teacher.top != nullptr) {
    top_distil_backward(p, device);
  } else if (p.divergence_scale != nullptr) {
    distil_backward(p, device);
  } else {
    CrossEntropyBackwardParams loss;
    loss.logits = f.logits;
    loss.targets = f.targets;
    loss.summary = f.summary;
    loss.scale = p.scale;
    loss.rows = f.rows;
    loss.vocabulary = vocabulary;
    loss.rounded = rounded;
    cross_entropy_backward(loss, device);
  }
  const auto* gradient = rounded ? reinterpret_cast<const Bf16*>(f.logits) : nullptr;
  const int64_t gradient_stride = rounded ? 2 * vocabulary : vocabulary;

  MatmulParams states;
  states.a = f.logits;
  states.a_rounded = gradient;
  states.a_row_stride = gradient_stride;
  states.rows = f.rows;
  states.b = p.head_columns != nullptr ? p.head_columns : f.head;
  states.transposed = p.head_columns == nullptr;
  states.c = p.dstates;
  states.c_row_stride = f.width;
  matmul(states, device);

  if (p.head_gradient == nullptr) return;
  LinearWeightGradientParams weight;
  weight.dy = f.logits;
  weight.dy_rounded = gradient;
  weight.dy_stride = gradient_stride;
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
