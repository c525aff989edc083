// Kernels on one row of values: norms, rotary embedding, SwiGLU and the small vector operations.
#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

// The sum over i of f(i): four running vectors hide the latency of the addition, joined in a fixed
// order at the end.
template <typename Term>
LOOPLM_INLINE float sum_terms(int64_t n, Term term) {
  V sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int k = 0; k < 4; ++k) sum[k] = term(i + k * kLanes, kLanes, sum[k]);
  }
  for_vectors(n - i, [&](int64_t j, int64_t lanes) { sum[0] = term(i + j, lanes, sum[0]); });
  return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

float dot(const float* a, const float* b, int64_t n) {
  return sum_terms(n, [&](int64_t i, int64_t lanes, V sum) {
    return fma(load_some(a + i, lanes), load_some(b + i, lanes), sum);
  });
}

LOOPLM_INLINE float inverse_rms_of(const float* x, float eps, int64_t n) {
  return 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
}

void rms_norm_row(const float* x, const float* weight, float eps, int64_t n, float* y,
                  float* inverse_rms) {
  const float r = inverse_rms_of(x, eps, n);
  const V rv = set1(r);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    store_some(y + i, load_some(weight + i, lanes) * (load_some(x + i, lanes) * rv), lanes);
  });
  if (inverse_rms != nullptr) *inverse_rms = r;
}

// y = w x r with r = (mean x^2 + eps)^-1/2, so dx = r w dy - x r^3 / n sum(w dy x).
void rms_norm_backward_row(const float* dy, const float* x, const float* weight, float inverse_rms,
                           int64_t n, bool accumulate, float* dx, float* weight_gradient) {
  const float projection = sum_terms(n, [&](int64_t i, int64_t lanes, V sum) {
    return fma(load_some(weight + i, lanes) * load_some(dy + i, lanes), load_some(x + i, lanes),
               sum);
  });
  const V r = set1(inverse_rms);
  const V pull =
      set1(-projection * inverse_rms * inverse_rms * inverse_rms / static_cast<float>(n));
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V g = load_some(dy + i, lanes);
    const V xv = load_some(x + i, lanes);
    V d = fma(xv, pull, g * load_some(weight + i, lanes) * r);
    if (weight_gradient != nullptr) {
      store_some(weight_gradient + i, fma(g, xv * r, load_some(weight_gradient + i, lanes)), lanes);
    }
    if (accumulate) d = d + load_some(dx + i, lanes);
    store_some(dx + i, d, lanes);
  });
}

void add_rms_norm_row(const float* y, const float* weight, float eps, int64_t n, float* x,
                      float* inverse_rms) {
  const float r = inverse_rms_of(y, eps, n);
  const V rv = set1(r);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V normed = load_some(weight + i, lanes) * (load_some(y + i, lanes) * rv);
    store_some(x + i, load_some(x + i, lanes) + normed, lanes);
  });
  if (inverse_rms != nullptr) *inverse_rms = r;
}

// Rotates the pairs (x[i], x[i + head_dim/2]) of every head by +angle or -angle.
void rotate_row(const float* cosine, const float* sine, int64_t heads, int64_t head_dim,
                float direction, float* x) {
  const int64_t half = head_dim / 2;
  for (int64_t h = 0; h < heads; ++h) {
    float* first = x + h * head_dim;
    float* second = first + half;
    for_vectors(half, [&](int64_t i, int64_t lanes) {
      const V c = load_some(cosine + i, lanes);
      const V s = load_some(sine + i, lanes) * set1(direction);
      const V a = load_some(first + i, lanes);
      const V b = load_some(second + i, lanes);
      store_some(first + i, fma(a, c, -(b * s)), lanes);
      store_some(second + i, fma(b, c, a * s), lanes);
    });
  }
}

void swiglu_row(const float* gate, const float* up, int64_t n, float* out) {
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V g = load_some(gate + i, lanes);
    store_some(out + i, g * sigmoid(g) * load_some(up + i, lanes), lanes);
  });
}

void swiglu_backward_row(const float* dout, const float* gate, const float* up, int64_t n,
                         float* dgate, float* dup, float* activated) {
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V d = load_some(dout + i, lanes);
    const V g = load_some(gate + i, lanes);
    const V u = load_some(up + i, lanes);
    const V s = sigmoid(g);
    const V silu = g * s;
    store_some(dgate + i, d * u * fma(silu, set1(1.0f) - s, s), lanes);
    store_some(dup + i, d * silu, lanes);
    if (activated != nullptr) store_some(activated + i, silu * u, lanes);
  });
}

void add_scaled(const float* x, float factor, int64_t n, float* y) {
  const V f = set1(factor);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    store_some(y + i, fma(load_some(x + i, lanes), f, load_some(y + i, lanes)), lanes);
  });
}

void scale(float factor, int64_t n, float* x) {
  const V f = set1(factor);
  for_vectors(
      n, [&](int64_t i, int64_t lanes) { store_some(x + i, load_some(x + i, lanes) * f, lanes); });
}

// Blocks of 1,024 in fp32, their sums in double.
double sum_of_squares(const float* x, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i += 1024) {
    const int64_t count = n - i < 1024 ? n - i : 1024;
    total += static_cast<double>(dot(x + i, x + i, count));
  }
  return total;
}

void multiply(const float* factors, int64_t n, float* x) {
  for (int64_t i = 0; i < n; i += kLanes) store(x + i, load(x + i) * load(factors + i));
}

}  // namespace

void add_row_kernels(KernelTable& table) {
  table.dot = dot;
  table.rms_norm_row = rms_norm_row;
  table.rms_norm_backward_row = rms_norm_backward_row;
  table.add_rms_norm_row = add_rms_norm_row;
  table.rotate_row = rotate_row;
  table.swiglu_row = swiglu_row;
  table.swiglu_backward_row = swiglu_backward_row;
  table.add_scaled = add_scaled;
  table.scale = scale;
  table.multiply = multiply;
  table.sum_of_squares = sum_of_squares;
}

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE
