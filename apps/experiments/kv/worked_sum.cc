#include "experiments/kv/worked_sum.h"

#include <fmt/format.h>

#include "base/rng.h"

namespace looplm {
namespace {

ArithmeticOptions sums_of(const WorkedSumOptions& o, int lines) {
  ArithmeticOptions sums;
  sums.min_operations = sums.max_operations = lines * o.operations_per_line;
  sums.modulus = o.modulus;
  sums.split = o.split;
  sums.seed = o.seed;
  return sums;
}

}  // namespace

Status check(const WorkedSumOptions& o) {
  if (o.min_lines < 1 || o.min_lines > o.max_lines || o.operations_per_line < 1) {
    return invalid_argument(
        fmt::format("{}..{} lines of {} operations: expected a range from 1 of at least one each",
                    o.min_lines, o.max_lines, o.operations_per_line));
  }
  return check(sums_of(o, o.max_lines));
}

WorkedSum worked_sum(const WorkedSumOptions& o, uint64_t index) {
  // The sum itself draws from stream `index` of the seed.
  Rng rng(o.seed ^ 0x9e3779b97f4a7c15u, index);
  WorkedSum sum;
  sum.lines = o.min_lines +
              static_cast<int>(rng.below(static_cast<uint32_t>(o.max_lines - o.min_lines + 1)));
  const ArithmeticExample whole = arithmetic_example(sums_of(o, sum.lines), index);
  sum.prompt = whole.prompt;
  std::string value = whole.prompt.substr(0, 1);
  for (int line = 0; line < sum.lines; ++line) {
    const auto width = static_cast<size_t>(2 * o.operations_per_line);
    const std::string step =
        value + whole.prompt.substr(1 + static_cast<size_t>(line) * width, width) + "=";
    value = std::to_string(arithmetic_value(step, o.modulus));
    if (line > 0) sum.work += ";";
    sum.work += step + value;
  }
  return sum;
}

}  // namespace looplm
