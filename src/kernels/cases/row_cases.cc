#include <cmath>

#include <fmt/format.h>

#include "base/rng.h"
#include "kernels/cases/op_case.h"
#include "kernels/kernels.h"
#include "kernels/ref/reference.h"

namespace looplm {
namespace {

constexpr double kUnit = 0x1p-24;  // half the distance between 1 and the next float

// A few roundings per element, and sums over a row in lanes of at least 4: the largest of many
// elements errs by some units.
constexpr double kRowTolerance = 64 * kUnit;

class RowCase : public OpCase {
 public:
  explicit RowCase(ref::Size2 size) : size_(size) {}
  std::string shape() const override {
    return fmt::format("rows={} width={}", size_.rows, size_.width);
  }
  std::vector<int64_t> output_counts() const override { return {count()}; }
  double tolerance() const override { return kRowTolerance; }

 protected:
  int64_t count() const { return size_.rows * size_.width; }
  double elements() const { return static_cast<double>(count()); }
  ref::Size2 size_;
};

constexpr float kEps = 1e-6f;

void norm_backward(RmsNormBackwardParams p, std::vector<float>& weight_gradient, Device& device) {
  const int64_t count = norm_sum_count(p.rows);
  std::vector<float> sums(static_cast<size_t>(count * p.width));
  p.weight_sums = sums.data();
  rms_norm_backward(p, device);
  add_sums(sums.data(), count, p.width, weight_gradient.data(), device);
}

class RmsNormCase : public RowCase {
 public:
  using RowCase::RowCase;
  std::string op() const override { return "rms_norm"; }
  std::vector<OpInput> inputs() const override {
    return {{"x", count(), 0.1f, 1}, {"w", size_.width, 1, 0.3f}};
  }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::rms_norm(in[0].data(), in[1].data(), kEps, size_, out[0].data());
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    ref::rms_norm_backward(in[0].data(), in[1].data(), kEps, dout[0].data(), size_, din[0].data(),
                           din[1].data());
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    inverse_rms_.resize(static_cast<size_t>(size_.rows));
    rms_norm_forward({in[0].data(), in[1].data(), kEps, size_.rows, size_.width, out[0].data(),
                      inverse_rms_.data()},
                     device);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    norm_backward({dout[0].data(), in[0].data(), in[1].data(), inverse_rms_.data(), size_.rows,
                   size_.width, din[0].data(), false},
                  din[1], device);
  }
  OpWork work(OpDirection direction) const override {
    return direction == OpDirection::kForward ? OpWork{4 * elements(), 8 * elements()}
                                              : OpWork{10 * elements(), 12 * elements()};
  }

 private:
  std::vector<float> inverse_rms_;
};

class ResidualNormCase : public RowCase {
 public:
  using RowCase::RowCase;
  std::string op() const override { return "residual_norm"; }
  std::vector<OpInput> inputs() const override {
    return {{"x", count()}, {"y", count(), 0, 2}, {"w", size_.width, 1, 0.3f}};
  }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::rms_norm(in[1].data(), in[2].data(), kEps, size_, out[0].data());
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] += in[0][i];
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    din[0] = dout[0];
    ref::rms_norm_backward(in[1].data(), in[2].data(), kEps, dout[0].data(), size_, din[1].data(),
                           din[2].data());
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    inverse_rms_.resize(static_cast<size_t>(size_.rows));
    out[0] = in[0];
    residual_norm_forward({in[1].data(), in[2].data(), kEps, size_.rows, size_.width, out[0].data(),
                           inverse_rms_.data()},
                          device);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    add(dout[0].data(), count(), din[0].data(), device);
    norm_backward({dout[0].data(), in[1].data(), in[2].data(), inverse_rms_.data(), size_.rows,
                   size_.width, din[1].data(), true},
                  din[2], device);
  }
  OpWork work(OpDirection direction) const override {
    return direction == OpDirection::kForward ? OpWork{5 * elements(), 12 * elements()}
                                              : OpWork{11 * elements(), 16 * elements()};
  }

 private:
  std::vector<float> inverse_rms_;
};

