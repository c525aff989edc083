#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/bf16.h"
#include "base/rng.h"
#include "kernels/cases/op_case.h"
#include "kernels/kernels.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

class LinearCase : public OpCase {
 public:
  // `copies` weights are cycled through when timing, so that their sum exceeds the last-level cache
  // as a model's does.
  LinearCase(ref::MatmulSize size, DType dtype, int copies = 1)
      : size_(size), dtype_(dtype), copies_(copies) {}

  std::string op() const override { return dtype_ == DType::kF32 ? "linear_f32" : "linear_bf16"; }
  std::string shape() const override {
    return fmt::format("rows={} in={} out={}", size_.rows, size_.in, size_.out);
  }
  std::vector<OpInput> inputs() const override {
    return {{"x", size_.rows * size_.in, 0, 1, dtype_},
            {"w", size_.out * size_.in, 0, 0.1f, dtype_}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows * size_.out}; }

  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::linear(in[0].data(), in[1].data(), size_, out[0].data());
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    Doubles rounded = dout;  // the bf16 products round dy as they round x
    if (dtype_ == DType::kBf16) {
      for (double& d : rounded[0]) d = static_cast<double>(round_to_bf16(static_cast<float>(d)));
    }
    ref::linear_backward(in[0].data(), in[1].data(), rounded[0].data(), size_, din[0].data(),
                         din[1].data());
  }

  void prepare(const Floats& in, Device& device) override {
    const std::array<MatrixSource, 1> source = {
        {{in[1].data(), DType::kF32, size_.out, size_.in, size_.in}}};
    for (int i = 0; i < copies_; ++i) {
      forward_.emplace_back(size_.in, size_.out, dtype_);
      pack_rows(source, forward_.back(), device);
    }
    backward_ = PackedMatrix(size_.out, size_.in, dtype_);
    pack_columns(source, backward_, device);
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    MatmulParams p;
    p.a = in[0].data();
    p.a_row_stride = size_.in;
    p.rows = size_.rows;
    p.b = &forward_[next_++ % forward_.size()];
    p.c = out[0].data();
    p.c_row_stride = size_.out;
    matmul(p, device);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    MatmulParams p;
    p.a = dout[0].data();
    p.a_row_stride = size_.out;
    p.rows = size_.rows;
    p.b = &backward_;
    p.c = din[0].data();
    p.c_row_stride = size_.in;
    matmul(p, device);
    LinearWeightGradientParams g;
    g.dy = dout[0].data();
    g.dy_stride = size_.out;
    g.x = in[0].data();
    g.x_stride = size_.in;
    g.rows = size_.rows;
    g.out = size_.out;
    g.in = size_.in;
    g.dtype = dtype_;
    g.weight_gradient = din[1].data();
    linear_weight_gradient(g, device);
  }

  // A chunk of 256 terms errs by about sqrt(256) / 2 roundings of its size, an element is
  // sqrt(terms) terms large, chunks add like a random walk: 2^-24 * 16 relative to the result's
  // root mean square, times 6 for the largest of many.
  double tolerance() const override { return 100 * 0x1p-24; }

  OpWork work(OpDirection direction) const override {
    const double products =
        2.0 * static_cast<double>(size_.rows * size_.in) * static_cast<double>(size_.out);
    const double weight = static_cast<double>(size_.in * size_.out);
    const auto element = static_cast<double>(dtype_size(dtype_));
    if (direction == OpDirection::kForward) return {products, weight * element};
    return {2 * products, weight * (element + 8)};
  }
  DType arithmetic() const override { return dtype_; }

 private:
  ref::MatmulSize size_;
  DType dtype_;
  int copies_;
  std::vector<PackedMatrix> forward_;
  PackedMatrix backward_;
  size_t next_ = 0;
};

// A weight in small integers. The reference computes with what the integers stand for, on both
// sides.
class QuantizedLinearCase : public OpCase {
 public:
  QuantizedLinearCase(ref::MatmulSize size, Quant quant, int copies = 1)
      : size_(size), quant_(quant), copies_(copies) {}

  std::string op() const override { return quant_ == Quant::kInt8 ? "linear_int8" : "linear_int4"; }
  std::string shape() const override {
    return fmt::format("rows={} in={} out={}", size_.rows, size_.in, size_.out);
  }
  std::vector<OpInput> inputs() const override {
    return {{"x", size_.rows * size_.in}, {"w", size_.out * size_.in, 0.02f, 0.1f}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows * size_.out}; }
  bool has_backward() const override { return false; }

