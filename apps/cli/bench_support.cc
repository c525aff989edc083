// looplm bench support: which kernels this machine has in which instruction set, and how exact.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "base/cpu.h"
#include "base/json.h"
#include "cli/bench.h"
#include "cli/token_text.h"
#include "common/terminal.h"
#include "eval/text_table.h"
#include "kernels/cases/op_case.h"

namespace looplm::cli {
namespace {

// The worst difference from the double-precision reference over an operation's small cases, in root
// mean squares of the reference's tensor.
struct OpErrors {
  int cases = 0;
  double forward = 0;
  double backward = -1;  // below 0: the operation has no backward pass
};

double worst_error(const Floats& actual, const Doubles& expected) {
  double worst = 0;
  for (size_t t = 0; t < expected.size(); ++t) {
    double squares = 0;
    double largest = 0;
    for (size_t i = 0; i < expected[t].size(); ++i) {
      squares += expected[t][i] * expected[t][i];
      largest = std::max(largest, std::abs(static_cast<double>(actual[t][i]) - expected[t][i]));
    }
    if (expected[t].empty()) continue;
    // Gradients that cancel to nothing keep the rounding of their terms, which are of size 1.
    const double size = std::max(std::sqrt(squares / static_cast<double>(expected[t].size())), 1.0);
    worst = std::max(worst, largest / size);
  }
  return worst;
}

template <typename Values>
Values zeros(const std::vector<int64_t>& counts) {
  Values values;
  for (int64_t count : counts) values.emplace_back(static_cast<size_t>(count));
  return values;
}

void measure(OpCase& op, Device& device, OpErrors& errors) {
  const Floats in = make_inputs(op, 1);
  Floats out = zeros<Floats>(op.output_counts());
  Doubles expected = zeros<Doubles>(op.output_counts());
  op.prepare(in, device);
  op.forward(in, out, device);
  op.forward_reference(to_doubles(in), expected);
  ++errors.cases;
  errors.forward = std::max(errors.forward, worst_error(out, expected));
  if (!op.has_backward()) return;
  std::vector<int64_t> counts;
  for (const OpInput& input : op.inputs()) counts.push_back(input.count);
  Floats dout = zeros<Floats>(op.output_counts());
  // The first output alone: some operations report others that no gradient flows through.
  std::fill(dout[0].begin(), dout[0].end(), 1.0f);
  Floats din = zeros<Floats>(counts);
  Doubles expected_din = zeros<Doubles>(counts);
  op.backward(in, dout, din, device);
  op.backward_reference(to_doubles(in), to_doubles(dout), expected_din);
  errors.backward = std::max(errors.backward, worst_error(din, expected_din));
}

Status bench_support(bool as_json) {
  std::map<std::string, std::map<std::string, OpErrors>> table;
  for (Isa isa : available_isas()) {
    Device device(1, *cpu::kernel_table(isa));
    for (const auto& op : test_op_cases()) measure(*op, device, table[op->op()][isa_name(isa)]);
  }
  if (as_json) {
    OrderedJson json;
    for (const auto& [op, sets] : table) {
      for (const auto& [isa, errors] : sets) {
        json[op][isa] = {{"cases", errors.cases}, {"forward_error", errors.forward}};
        if (errors.backward >= 0) json[op][isa]["backward_error"] = errors.backward;
      }
    }
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  TableCells cells = {{"operation"}};
  for (Isa isa : available_isas()) cells.front().emplace_back(isa_name(isa));
  for (const auto& [op, sets] : table) {
    cells.push_back({op});
    for (Isa isa : available_isas()) {
      const OpErrors& e = sets.at(isa_name(isa));
      const std::string backward = e.backward < 0 ? "-" : fmt::format("{:.0e}", e.backward);
      cells.back().push_back(fmt::format("{:.0e} / {}", e.forward, backward));
    }
  }
  fmt::print("{}\n{}",
             fold_long_lines("Worst difference from the double-precision reference, forward / "
                             "backward, as a share of the result's root mean square",
                             terminal_width()),
             text_table(cells, TableFormat::kText, terminal_width()));
  return {};
}

}  // namespace

void add_bench_support(Program& program, Command& bench) {
  auto json = std::make_shared<bool>(false);
  Command* command = bench.add_subcommand(
      "support", "The kernels of every instruction set here, and how exact they are");
  command->add_flag("--json", *json, "Print one JSON object");
  program.on(command, [json] { return bench_support(*json); });
}

}  // namespace looplm::cli
