#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/rng.h"
#include "kernels/cases/op_case.h"
#include "kernels/head_loss.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

std::vector<int32_t> make_targets(int64_t rows, int64_t vocabulary) {
  Rng rng(11);
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r) {
    const bool ignored = r % 7 == 6;
    targets.push_back(ignored ? kIgnoredTarget
                              : static_cast<int32_t>(rng.below(static_cast<uint32_t>(vocabulary))));
  }
  return targets;
}

// Only the loss is differentiated: objectives use the entropy as an observation.
class CrossEntropyCase : public OpCase {
 public:
  explicit CrossEntropyCase(ref::Size2 size)
      : size_(size), targets_(make_targets(size.rows, size.width)) {}
  std::string op() const override { return "cross_entropy"; }
  std::string shape() const override {
    return fmt::format("rows={} vocabulary={}", size_.rows, size_.width);
  }
  std::vector<OpInput> inputs() const override {
    return {{"logits", size_.rows * size_.width, 1, 3}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows, size_.rows}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::cross_entropy(in[0].data(), targets_.data(), size_, out[0].data(), out[1].data());
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    ref::cross_entropy_backward(in[0].data(), targets_.data(), dout[0].data(), size_,
                                din[0].data());
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    summary_.resize(static_cast<size_t>(size_.rows));
    cross_entropy_forward(
        {in[0].data(), targets_.data(), size_.rows, size_.width, out[0].data(), summary_.data()},
        device);
    for (size_t r = 0; r < summary_.size(); ++r)
      out[1][r] = static_cast<float>(summary_[r].entropy);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    din[0] = in[0];
    cross_entropy_backward(
        {din[0].data(), targets_.data(), summary_.data(), dout[0].data(), size_.rows, size_.width},
        device);
  }
  // Sums of exponentials over lanes; entropies are differences of numbers of the size of
  // log(vocabulary).
  double tolerance() const override { return 100 * 0x1p-24; }
  OpWork work(OpDirection direction) const override {
    const auto elements = static_cast<double>(size_.rows * size_.width);
    return {12 * elements, (direction == OpDirection::kForward ? 4 : 8) * elements};
  }

 private:
  ref::Size2 size_;
  std::vector<int32_t> targets_;
  std::vector<LogitSummary> summary_;
};

// Figures apart, since each has its own size; ids are exact, or off by more than any tolerance.
class LogitSummaryCase : public OpCase {
 public:
  explicit LogitSummaryCase(ref::Size2 size) : size_(size) {}
  std::string op() const override { return "logit_summary"; }
  std::string shape() const override {
    return fmt::format("rows={} vocabulary={}", size_.rows, size_.width);
  }
  std::vector<OpInput> inputs() const override {
    return {{"logits", size_.rows * size_.width, 1, 3}};
  }
  std::vector<int64_t> output_counts() const override {
    return std::vector<int64_t>(5, size_.rows);  // best, second, log sum, entropy, margin
  }
  bool has_backward() const override { return false; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    for (size_t r = 0; r < out[0].size(); ++r) {
      const ref::LogitSummary s =
          ref::logit_summary(in[0].data() + static_cast<int64_t>(r) * size_.width, size_.width);
      out[0][r] = static_cast<double>(s.best);
      out[1][r] = static_cast<double>(s.second);
      out[2][r] = s.log_sum;
      out[3][r] = s.entropy;
      out[4][r] = s.margin;
    }
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    summary_.resize(static_cast<size_t>(size_.rows));
    logit_summary({in[0].data(), size_.rows, size_.width, summary_.data()}, device);
    for (size_t r = 0; r < summary_.size(); ++r) {
      out[0][r] = static_cast<float>(summary_[r].best);
      out[1][r] = static_cast<float>(summary_[r].second);
      out[2][r] = static_cast<float>(summary_[r].log_sum);
      out[3][r] = static_cast<float>(summary_[r].entropy);
      out[4][r] = static_cast<float>(summary_[r].margin());
    }
  }
  double tolerance() const override { return 100 * 0x1p-24; }
  OpWork work(OpDirection) const override {
    const auto elements = static_cast<double>(size_.rows * size_.width);
    return {12 * elements, 4 * elements};
  }

 private:
  ref::Size2 size_;
  std::vector<LogitSummary> summary_;
};

