// One description of an operation at one shape, used four ways: held against its double-precision
// reference (test), its reference's derivative held against finite differences (grad), timed
// (perf), and listed per instruction set (support).
#ifndef LOOPLM_KERNELS_CASES_OP_CASE_H_
#define LOOPLM_KERNELS_CASES_OP_CASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "tensor/dtype.h"

namespace looplm {

using Floats = std::vector<std::vector<float>>;  // one vector per tensor
using Doubles = std::vector<std::vector<double>>;

struct OpInput {
  std::string name;
  int64_t count = 0;
  float mean = 0;
  float spread = 1;             // values are mean + spread * normal
  DType storage = DType::kF32;  // values are rounded to this type before anybody sees them
};

// Arithmetic operations and bytes that one call must move at least; rates are shares of these.
struct OpWork {
  double flops = 0;
  double bytes = 0;
};

enum class OpDirection { kForward, kBackward };

class OpCase {
 public:
  virtual ~OpCase() = default;

  virtual std::string op() const = 0;     // "linear_bf16"
  virtual std::string shape() const = 0;  // "rows=256 in=2048 out=2048"
  virtual std::vector<OpInput> inputs() const = 0;
  virtual std::vector<int64_t> output_counts() const = 0;
  virtual bool has_backward() const { return true; }

  virtual void forward_reference(const Doubles& in, Doubles& out) const = 0;
  virtual void backward_reference(const Doubles& in, const Doubles& dout, Doubles& din) const;

  // Untimed work, such as packing weights. `in` outlives the calls that follow.
  virtual void prepare(const Floats& in, Device& device);
  virtual void forward(const Floats& in, Floats& out, Device& device) = 0;
  // After forward(); din's vectors are zero on entry.
  virtual void backward(const Floats& in, const Floats& dout, Floats& din, Device& device);

  // Largest error allowed, as a share of the root mean square of the reference's tensor. Each case
  // derives it from the fp32 rounding unit and the length of its sums.
  virtual double tolerance() const = 0;
  virtual double gradient_tolerance() const { return tolerance(); }

  virtual OpWork work(OpDirection direction) const = 0;
  // The type whose dot-product rate bounds this case; kU8 for small integers.
  virtual DType arithmetic() const { return DType::kF32; }
};

using OpCases = std::vector<std::unique_ptr<OpCase>>;

// Small shapes with odd sizes and edges, for test and grad.
OpCases test_op_cases();
// The shapes of Ouro-1.4B, for perf. Needs up to about 2 GiB while a case runs.
OpCases perf_op_cases();

// The makers of each group; `perf` chooses the shapes.
void add_linear_cases(bool perf, OpCases& cases);
void add_row_cases(bool perf, OpCases& cases);
void add_attention_cases(bool perf, OpCases& cases);
void add_loss_cases(bool perf, OpCases& cases);
void add_sample_cases(bool perf, OpCases& cases);

// Deterministic values for a case's inputs, rounded as their storage says.
Floats make_inputs(const OpCase& op, uint64_t seed);
Doubles to_doubles(const Floats& values);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_CASES_OP_CASE_H_
