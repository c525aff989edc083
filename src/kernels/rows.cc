// Operations that treat every row alone: embedding, norms, rotary embedding, SwiGLU, gate,
// cross-entropy.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bf16.h"
#include "base/check.h"
#include "kernels/kernels.h"

namespace looplm {
namespace {

// Work per task, in elements: some tens of microseconds, so that handing out tasks costs nothing.
constexpr int64_t kTaskElements = int64_t{1} << 14;

// Where row r of rounded values goes.
uint32_t* rounded_row(Bf16* rows, int64_t r, int64_t width) {
  return reinterpret_cast<uint32_t*>(rows + r * rounded_stride(width));
}

int64_t rows_per_task(int64_t width) { return std::max<int64_t>(1, kTaskElements / width); }

}  // namespace

void embedding_forward(const EmbeddingParams& p, Device& device) {
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = p.out + r * p.width;
      const auto* row =
          static_cast<const std::byte*>(p.table) +
          int64_t{p.ids[r]} * p.width * static_cast<int64_t>(dtype_size(p.table_dtype));
      if (p.table_dtype == DType::kF32) {
        std::memcpy(out, row, static_cast<size_t>(p.width) * sizeof(float));
        continue;
      }
      for (int64_t i = 0; i < p.width; ++i) {
        uint16_t bits;
        std::memcpy(&bits, row + i * 2, sizeof(bits));
        out[i] = p.table_dtype == DType::kBf16 ? to_float(Bf16{bits}) : half_to_float(bits);
      }
    }
  });
}

void embedding_backward(const EmbeddingBackwardParams& p, Device& device) {
  // Tokens repeat, so threads split the columns: every table element is summed by one thread in row
  // order.
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.width, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = 0; r < p.rows; ++r) {
      k.add_scaled(p.dout + r * p.width + begin, 1.0f, end - begin,
                   p.table_gradient + int64_t{p.ids[r]} * p.width + begin);
    }
  });
}

void rms_norm_forward(const RmsNormParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int thread) {
    float* row = p.y_rounded == nullptr
                     ? nullptr
                     : device.thread_scratch(thread, static_cast<size_t>(p.width));
    for (int64_t r = begin; r < end; ++r) {
      float* y = row != nullptr ? row : p.y + r * p.width;
      k.rms_norm_row(p.x + r * p.width, p.weight, p.eps, p.width, y,
                     p.inverse_rms == nullptr ? nullptr : p.inverse_rms + r);
      if (row != nullptr) k.round_row_bf16(y, p.width, rounded_row(p.y_rounded, r, p.width));
    }
  });
}

void rms_norm_backward(const RmsNormBackwardParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, kNormSumRows, [&](int64_t begin, int64_t end, int thread) {
    float* partial =
        p.weight_sums == nullptr ? nullptr : p.weight_sums + begin / kNormSumRows * p.width;
    if (partial != nullptr) std::fill_n(partial, p.width, 0.0f);
    float* row = p.dx_rounded == nullptr
                     ? nullptr
                     : device.thread_scratch(thread, static_cast<size_t>(p.width));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * p.width;
      float* dx = row != nullptr ? row : p.dx + at;
      k.rms_norm_backward_row(p.dy + at, p.x + at, p.weight, p.inverse_rms[r], p.width,
                              p.accumulate && row == nullptr, dx, partial);
      if (row != nullptr) k.round_row_bf16(dx, p.width, rounded_row(p.dx_rounded, r, p.width));
    }
  });
}

void add_sums(const float* sums, int64_t count, int64_t width, float* total, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(width, 512, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = 0; i < count; ++i) {
      k.add_scaled(sums + i * width + begin, 1.0f, end - begin, total + begin);
    }
  });
}

void residual_norm_forward(const ResidualNormParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      if (p.from != nullptr) std::copy_n(p.from + r * p.width, p.width, p.x + r * p.width);
      k.add_rms_norm_row(p.y + r * p.width, p.weight, p.eps, p.width, p.x + r * p.width,
                         p.inverse_rms == nullptr ? nullptr : p.inverse_rms + r);
    }
  });
}

