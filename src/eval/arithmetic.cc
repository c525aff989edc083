#include "eval/arithmetic.h"

#include <fmt/format.h>

#include "base/rng.h"
#include "eval/held_out.h"

namespace looplm {
namespace {

constexpr int kMaxOperations = 1000;

int combine(int left, char operation, int right, int modulus) {
  switch (operation) {
    case '+':
      return (left + right) % modulus;
    case '-':
      return (left - right + modulus) % modulus;
    default:
      return left * right % modulus;
  }
}

ArithmeticExample draw(const ArithmeticOptions& options, Rng& rng) {
  const auto digit = [&] {
    return static_cast<int>(rng.below(static_cast<uint32_t>(options.modulus)));
  };
  ArithmeticExample example;
  example.operations =
      options.min_operations + static_cast<int>(rng.below(static_cast<uint32_t>(
                                   options.max_operations - options.min_operations + 1)));
  example.steps_needed = example.operations;
  int value = digit();
  example.prompt = std::to_string(value);
  for (int i = 0; i < example.operations; ++i) {
    const char operation = "+-*"[rng.below(3)];
    const int right = digit();
    if (operation == '*' && right == 0) example.steps_needed = example.operations - i;
    value = combine(value, operation, right, options.modulus);
    example.prompt += operation;
    example.prompt += std::to_string(right);
  }
  example.prompt += '=';
  example.completion = std::to_string(value);
  return example;
}

}  // namespace

Status check(const ArithmeticOptions& o) {
  if (o.min_operations < 1 || o.min_operations > o.max_operations ||
      o.max_operations > kMaxOperations) {
    return invalid_argument(fmt::format("operations {}..{}: expected a range within 1..{}",
                                        o.min_operations, o.max_operations, kMaxOperations));
  }
  if (o.modulus < 2 || o.modulus > 10) {
    return invalid_argument(fmt::format("modulus is {}; expected 2 to 10", o.modulus));
  }
  return {};
}

ArithmeticSplit arithmetic_split(const std::string& prompt) {
  return is_held_out(prompt) ? ArithmeticSplit::kHeldOut : ArithmeticSplit::kTrain;
}

int arithmetic_value(const std::string& prompt, int modulus) {
  int value = prompt[0] - '0';
  for (size_t i = 1; i + 1 < prompt.size(); i += 2) {
    value = combine(value, prompt[i], prompt[i + 1] - '0', modulus);
  }
  return value;
}

ArithmeticExample arithmetic_example(const ArithmeticOptions& options, uint64_t index) {
  Rng rng(options.seed, index);
  ArithmeticExample example = draw(options, rng);
  while (arithmetic_split(example.prompt) != options.split) example = draw(options, rng);
  return example;
}

}  // namespace looplm