class RotaryCase : public OpCase {
 public:
  RotaryCase(int64_t rows, int64_t heads, int64_t head_dim)
      : rows_(rows), heads_(heads), head_dim_(head_dim), table_(head_dim, kBase) {
    Rng rng(3);
    for (int64_t r = 0; r < rows; ++r) {
      positions_.push_back(static_cast<int32_t>(rng.below(kPositions)));
    }
  }
  std::string op() const override { return "rotary"; }
  std::string shape() const override {
    return fmt::format("rows={} heads={} head_dim={}", rows_, heads_, head_dim_);
  }
  std::vector<OpInput> inputs() const override { return {{"x", count()}}; }
  std::vector<int64_t> output_counts() const override { return {count()}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::rotary(in[0].data(), positions_.data(), rows_, heads_, head_dim_, kBase, 1, out[0].data());
  }
  void backward_reference(const Doubles&, const Doubles& dout, Doubles& din) const override {
    ref::rotary(dout[0].data(), positions_.data(), rows_, heads_, head_dim_, kBase, -1,
                din[0].data());
  }
  void prepare(const Floats&, Device& device) override { table_.grow(kPositions, device); }
  void forward(const Floats& in, Floats& out, Device& device) override {
    out[0] = in[0];
    rotary_forward(params(out[0].data()), device);
  }
  void backward(const Floats&, const Floats& dout, Floats& din, Device& device) override {
    din[0] = dout[0];
    rotary_backward(params(din[0].data()), device);
  }
  // Angles are rounded to fp32: up to kPositions radians off by half a unit of that size.
  double tolerance() const override { return kPositions * 4 * kUnit; }
  OpWork work(OpDirection) const override {
    return {3.0 * static_cast<double>(count()), 8.0 * static_cast<double>(count())};
  }

 private:
  static constexpr int kPositions = 64;
  static constexpr double kBase = 10000;

  int64_t count() const { return rows_ * heads_ * head_dim_; }
  RotaryParams params(float* x) const {
    return {&table_, positions_.data(), rows_, heads_, head_dim_, x, heads_ * head_dim_};
  }

  int64_t rows_;
  int64_t heads_;
  int64_t head_dim_;
  RotaryTable table_;
  std::vector<int32_t> positions_;
};

class SwigluCase : public RowCase {
 public:
  using RowCase::RowCase;
  std::string op() const override { return "swiglu"; }
  std::vector<OpInput> inputs() const override {
    return {{"gate", count(), 0, 3}, {"up", count()}};
  }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::swiglu(in[0].data(), in[1].data(), count(), out[0].data());
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    ref::swiglu_backward(in[0].data(), in[1].data(), dout[0].data(), count(), din[0].data(),
                         din[1].data());
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    swiglu_forward(
        {in[0].data(), in[1].data(), size_.width, size_.rows, size_.width, out[0].data()}, device);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    swiglu_backward({dout[0].data(), in[0].data(), in[1].data(), size_.width, size_.rows,
                     size_.width, din[0].data(), din[1].data(), size_.width},
                    device);
  }
  OpWork work(OpDirection direction) const override {
    return direction == OpDirection::kForward ? OpWork{5 * elements(), 12 * elements()}
                                              : OpWork{10 * elements(), 20 * elements()};
  }
};

