#include "kernels/ref/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/bf16.h"

namespace looplm::ref {

void rms_norm(const double* x, const double* w, double eps, Size2 size, double* y) {
  for (int64_t r = 0; r < size.rows; ++r, x += size.width, y += size.width) {
    double squares = 0;
    for (int64_t i = 0; i < size.width; ++i) squares += x[i] * x[i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(size.width) + eps);
    for (int64_t i = 0; i < size.width; ++i) y[i] = w[i] * x[i] * inverse;
  }
}

void rms_norm_backward(const double* x, const double* w, double eps, const double* dy, Size2 size,
                       double* dx, double* dw) {
  std::fill(dw, dw + size.width, 0.0);
  const auto n = static_cast<double>(size.width);
  for (int64_t r = 0; r < size.rows; ++r, x += size.width, dy += size.width, dx += size.width) {
    double squares = 0, projection = 0;
    for (int64_t i = 0; i < size.width; ++i) {
      squares += x[i] * x[i];
      projection += w[i] * dy[i] * x[i];
    }
    const double inverse = 1 / std::sqrt(squares / n + eps);
    for (int64_t i = 0; i < size.width; ++i) {
      dx[i] = inverse * w[i] * dy[i] - x[i] * inverse * inverse * inverse * projection / n;
      dw[i] += dy[i] * x[i] * inverse;
    }
  }
}

void linear(const double* x, const double* w, MatmulSize size, double* y) {
  for (int64_t r = 0; r < size.rows; ++r) {
    for (int64_t o = 0; o < size.out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < size.in; ++i) sum += x[r * size.in + i] * w[o * size.in + i];
      y[r * size.out + o] = sum;
    }
  }
}

void linear_backward(const double* x, const double* w, const double* dy, MatmulSize size,
                     double* dx, double* dw) {
  std::fill(dx, dx + size.rows * size.in, 0.0);
  std::fill(dw, dw + size.out * size.in, 0.0);
  for (int64_t r = 0; r < size.rows; ++r) {
    for (int64_t o = 0; o < size.out; ++o) {
      const double d = dy[r * size.out + o];
      for (int64_t i = 0; i < size.in; ++i) {
        dx[r * size.in + i] += d * w[o * size.in + i];
        dw[o * size.in + i] += d * x[r * size.in + i];
      }
    }
  }
}

