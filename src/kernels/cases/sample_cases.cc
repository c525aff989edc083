#include <array>

#include <fmt/format.h>

#include "kernels/cases/op_case.h"
#include "kernels/ref/reference.h"
#include "kernels/sample.h"

namespace looplm {
namespace {

// Tokens are compared as numbers: a wrong one is off by more than any tolerance.
class SampleCase : public OpCase {
 public:
  SampleCase(ref::Size2 size, SampleRule rule, float spread = 3)
      : size_(size), rule_(rule), spread_(spread) {
    rule_.seed = 7;
  }
  std::string op() const override { return "sample"; }
  std::string shape() const override {
    std::string shape = fmt::format("rows={} vocabulary={} temperature={}", size_.rows, size_.width,
                                    rule_.temperature);
    if (rule_.top_k > 0) shape += fmt::format(" top_k={}", rule_.top_k);
    if (rule_.top_p < 1) shape += fmt::format(" top_p={}", rule_.top_p);
    if (rule_.min_p > 0) shape += fmt::format(" min_p={}", rule_.min_p);
    return shape + fmt::format(" spread={}", spread_);
  }
  std::vector<OpInput> inputs() const override {
    return {{"logits", size_.rows * size_.width, 1, spread_}};
  }
  std::vector<int64_t> output_counts() const override { return {size_.rows}; }
  bool has_backward() const override { return false; }
  void forward_reference(const Doubles& in, Doubles& out) const override {
    std::vector<double> noise(static_cast<size_t>(size_.width));
    for (int64_t r = 0; r < size_.rows; ++r) {
      for (int64_t i = 0; i < size_.width; ++i) {
        noise[static_cast<size_t>(i)] = gumbel_noise(rule_.seed, r, static_cast<int32_t>(i));
      }
      out[0][static_cast<size_t>(r)] = static_cast<double>(
          ref::sample(in[0].data() + r * size_.width, noise.data(), size_.width,
                      {rule_.temperature, rule_.top_k, rule_.top_p, rule_.min_p}));
    }
  }
  void prepare(const Floats& in, Device& device) override {
    summary_.resize(static_cast<size_t>(size_.rows));
    logit_summary({in[0].data(), size_.rows, size_.width, summary_.data()}, device);
  }
  void forward(const Floats& in, Floats& out, Device& device) override {
    rows_.clear();
    for (int64_t r = 0; r < size_.rows; ++r) {
      SampleRow row;
      row.logits = in[0].data() + r * size_.width;
      row.summary = &summary_[static_cast<size_t>(r)];
      row.rule = rule_;
      row.position = r;
      rows_.push_back(row);
    }
    sample(rows_, size_.width, device);
    for (size_t r = 0; r < rows_.size(); ++r) out[0][r] = static_cast<float>(rows_[r].token);
  }
  double tolerance() const override { return 0x1p-24; }
  OpWork work(OpDirection) const override {
    const auto elements = static_cast<double>(size_.rows * size_.width);
    return {12 * elements, 4 * elements};
  }

 private:
  ref::Size2 size_;
  SampleRule rule_;
  float spread_;
  std::vector<LogitSummary> summary_;
  std::vector<SampleRow> rows_;
};

}  // namespace

void add_sample_cases(bool perf, OpCases& cases) {
  if (perf) {
    // Sharp as a trained model's logits, and flat as an untrained one's.
    for (float spread : {3.0f, 0.5f}) {
      for (const SampleRule& rule :
           {SampleRule{1}, {0.8, 50, 0.95}, {1, 0, 0.95}, {1, 0, 1, 0.05}}) {
        cases.push_back(std::make_unique<SampleCase>(ref::Size2{1, 49152}, rule, spread));
      }
    }
    cases.push_back(std::make_unique<SampleCase>(ref::Size2{1, 128256}, SampleRule{1, 0, 0.95}));
    return;
  }
  const std::array<SampleRule, 12> rules = {{{0},
                                             {0.7},
                                             {1.5, 1},
                                             {1, 7},
                                             {1, 0, 1e-9},
                                             {1, 0, 0.5},
                                             {2, 0, 0.97},
                                             {1, 0, 1, 0.02},
                                             {1, 0, 1, 1},
                                             {1, 40, 0.9},
                                             {1.3, 90, 0.95, 0.01},
                                             {1, 3000, 0.999, 1e-5}}};
  for (const SampleRule& rule : rules) {
    for (float spread : {0.2f, 3.0f}) {
      for (ref::Size2 size : {ref::Size2{2, 1}, {40, 5}, {40, 101}, {9, 4099}}) {
        cases.push_back(std::make_unique<SampleCase>(size, rule, spread));
      }
    }
  }
}

}  // namespace looplm