class GateCase : public RowCase {
 public:
  using RowCase::RowCase;
  std::string op() const override { return "gate"; }
  std::vector<OpInput> inputs() const override {
    return {{"h", count()}, {"w", size_.width}, {"b", 1}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    ref::linear(in[0].data(), in[1].data(), {size_.rows, size_.width, 1}, out[0].data());
    for (double& z : out[0]) z += in[2][0];
  }
  void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const override {
    ref::linear_backward(in[0].data(), in[1].data(), dout[0].data(), {size_.rows, size_.width, 1},
                         din[0].data(), din[1].data());
    din[2][0] = 0;
    for (double d : dout[0]) din[2][0] += d;
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    gate_forward({in[0].data(), in[1].data(), in[2][0], size_.rows, size_.width, out[0].data()},
                 device);
  }
  void backward(const Floats& in, const Floats& dout, Floats& din, Device& device) override {
    gate_backward({dout[0].data(), in[0].data(), in[1].data(), size_.rows, size_.width,
                   din[0].data(), din[1].data(), din[2].data()},
                  device);
  }
  OpWork work(OpDirection direction) const override {
    return direction == OpDirection::kForward ? OpWork{2 * elements(), 4 * elements()}
                                              : OpWork{4 * elements(), 12 * elements()};
  }
};

class AdamWCase : public RowCase {
 public:
  explicit AdamWCase(int64_t count) : RowCase({1, count}) {}
  std::string op() const override { return "adamw"; }
  bool has_backward() const override { return false; }
  std::vector<OpInput> inputs() const override {
    return {{"parameter", count()},
            {"m", count(), 0, 0.1f},
            {"v_root", count(), 1, 0.1f},
            {"gradient", count()}};
  }
  std::vector<int64_t> output_counts() const override { return {count(), count(), count()}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    out = {in[0], in[1], in[2]};
    for (double& v : out[2]) v *= v;
    ref::adamw(out[0].data(), out[1].data(), out[2].data(), in[3].data(), count(),
               {0.5, 1e-2, 0.9, 0.95, 1e-8, 0.1, 3});
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    out[0] = in[0];
    out[1] = in[1];
    out[2] = in[2];
    for (float& v : out[2]) v *= v;
    run(out, in[3], device);
  }
  OpWork work(OpDirection) const override { return {15 * elements(), 28 * elements()}; }

 private:
  void run(Floats& state, const std::vector<float>& gradient, Device& device) const {
    AdamWParams p;
    p.parameter = state[0].data();
    p.first_moment = state[1].data();
    p.second_moment = state[2].data();
    p.gradient = gradient.data();
    p.count = count();
    p.gradient_scale = 0.5f;
    p.learning_rate = 1e-2;
    p.weight_decay = 0.1;
    p.step = 3;
    adamw(p, device);
  }
};

class GradientNormCase : public RowCase {
 public:
  explicit GradientNormCase(int64_t count) : RowCase({1, count}) {}
  std::string op() const override { return "sum_of_squares"; }
  bool has_backward() const override { return false; }
  std::vector<OpInput> inputs() const override { return {{"gradient", count()}}; }
  std::vector<int64_t> output_counts() const override { return {1}; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    out[0][0] = 0;
    for (double x : in[0]) out[0][0] += x * x;
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    out[0][0] = static_cast<float>(sum_of_squares(in[0].data(), count(), device));
  }
  OpWork work(OpDirection) const override { return {2 * elements(), 4 * elements()}; }
};

}  // namespace

void add_row_cases(bool perf, OpCases& cases) {
  const std::vector<ref::Size2> sizes =
      perf ? std::vector<ref::Size2>{{1, 2048}, {2048, 2048}}
           : std::vector<ref::Size2>{{1, 1}, {3, 7}, {5, 16}, {70, 40}, {2, 2048}, {130, 67}};
  for (ref::Size2 size : sizes) {
    cases.push_back(std::make_unique<RmsNormCase>(size));
    cases.push_back(std::make_unique<ResidualNormCase>(size));
    cases.push_back(std::make_unique<GateCase>(size));
    cases.push_back(std::make_unique<SwigluCase>(perf ? ref::Size2{size.rows, 5632} : size));
  }
  if (perf) {
    cases.push_back(std::make_unique<RotaryCase>(2048, 16, 128));
    cases.push_back(std::make_unique<AdamWCase>(int64_t{1} << 24));
    cases.push_back(std::make_unique<GradientNormCase>(int64_t{1} << 26));
  } else {
    for (int64_t head_dim : {2, 6, 10, 16, 64, 70}) {
      cases.push_back(std::make_unique<RotaryCase>(9, 3, head_dim));
    }
    cases.push_back(std::make_unique<AdamWCase>(1));
    cases.push_back(std::make_unique<AdamWCase>(40003));
    cases.push_back(std::make_unique<GradientNormCase>(40003));
  }
}

}  // namespace looplm