void rotary(const double* x, const int32_t* positions, int64_t rows, int64_t heads,
            int64_t head_dim, double base, double direction, double* y) {
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; ++h, x += head_dim, y += head_dim) {
      for (int64_t i = 0; i < half; ++i) {
        const double exponent = static_cast<double>(2 * i) / static_cast<double>(head_dim);
        const double angle = direction * positions[r] / std::pow(base, exponent);
        const double a = x[i], b = x[i + half];
        y[i] = a * std::cos(angle) - b * std::sin(angle);
        y[i + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }
}

void swiglu(const double* gate, const double* up, int64_t count, double* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

void swiglu_backward(const double* gate, const double* up, const double* dout, int64_t count,
                     double* dgate, double* dup) {
  for (int64_t i = 0; i < count; ++i) {
    const double s = 1 / (1 + std::exp(-gate[i]));
    dgate[i] = dout[i] * up[i] * s * (1 + gate[i] * (1 - s));
    dup[i] = dout[i] * gate[i] * s;
  }
}

namespace {

// The probabilities of row `row` (of the whole batch) of head `head` over keys first..row.
std::vector<double> probabilities(const double* q, const double* k, const AttentionSize& s,
                                  int64_t first, int64_t row, int64_t head) {
  const int64_t kv_head = head / (s.heads / s.kv_heads);
  std::vector<double> p(static_cast<size_t>(row - first + 1));
  double most = -INFINITY, total = 0;
  for (int64_t j = first; j <= row; ++j) {
    double dot = 0;
    for (int64_t i = 0; i < s.head_dim; ++i) {
      dot += q[(row * s.heads + head) * s.head_dim + i] *
             k[(j * s.kv_heads + kv_head) * s.head_dim + i];
    }
    p[static_cast<size_t>(j - first)] = dot * s.scale;
    most = std::max(most, dot * s.scale);
  }
  for (double& x : p) total += x = std::exp(x - most);
  for (double& x : p) x /= total;
  return p;
}

}  // namespace

void attention(const double* q, const double* k, const double* v, const AttentionSize& s,
               double* out) {
  const int64_t d = s.head_dim;
  for (size_t doc = 0; doc + 1 < s.document_starts.size(); ++doc) {
    const int64_t first = s.document_starts[doc];
    for (int64_t row = first; row < s.document_starts[doc + 1]; ++row) {
      for (int64_t h = 0; h < s.heads; ++h) {
        const int64_t kv_head = h / (s.heads / s.kv_heads);
        const std::vector<double> p = probabilities(q, k, s, first, row, h);
        double* o = out + (row * s.heads + h) * d;
        std::fill(o, o + d, 0.0);
        for (int64_t j = first; j <= row; ++j) {
          for (int64_t i = 0; i < d; ++i) {
            o[i] += p[static_cast<size_t>(j - first)] * v[(j * s.kv_heads + kv_head) * d + i];
          }
        }
      }
    }
  }
}

void attention_backward(const double* q, const double* k, const double* v, const double* dout,
                        const AttentionSize& s, double* dq, double* dk, double* dv) {
  const int64_t d = s.head_dim;
  const int64_t rows = s.document_starts.back();
  std::fill(dq, dq + rows * s.heads * d, 0.0);
  std::fill(dk, dk + rows * s.kv_heads * d, 0.0);
  std::fill(dv, dv + rows * s.kv_heads * d, 0.0);
  for (size_t doc = 0; doc + 1 < s.document_starts.size(); ++doc) {
    const int64_t first = s.document_starts[doc];
    for (int64_t row = first; row < s.document_starts[doc + 1]; ++row) {
      for (int64_t h = 0; h < s.heads; ++h) {
        const int64_t kv_head = h / (s.heads / s.kv_heads);
        const std::vector<double> p = probabilities(q, k, s, first, row, h);
        const double* g = dout + (row * s.heads + h) * d;
        std::vector<double> dp(p.size());
        double delta = 0;
        for (int64_t j = first; j <= row; ++j) {
          const int64_t at = (j * s.kv_heads + kv_head) * d;
          const auto c = static_cast<size_t>(j - first);
          for (int64_t i = 0; i < d; ++i) {
            dp[c] += g[i] * v[at + i];
            dv[at + i] += p[c] * g[i];
          }
          delta += p[c] * dp[c];
        }
        for (int64_t j = first; j <= row; ++j) {
          const int64_t at = (j * s.kv_heads + kv_head) * d;
          const auto c = static_cast<size_t>(j - first);
          const double ds = p[c] * (dp[c] - delta) * s.scale;
          for (int64_t i = 0; i < d; ++i) {
            dq[(row * s.heads + h) * d + i] += ds * k[at + i];
            dk[at + i] += ds * q[(row * s.heads + h) * d + i];
          }
        }
      }
    }
  }
}

LogitSummary logit_summary(const double* logits, int64_t vocabulary) {
  LogitSummary s;
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (s.best < 0 || logits[i] > logits[s.best]) s.best = i;
  }
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (i != s.best && (s.second < 0 || logits[i] > logits[s.second])) s.second = i;
  }
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) total += std::exp(logits[i] - logits[s.best]);
  s.log_sum = logits[s.best] + std::log(total);
  for (int64_t i = 0; i < vocabulary; ++i) {
    const double p = std::exp(logits[i] - s.log_sum);
    if (p > 0) s.entropy -= p * (logits[i] - s.log_sum);
  }
  s.margin = std::exp(logits[s.best] - s.log_sum) -
             (s.second < 0 ? 0 : std::exp(logits[s.second] - s.log_sum));
  return s;
}