void round_rows(const RoundRowsParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      k.round_row_bf16(p.x + r * p.width, p.width, rounded_row(p.out, r, p.width));
    }
  });
}

void add(const float* x, int64_t count, float* y, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(count, kTaskElements, [&](int64_t begin, int64_t end, int) {
    k.add_scaled(x + begin, 1.0f, end - begin, y + begin);
  });
}

RotaryTable::RotaryTable(int64_t head_dim, double base) {
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(head_dim);
    frequencies_.push_back(static_cast<float>(1.0 / std::pow(base, exponent)));
  }
}

void RotaryTable::grow(int64_t positions, Device& device) {
  const int64_t first = this->positions();
  if (positions <= first) return;
  while (this->positions() < positions) {
    blocks_.emplace_back(static_cast<size_t>(kBlock * 2 * half()));
  }
  constexpr int64_t kPiece = 16;  // positions: some tens of microseconds
  static_assert(kBlock % kPiece == 0);
  device.for_pieces(this->positions() - first, kPiece, [&](int64_t begin, int64_t end, int) {
    float* out = blocks_[static_cast<size_t>((first + begin) / kBlock)].data() +
                 (first + begin) % kBlock * 2 * half();
    for (int64_t p = first + begin; p < first + end; ++p, out += 2 * half()) {
      for (int64_t i = 0; i < half(); ++i) {
        const float angle = static_cast<float>(p) * frequencies_[static_cast<size_t>(i)];
        out[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
        out[half() + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
      }
    }
  });
}

namespace {

void rotate(const RotaryParams& p, float direction, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.heads * p.head_dim),
                    [&](int64_t begin, int64_t end, int) {
                      for (int64_t r = begin; r < end; ++r) {
                        const int64_t position = p.positions[r];
                        k.rotate_row(p.table->cosine(position), p.table->sine(position), p.heads,
                                     p.head_dim, direction, p.x + r * p.row_stride);
                      }
                    });
}

}  // namespace

void rotary_forward(const RotaryParams& params, Device& device) { rotate(params, 1.0f, device); }
void rotary_backward(const RotaryParams& params, Device& device) { rotate(params, -1.0f, device); }

void swiglu_forward(const SwigluParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int thread) {
    float* row = p.out_rounded == nullptr
                     ? nullptr
                     : device.thread_scratch(thread, static_cast<size_t>(p.width));
    for (int64_t r = begin; r < end; ++r) {
      float* out = row != nullptr ? row : p.out + r * p.width;
      k.swiglu_row(p.gate + r * p.in_stride, p.up + r * p.in_stride, p.width, out);
      if (row != nullptr) k.round_row_bf16(out, p.width, rounded_row(p.out_rounded, r, p.width));
    }
  });
}

void swiglu_backward(const SwigluBackwardParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int thread) {
    // Both gradients of a row, and its activated values, before they are rounded.
    float* row = device.thread_scratch(thread, static_cast<size_t>(3 * p.width));
    for (int64_t r = begin; r < end; ++r) {
      float* dgate = p.rounded != nullptr ? row : p.dgate + r * p.grad_stride;
      float* dup = p.rounded != nullptr ? row + p.width : p.dup + r * p.grad_stride;
      float* activated = p.activated_rounded != nullptr ? row + 2 * p.width
                         : p.activated != nullptr       ? p.activated + r * p.width
                                                        : nullptr;
      k.swiglu_backward_row(p.dout + r * p.width, p.gate + r * p.in_stride, p.up + r * p.in_stride,
                            p.width, dgate, dup, activated);
      if (p.rounded != nullptr) {
        k.round_row_bf16(row, 2 * p.width, rounded_row(p.rounded, r, 2 * p.width));
      }
      if (p.activated_rounded != nullptr) {
        k.round_row_bf16(activated, p.width, rounded_row(p.activated_rounded, r, p.width));
      }
    }
  });
}

