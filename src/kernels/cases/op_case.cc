#include "kernels/cases/op_case.h"

#include "base/bf16.h"
#include "base/check.h"
#include "base/rng.h"

namespace looplm {

void OpCase::backward_reference(const Doubles&, const Doubles&, Doubles&) const {
  LOOPLM_CHECK(false, "{} has no backward pass", op());
}
void OpCase::prepare(const Floats&, Device&) {}
void OpCase::backward(const Floats&, const Floats&, Floats&, Device&) {
  LOOPLM_CHECK(false, "{} has no backward pass", op());
}

OpCases test_op_cases() {
  OpCases cases;
  add_linear_cases(false, cases);
  add_row_cases(false, cases);
  add_attention_cases(false, cases);
  add_loss_cases(false, cases);
  add_sample_cases(false, cases);
  return cases;
}

OpCases perf_op_cases() {
  OpCases cases;
  add_linear_cases(true, cases);
  add_row_cases(true, cases);
  add_attention_cases(true, cases);
  add_loss_cases(true, cases);
  add_sample_cases(true, cases);
  return cases;
}

Floats make_inputs(const OpCase& op, uint64_t seed) {
  Floats values;
  for (const OpInput& input : op.inputs()) {
    Rng rng(seed, values.size());
    std::vector<float>& tensor = values.emplace_back(static_cast<size_t>(input.count));
    for (float& value : tensor) {
      value = input.mean + input.spread * rng.normal();
      if (input.storage == DType::kBf16) value = round_to_bf16(value);
    }
  }
  return values;
}

Doubles to_doubles(const Floats& values) {
  Doubles result;
  for (const std::vector<float>& tensor : values) result.emplace_back(tensor.begin(), tensor.end());
  return result;
}

}  // namespace looplm