int64_t sample(const double* logits, const double* noise, int64_t vocabulary,
               const SampleSettings& settings) {
  std::vector<int64_t> kept(static_cast<size_t>(vocabulary));
  std::iota(kept.begin(), kept.end(), 0);
  std::stable_sort(kept.begin(), kept.end(),
                   [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  const double best = logits[kept[0]];
  if (settings.temperature == 0) return kept[0];
  const auto weight = [&](int64_t token) {
    return std::exp((logits[token] - best) / settings.temperature);
  };
  if (settings.top_k > 0 && settings.top_k < vocabulary) {
    kept.resize(static_cast<size_t>(settings.top_k));
  }
  double total = 0, sum = 0;
  for (int64_t token : kept) total += weight(token);
  size_t count = 0;
  while (count < kept.size() && (settings.top_p == 1 || sum < settings.top_p * total)) {
    sum += weight(kept[count++]);
  }
  kept.resize(count);
  int64_t chosen = kept[0];
  const auto value = [&](int64_t token) {
    return (logits[token] - best) / settings.temperature + noise[token];
  };
  for (int64_t token : kept) {
    if (weight(token) >= settings.min_p && value(token) > value(chosen)) chosen = token;
  }
  return chosen;
}

void cross_entropy(const double* logits, const int32_t* targets, Size2 size, double* nll,
                   double* entropy) {
  for (int64_t r = 0; r < size.rows; ++r, logits += size.width) {
    const LogitSummary s = logit_summary(logits, size.width);
    nll[r] = targets[r] < 0 ? 0 : s.log_sum - logits[targets[r]];
    entropy[r] = s.entropy;
  }
}

void cross_entropy_backward(const double* logits, const int32_t* targets, const double* scale,
                            Size2 size, double* dlogits) {
  for (int64_t r = 0; r < size.rows; ++r, logits += size.width, dlogits += size.width) {
    const double most = *std::max_element(logits, logits + size.width);
    double total = 0;
    for (int64_t i = 0; i < size.width; ++i) total += std::exp(logits[i] - most);
    for (int64_t i = 0; i < size.width; ++i) {
      const double softmax = std::exp(logits[i] - most) / total;
      dlogits[i] = targets[r] < 0 ? 0 : scale[r] * (softmax - (i == targets[r] ? 1 : 0));
    }
  }
}

void adamw(double* parameter, double* first_moment, double* second_moment, const double* gradient,
           int64_t count, const AdamWSettings& s) {
  const auto t = static_cast<double>(s.step);
  const double correction1 = 1 - std::pow(s.beta1, t);
  const double correction2 = 1 - std::pow(s.beta2, t);
  for (int64_t i = 0; i < count; ++i) {
    const double g = gradient[i] * s.gradient_scale;
    parameter[i] *= 1 - s.learning_rate * s.weight_decay;
    first_moment[i] = s.beta1 * first_moment[i] + (1 - s.beta1) * g;
    second_moment[i] = s.beta2 * second_moment[i] + (1 - s.beta2) * g * g;
    parameter[i] -= s.learning_rate / correction1 * first_moment[i] /
                    (std::sqrt(second_moment[i]) / std::sqrt(correction2) + s.epsilon);
  }
}

namespace {

float round_to_half(float value) {
  constexpr float kMostHalf = 65504.0f;
  return half_to_float(float_to_half(std::clamp(value, -kMostHalf, kMostHalf)));
}

Int4Group with_range(std::span<const float> w, float minimum, float scale) {
  Int4Group g;
  g.minimum = round_to_half(minimum);
  g.scale = round_to_half(scale);
  const float inverse = g.scale > 0 ? 1.0f / g.scale : 0.0f;
  for (float x : w) {
    const float level = std::nearbyint(std::clamp((x - g.minimum) * inverse, 0.0f, 15.0f));
    g.levels.push_back(level);
    const float d = g.minimum + level * g.scale - x;
    g.error += static_cast<double>(d * d);
  }
  return g;
}

// The scale and minimum that fit the group's levels best, by least squares.
Int4Group refit(std::span<const float> w, const Int4Group& g) {
  double levels = 0, squares = 0, weights = 0, products = 0;
  const auto n = static_cast<double>(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    const auto q = static_cast<double>(g.levels[i]), x = static_cast<double>(w[i]);
    levels += q;
    squares += q * q;
    weights += x;
    products += q * x;
  }
  const double spread = n * squares - levels * levels;
  if (spread <= 0) return g;
  const double scale = (n * products - levels * weights) / spread;
  return with_range(w, static_cast<float>((weights - scale * levels) / n),
                    static_cast<float>(scale));
}

}  // namespace

// The whole range, or a little less of it, each with its best fit.
Int4Group fit_int4(std::span<const float> w) {
  const auto [least, most] = std::minmax_element(w.begin(), w.end());
  const float range = *most - *least;
  Int4Group best = with_range(w, *least, range / 15.0f);
  for (const float cut : {0.0f, 0.04f, 0.08f}) {
    const Int4Group fitted =
        refit(w, with_range(w, *least + cut * range, (1 - 2 * cut) * range / 15.0f));
    if (fitted.error < best.error) best = fitted;
  }
  return best;
}

}  // namespace looplm::ref
