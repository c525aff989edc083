// The same operations in double precision and plain loops: what the kernels are held against, and
// what finite differences check.
//
// Shapes are as in kernels/kernels.h, without strides. Gradients are overwritten, not added to.
#ifndef LOOPLM_KERNELS_REF_REFERENCE_H_
#define LOOPLM_KERNELS_REF_REFERENCE_H_

#include <cstdint>
#include <span>
#include <vector>

namespace looplm::ref {

struct Size2 {
  int64_t rows = 0;
  int64_t width = 0;
};

void rms_norm(const double* x, const double* w, double eps, Size2 size, double* y);
void rms_norm_backward(const double* x, const double* w, double eps, const double* dy, Size2 size,
                       double* dx, double* dw);

struct MatmulSize {
  int64_t rows = 0;
  int64_t in = 0;
  int64_t out = 0;
};

// y (rows, out) = x (rows, in) w^T, w (out, in)
void linear(const double* x, const double* w, MatmulSize size, double* y);
void linear_backward(const double* x, const double* w, const double* dy, MatmulSize size,
                     double* dx, double* dw);

// Rotation of (rows, heads, head_dim) by positions; direction -1 is the inverse, which is also the
// gradient.
void rotary(const double* x, const int32_t* positions, int64_t rows, int64_t heads,
            int64_t head_dim, double base, double direction, double* y);

void swiglu(const double* gate, const double* up, int64_t count, double* out);
void swiglu_backward(const double* gate, const double* up, const double* dout, int64_t count,
                     double* dgate, double* dup);

struct AttentionSize {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  double scale = 0;
  std::vector<int64_t> document_starts;
};
void attention(const double* q, const double* k, const double* v, const AttentionSize& size,
               double* out);
void attention_backward(const double* q, const double* k, const double* v, const double* dout,
                        const AttentionSize& size, double* dq, double* dk, double* dv);

struct LogitSummary {
  int64_t best = -1;  // of equals the lowest id
  int64_t second = -1;
  double log_sum = 0;
  double entropy = 0;
  double margin = 0;
};
LogitSummary logit_summary(const double* logits, int64_t vocabulary);

struct SampleSettings {
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
};
// The token with the greatest sum of logit / temperature and noise among those that the rule of
// kernels/sample.h keeps. noise (vocabulary).
int64_t sample(const double* logits, const double* noise, int64_t vocabulary,
               const SampleSettings& settings);

void cross_entropy(const double* logits, const int32_t* targets, Size2 size, double* nll,
                   double* entropy);
// Gradient of sum(scale * nll).
void cross_entropy_backward(const double* logits, const int32_t* targets, const double* scale,
                            Size2 size, double* dlogits);

struct AdamWSettings {
  double gradient_scale = 1;
  double learning_rate = 0;
  double beta1 = 0;
  double beta2 = 0;
  double epsilon = 0;
  double weight_decay = 0;
  int64_t step = 1;
};
void adamw(double* parameter, double* first_moment, double* second_moment, const double* gradient,
           int64_t count, const AdamWSettings& settings);

// A group of weights in int4: w = minimum + scale * q.
struct Int4Group {
  float scale = 0;
  float minimum = 0;
  std::vector<float> levels;
  double error = 0;  // sum of squares
};
// Rounded as files have them, in the arithmetic that defines their bits.
Int4Group fit_int4(std::span<const float> weights);

}  // namespace looplm::ref

#endif  // LOOPLM_KERNELS_REF_REFERENCE_H_
