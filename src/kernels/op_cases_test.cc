// The table of operation cases in its test and grad modes, on every instruction set this machine
// can run.
#include <cmath>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/cases/op_case.h"

namespace looplm {

#if defined(LOOPLM_X86_KERNELS)
namespace cpu::avx512_bf16_emulated {
const KernelTable& table();
}
#endif

namespace {

std::vector<const cpu::KernelTable*> tables() {
  std::vector<const cpu::KernelTable*> result;
  for (Isa isa : available_isas()) result.push_back(cpu::kernel_table(isa));
#if defined(LOOPLM_X86_KERNELS)
  // The code around the bf16 dot product, with the instruction itself in software.
  if (native_isas().back() == Isa::kAvx512) result.push_back(&cpu::avx512_bf16_emulated::table());
#endif
  return result;
}

double root_mean_square(const std::vector<double>& x) {
  double squares = 0;
  for (double v : x) squares += v * v;
  return x.empty() ? 0 : std::sqrt(squares / static_cast<double>(x.size()));
}

// `floor` is a size below which errors are not relative any more: gradients are differences of
// terms of the size of dout, and where these cancel (a norm over one element, a query that sees one
// key) only their rounding is left.
void expect_close(const std::vector<float>& actual, const std::vector<double>& expected,
                  double tolerance, double floor, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  const double allowed = tolerance * std::max(root_mean_square(expected), floor);
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  EXPECT_LE(worst, allowed) << what << ": element " << at << " is " << actual[at] << ", expected "
                            << expected[at];
}

Floats zeros(const std::vector<int64_t>& counts) {
  Floats result;
  for (int64_t count : counts) result.emplace_back(static_cast<size_t>(count));
  return result;
}

Floats random_like(const std::vector<int64_t>& counts, uint64_t seed) {
  Floats result = zeros(counts);
  Rng rng(seed, 99);
  for (auto& tensor : result) {
    for (float& x : tensor) x = rng.normal();
  }
  return result;
}

std::vector<int64_t> input_counts(const OpCase& op) {
  std::vector<int64_t> counts;
  for (const OpInput& input : op.inputs()) counts.push_back(input.count);
  return counts;
}

// The gradient of the entropy is not part of cross_entropy's backward pass.
Floats output_gradients(const OpCase& op) {
  Floats dout = random_like(op.output_counts(), 5);
  if (op.op() == "cross_entropy") std::fill(dout[1].begin(), dout[1].end(), 0.0f);
  return dout;
}

TEST(OpCases, KernelsAgreeWithTheDoublePrecisionReference) {
  for (const cpu::KernelTable* table : tables()) {
    Device device(2, *table);
    for (const auto& op : test_op_cases()) {
      const std::string what = std::string(table->name) + " " + op->op() + " " + op->shape();
      SCOPED_TRACE(what);
      const Floats in = make_inputs(*op, 1);
      const Doubles in64 = to_doubles(in);
      op->prepare(in, device);
      Floats out = zeros(op->output_counts());
      Doubles expected = to_doubles(out);
      op->forward(in, out, device);
      op->forward_reference(in64, expected);
      for (size_t i = 0; i < out.size(); ++i) {
        expect_close(out[i], expected[i], op->tolerance(), 0, "output " + std::to_string(i));
      }
      if (!op->has_backward()) continue;
      const Floats dout = output_gradients(*op);
      Floats din = zeros(input_counts(*op));
      Doubles expected_din = to_doubles(din);
      op->backward(in, dout, din, device);
      op->backward_reference(in64, to_doubles(dout), expected_din);
      const double floor = root_mean_square(to_doubles(dout)[0]);
      for (size_t i = 0; i < din.size(); ++i) {
        expect_close(din[i], expected_din[i], op->gradient_tolerance(), floor,
                     "gradient of " + op->inputs()[i].name);
      }
    }
  }
}

// sum(dout * f(in)) along one input element, by central differences.
double numeric_derivative(const OpCase& op, Doubles in, const Doubles& dout, size_t tensor,
                          size_t element, double step) {
  Doubles out = to_doubles(zeros(op.output_counts()));
  const double x = in[tensor][element];
  double difference = 0;
  for (double sign : {1.0, -1.0}) {
    in[tensor][element] = x + sign * step;
    op.forward_reference(in, out);
    for (size_t t = 0; t < out.size(); ++t) {
      for (size_t i = 0; i < out[t].size(); ++i) difference += sign * dout[t][i] * out[t][i];
    }
  }
  return difference / (2 * step);
}

TEST(OpCases, ReferenceDerivativesAgreeWithFiniteDifferences) {
#ifdef LOOPLM_SANITIZED
  GTEST_SKIP() << "minutes under a sanitizer, and no kernel runs in it";
#endif
  for (const auto& op : test_op_cases()) {
    if (!op->has_backward()) continue;
    SCOPED_TRACE(op->op() + " " + op->shape());
    const Doubles in = to_doubles(make_inputs(*op, 2));
    Doubles dout = to_doubles(output_gradients(*op));
    // bf16 cases round dy on the way back; pick values that survive it.
    for (auto& tensor : dout) {
      for (double& x : tensor) x = std::round(x * 8) / 8;
    }
    Doubles din = to_doubles(zeros(input_counts(*op)));
    op->backward_reference(in, dout, din);
    for (size_t t = 0; t < in.size(); ++t) {
      const double size = root_mean_square(din[t]);
      const size_t stride = in[t].size() / 5 + 1;  // a handful of elements of each tensor
      for (size_t i = 0; i < in[t].size(); i += stride) {
        const double numeric = numeric_derivative(*op, in, dout, t, i, 1e-5);
        EXPECT_NEAR(din[t][i], numeric, 1e-6 * (size + 1))
            << "d/d " << op->inputs()[t].name << "[" << i << "]";
      }
    }
  }
}

TEST(OpCases, ResultsDoNotDependOnTheNumberOfThreads) {
  const cpu::KernelTable* table = tables().front();
  for (const cpu::KernelTable* candidate : tables()) table = candidate;
  Device one(1, *table);
  Device five(5, *table);
  for (const auto& op : test_op_cases()) {
    SCOPED_TRACE(op->op() + " " + op->shape());
    const Floats in = make_inputs(*op, 3);
    const Floats dout = output_gradients(*op);
    std::vector<Floats> results;
    for (Device* device : {&one, &five}) {
      op->prepare(in, *device);
      Floats out = zeros(op->output_counts());
      op->forward(in, out, *device);
      results.push_back(out);
      if (!op->has_backward()) continue;
      Floats din = zeros(input_counts(*op));
      op->backward(in, dout, din, *device);
      results.push_back(din);
    }
    const size_t half = results.size() / 2;
    for (size_t i = 0; i < half; ++i) EXPECT_EQ(results[i], results[i + half]);
  }
}

}  // namespace
}  // namespace looplm