  void forward_reference(const Doubles& in, Doubles& out) const override {
    std::vector<double> x = in[0], w = in[1];
    const auto n = static_cast<size_t>(size_.in);
    for (size_t row = 0; row < x.size(); row += n) {
      for (size_t at = 0; at < n; at += kQuantGroup) {
        const size_t end = std::min(n, at + kQuantGroup);
        float most = 0;
        for (size_t i = at; i < end; ++i) {
          most = std::max(most, std::abs(static_cast<float>(x[row + i])));
        }
        const float inverse = most > 0 ? 127.0f / most : 0.0f;
        for (size_t i = at; i < end; ++i) {
          x[row + i] = std::nearbyint(static_cast<float>(x[row + i]) * inverse) *
                       static_cast<double>(most / 127.0f);
        }
      }
    }
    std::vector<float> weights(n);
    QuantizedRow quantized;
    for (size_t row = 0; row < w.size(); row += n) {
      for (size_t i = 0; i < n; ++i) weights[i] = static_cast<float>(w[row + i]);
      quantize_row(quant_, weights, quantized);
      for (size_t i = 0; i < n; ++i) {
        const double level = quantized.levels[i];
        w[row + i] = quant_ == Quant::kInt8
                         ? (level - 128) * static_cast<double>(quantized.scales[0])
                         : static_cast<double>(quantized.minimums[i / kQuantGroup]) +
                               level * static_cast<double>(quantized.scales[i / kQuantGroup]);
      }
    }
    ref::linear(x.data(), w.data(), size_, out[0].data());
  }

  void prepare(const Floats& in, Device& device) override {
    const std::array<MatrixSource, 1> source = {
        {{in[1].data(), DType::kF32, size_.out, size_.in, size_.in}}};
    for (int i = 0; i < copies_; ++i) {
      weights_.emplace_back(size_.in, size_.out, quant_);
      pack_rows(source, weights_.back(), device);
    }
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    MatmulParams p;
    p.a = in[0].data();
    p.a_row_stride = size_.in;
    p.rows = size_.rows;
    p.b = &weights_[next_++ % weights_.size()];
    p.c = out[0].data();
    p.c_row_stride = size_.out;
    matmul(p, device);
  }
  // Groups add like the chunks of LinearCase; int4's minimums add terms of a few times the result.
  double tolerance() const override { return 200 * 0x1p-24; }
  OpWork work(OpDirection) const override {
    const double products =
        2.0 * static_cast<double>(size_.rows * size_.in) * static_cast<double>(size_.out);
    return {products, static_cast<double>(weights_.empty() ? 0 : weights_[0].bytes())};
  }
  DType arithmetic() const override { return DType::kU8; }

 private:
  ref::MatmulSize size_;
  Quant quant_;
  int copies_;
  std::vector<PackedMatrix> weights_;
  size_t next_ = 0;
};

// Rounding of weights to int4, as a model is loaded: scales and minimums. prepare_test.cc looks at
// the levels too.
class FitInt4Case : public OpCase {
 public:
  explicit FitInt4Case(ref::Size2 size) : size_(size) {}

  std::string op() const override { return "fit_int4"; }
  std::string shape() const override {
    return fmt::format("rows={} terms={}", size_.rows, size_.width);
  }
  std::vector<OpInput> inputs() const override {
    return {{"w", size_.rows * size_.width, 0.02f, 0.1f}};
  }
  std::vector<int64_t> output_counts() const override { return {groups(), groups()}; }
  bool has_backward() const override { return false; }

  void forward_reference(const Doubles& in, Doubles& out) const override {
    const std::vector<float> w(in[0].begin(), in[0].end());
    size_t g = 0;
    for (int64_t at = 0; at < std::ssize(w); at += kQuantGroup - cut(at)) {
      const ref::Int4Group fit =
          ref::fit_int4(std::span(w).subspan(static_cast<size_t>(at), kQuantGroup - cut(at)));
      out[0][g] = static_cast<double>(fit.scale);
      out[1][g++] = static_cast<double>(fit.minimum);
    }
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    const int64_t per_row = quant_groups(size_.width);
    device.for_pieces(size_.rows, 16, [&](int64_t begin, int64_t end, int thread) {
      auto* levels = reinterpret_cast<uint8_t*>(
          device.thread_scratch(thread, static_cast<size_t>(per_row * kQuantGroup / 4)));
      for (int64_t r = begin; r < end; ++r) {
        device.kernels().fit_int4(in[0].data() + r * size_.width, size_.width, levels,
                                  out[0].data() + r * per_row, out[1].data() + r * per_row);
      }
    });
  }
  double tolerance() const override { return 0; }
  OpWork work(OpDirection) const override {
    return {0, 4.0 * static_cast<double>(size_.rows * size_.width)};
  }

 private:
  int64_t groups() const { return size_.rows * quant_groups(size_.width); }
  // Terms that the group at `at` lacks.
  int64_t cut(int64_t at) const {
    return std::max<int64_t>(0, at % size_.width + kQuantGroup - size_.width);
  }

  ref::Size2 size_;
};