class HeadLossCase : public OpCase {
 public:
  HeadLossCase(ref::MatmulSize size, DType dtype)
      : size_(size), dtype_(dtype), targets_(make_targets(size.rows, size.out)) {}
  std::string op() const override {
    return dtype_ == DType::kF32 ? "head_loss_f32" : "head_loss_bf16";
  }
  std::string shape() const override {
    return fmt::format("rows={} width={} vocabulary={}", size_.rows, size_.in, size_.out);
  }
  // Timed in bf16, tested in fp32: the rounding of the logits' gradients has no bound tight enough
  // to be worth a test of its own, and the products are tested in bf16 as linear_bf16.
  std::vector<OpInput> inputs() const override {
    return {{"states", size_.rows * size_.in}, {"head", size_.out * size_.in, 0, 0.2f}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    std::vector<double> logits(static_cast<size_t>(size_.rows * size_.out));
    std::vector<double> entropy(static_cast<size_t>(size_.rows));
    ref::linear(in[0].data(), in[1].data(), size_, logits.data());
    ref::cross_entropy(logits.data(), targets_.data(), {size_.rows, size_.out}, out[0].data(),
                       entropy.data());
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    std::vector<double> logits(static_cast<size_t>(size_.rows * size_.out));
    std::vector<double> dlogits(logits.size());
    ref::linear(in[0].data(), in[1].data(), size_, logits.data());
    ref::cross_entropy_backward(logits.data(), targets_.data(), dout[0].data(),
                                {size_.rows, size_.out}, dlogits.data());
    ref::linear_backward(in[0].data(), in[1].data(), dlogits.data(), size_, din[0].data(),
                         din[1].data());
  }
  void prepare(const Floats& in, Device& device) override {
    const std::array<MatrixSource, 1> source = {
        {{in[1].data(), DType::kF32, size_.out, size_.in, size_.in}}};
    head_ = PackedMatrix(size_.in, size_.out, dtype_);
    pack_rows(source, head_, device);
    head_columns_ = PackedMatrix(size_.out, size_.in, dtype_);
    pack_columns(source, head_columns_, device);
    const int64_t chunk = std::min(size_.rows, head_loss_chunk_rows(size_.out));
    logits_ = Buffer<float>(static_cast<size_t>(chunk * size_.out));
    summary_.resize(static_cast<size_t>(size_.rows));
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    for_chunks([&](int64_t begin, int64_t end) {
      head_loss_forward(params(in, begin, end, out[0].data()), device);
    });
  }
  // Forward and backward of each chunk, as training runs it.
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    nll_.resize(static_cast<size_t>(size_.rows));
    for_chunks([&](int64_t begin, int64_t end) {
      const HeadLossParams forward = params(in, begin, end, nll_.data());
      head_loss_forward(forward, device);
      head_loss_backward({forward, dout[0].data() + begin, &head_columns_,
                          din[0].data() + begin * size_.in, din[1].data()},
                         device);
    });
  }
  double tolerance() const override { return 300 * 0x1p-24; }
  OpWork work(OpDirection direction) const override {
    const double products =
        2.0 * static_cast<double>(size_.rows * size_.in) * static_cast<double>(size_.out);
    const double bytes = static_cast<double>(size_.in * size_.out) * 4;
    return direction == OpDirection::kForward ? OpWork{products, bytes}
                                              : OpWork{3 * products, 4 * bytes};
  }
  DType arithmetic() const override { return dtype_; }

 private:
  template <typename Body>
  void for_chunks(Body body) {
    const int64_t chunk = head_loss_chunk_rows(size_.out);
    for (int64_t begin = 0; begin < size_.rows; begin += chunk) {
      body(begin, std::min(size_.rows, begin + chunk));
    }
  }
  HeadLossParams params(const Floats& in, int64_t begin, int64_t end, float* nll) {
    return {in[0].data() + begin * size_.in, end - begin,    size_.in,    &head_,
            targets_.data() + begin,         logits_.data(), nll + begin, summary_.data() + begin};
  }

  ref::MatmulSize size_;
  DType dtype_;
  std::vector<int32_t> targets_;
  PackedMatrix head_;
  PackedMatrix head_columns_;
  Buffer<float> logits_;
  std::vector<float> nll_;
  std::vector<LogitSummary> summary_;
};

}  // namespace

void add_loss_cases(bool perf, OpCases& cases) {
  if (perf) {
    for (ref::Size2 size : {ref::Size2{1, 49152}, {1, 128256}, {64, 49152}}) {
      cases.push_back(std::make_unique<LogitSummaryCase>(size));
    }
    cases.push_back(std::make_unique<CrossEntropyCase>(ref::Size2{256, 49152}));
    cases.push_back(std::make_unique<HeadLossCase>(ref::MatmulSize{512, 2048, 49152}, DType::kF32));
    cases.push_back(
        std::make_unique<HeadLossCase>(ref::MatmulSize{512, 2048, 49152}, DType::kBf16));
    return;
  }
  for (ref::Size2 size : {ref::Size2{1, 1}, {9, 5}, {8, 101}, {3, 4099}}) {
    cases.push_back(std::make_unique<CrossEntropyCase>(size));
    cases.push_back(std::make_unique<LogitSummaryCase>(size));
  }
  cases.push_back(std::make_unique<LogitSummaryCase>(ref::Size2{17, 8193}));
  cases.push_back(std::make_unique<HeadLossCase>(ref::MatmulSize{9, 24, 101}, DType::kF32));
  cases.push_back(std::make_unique<HeadLossCase>(ref::MatmulSize{80, 16, 37}, DType::kF32));
}

}  // namespace looplm