void gate_forward(const GateParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.width), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      p.z[r] = k.dot(p.h + r * p.width, p.weight, p.width) + p.bias;
    }
  });
}

void gate_backward(const GateBackwardParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  const int64_t sums = norm_sum_count(p.rows);
  float* partials = device.shared_scratch(static_cast<size_t>(sums * p.width));
  std::fill(partials, partials + sums * p.width, 0.0f);
  device.for_pieces(p.rows, kNormSumRows, [&](int64_t begin, int64_t end, int) {
    float* partial = partials + begin / kNormSumRows * p.width;
    for (int64_t r = begin; r < end; ++r) {
      k.add_scaled(p.h + r * p.width, p.dz[r], p.width, partial);
      if (p.dh != nullptr) k.add_scaled(p.weight, p.dz[r], p.width, p.dh + r * p.width);
    }
  });
  if (p.weight_gradient == nullptr) return;
  add_sums(partials, sums, p.width, p.weight_gradient, device);
  double bias = 0;
  for (int64_t r = 0; r < p.rows; ++r) bias += static_cast<double>(p.dz[r]);
  *p.bias_gradient += static_cast<float>(bias);
}

void cross_entropy_forward(const CrossEntropyParams& p, Device& device) {
  logit_summary({p.logits, p.rows, p.vocabulary, p.summary}, device);
  for (int64_t r = 0; r < p.rows; ++r) {
    const int32_t target = p.targets[r];
    p.nll[r] = target == kIgnoredTarget
                   ? 0.0f
                   : -p.summary[r].log_probability(p.logits[r * p.vocabulary + target]);
  }
}

void cross_entropy_backward(const CrossEntropyBackwardParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  device.for_pieces(p.rows, rows_per_task(p.vocabulary), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* logits = p.logits + r * p.vocabulary;
      if (p.targets[r] == kIgnoredTarget || p.scale[r] == 0.0f) {
        std::fill(logits, logits + p.vocabulary, 0.0f);
      } else {
        k.softmax_gradient(logits, p.vocabulary, static_cast<float>(p.summary[r].log_sum),
                           p.scale[r], p.targets[r]);
      }
      if (p.rounded) {
        k.round_row_bf16(logits, p.vocabulary, reinterpret_cast<uint32_t*>(logits));
      }
    }
  });
}

void adamw(const AdamWParams& p, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  cpu::AdamWArgs args;
  args.gradient_scale = p.gradient_scale;
  args.learning_rate = static_cast<float>(p.learning_rate);
  args.one_minus_beta1 = static_cast<float>(1.0 - p.beta1);
  args.beta2 = static_cast<float>(p.beta2);
  args.one_minus_beta2 = static_cast<float>(1.0 - p.beta2);
  args.epsilon = static_cast<float>(p.epsilon);
  args.weight_decay = static_cast<float>(p.weight_decay);
  const auto step = static_cast<double>(p.step);
  args.bias_correction1 = static_cast<float>(1.0 - std::pow(p.beta1, step));
  args.bias_correction2_root = static_cast<float>(std::sqrt(1.0 - std::pow(p.beta2, step)));
  device.for_pieces(p.count, kTaskElements, [&](int64_t begin, int64_t end, int) {
    cpu::AdamWArgs piece = args;
    piece.parameter = p.parameter + begin;
    piece.first_moment = p.first_moment + begin;
    piece.second_moment = p.second_moment + begin;
    piece.gradient = p.gradient + begin;
    piece.count = end - begin;
    k.adamw(piece);
  });
}

double sum_of_squares(const float* x, int64_t count, Device& device) {
  const cpu::KernelTable& k = device.kernels();
  std::vector<double> sums(static_cast<size_t>((count + kTaskElements - 1) / kTaskElements));
  device.for_pieces(count, kTaskElements, [&](int64_t begin, int64_t end, int) {
    sums[static_cast<size_t>(begin / kTaskElements)] = k.sum_of_squares(x + begin, end - begin);
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

}  // namespace looplm