class EmbeddingCase : public OpCase {
 public:
  EmbeddingCase(int64_t rows, int64_t width, int64_t vocabulary, DType dtype)
      : rows_(rows), width_(width), vocabulary_(vocabulary), dtype_(dtype) {
    Rng rng(7);
    for (int64_t r = 0; r < rows; ++r) {
      ids_.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary))));
    }
  }

  std::string op() const override {
    return dtype_ == DType::kF32 ? "embedding_f32" : "embedding_bf16";
  }
  std::string shape() const override {
    return fmt::format("rows={} width={} vocabulary={}", rows_, width_, vocabulary_);
  }
  std::vector<OpInput> inputs() const override {
    return {{"table", vocabulary_ * width_, 0, 1, dtype_}};
  }
  std::vector<int64_t> output_counts() const override { return {rows_ * width_}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t i = 0; i < width_; ++i) {
        out[0][static_cast<size_t>(r * width_ + i)] =
            in[0][static_cast<size_t>(ids_[static_cast<size_t>(r)] * width_ + i)];
      }
    }
  }
  void backward_reference(const Doubles&, const Doubles& dout, Doubles& din) const override {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t i = 0; i < width_; ++i) {
        din[0][static_cast<size_t>(ids_[static_cast<size_t>(r)] * width_ + i)] +=
            dout[0][static_cast<size_t>(r * width_ + i)];
      }
    }
  }
  void prepare(const Floats& in, Device&) override {
    table_.clear();
    if (dtype_ == DType::kBf16) {
      for (float value : in[0]) table_.push_back(to_bf16(value));
    }
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    EmbeddingParams p;
    p.ids = ids_.data();
    p.rows = rows_;
    p.width = width_;
    p.table = dtype_ == DType::kBf16 ? static_cast<const void*>(table_.data()) : in[0].data();
    p.table_dtype = dtype_;
    p.out = out[0].data();
    embedding_forward(p, device);
  }
  void backward(const Floats&, const Floats& dout, Floats& din, Device& device) override {
    embedding_backward({ids_.data(), rows_, width_, dout[0].data(), din[0].data()}, device);
  }
  double tolerance() const override { return 8 * 0x1p-24; }  // sums of a few terms
  OpWork work(OpDirection direction) const override {
    const auto elements = static_cast<double>(rows_ * width_);
    if (direction == OpDirection::kBackward) return {elements, 12 * elements};
    return {0, elements * static_cast<double>(4 + dtype_size(dtype_))};
  }

 private:
  int64_t rows_;
  int64_t width_;
  int64_t vocabulary_;
  DType dtype_;
  std::vector<int32_t> ids_;
  std::vector<Bf16> table_;
};

}  // namespace

void add_linear_cases(bool perf, OpCases& cases) {
  for (Quant quant : {Quant::kInt8, Quant::kInt4}) {
    const auto add = [&](int64_t rows, int64_t in, int64_t out, int copies = 1) {
      cases.push_back(
          std::make_unique<QuantizedLinearCase>(ref::MatmulSize{rows, in, out}, quant, copies));
    };
    if (quant == Quant::kInt4) {
      const ref::Size2 size = perf ? ref::Size2{2048, 2048} : ref::Size2{19, 150};
      cases.push_back(std::make_unique<FitInt4Case>(size));
    }
    if (perf) {
      for (int64_t rows : {1, 2, 4, 8, 16}) add(rows, 2048, 5632, quant == Quant::kInt8 ? 32 : 56);
      add(256, 2048, 5632);
      continue;
    }
    for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 13, 61}) add(rows, 64, 72);
    add(3, 17, 1);
    add(1, 257, 161);
    add(37, 513, 95);
  }
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    if (perf) {
      const int copies = dtype == DType::kF32 ? 8 : 16;  // 369 MB
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{1, 2048, 5632}, dtype, copies));
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{4, 2048, 5632}, dtype, copies));
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{16, 2048, 5632}, dtype, copies));
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{256, 2048, 2048}, dtype));
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{256, 2048, 5632}, dtype));
      // Training of a small model.
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{1024, 128, 768}, dtype));
      cases.push_back(std::make_unique<EmbeddingCase>(512, 2048, 49152, dtype));
      continue;
    }
    for (int64_t rows : {1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 24, 25, 61, 400}) {
      cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{rows, 40, 72}, dtype));
    }
    // One column, odd terms, more than one chunk, several panels with a short last one.
    cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{3, 17, 1}, dtype));
    cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{1, 257, 161}, dtype));
    cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{37, 513, 95}, dtype));
    cases.push_back(std::make_unique<LinearCase>(ref::MatmulSize{200, 768, 608}, dtype));
    cases.push_back(std::make_unique<EmbeddingCase>(50, 37, 11, dtype));
  }
}

}  // namespace looplm
