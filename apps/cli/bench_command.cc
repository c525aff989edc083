// looplm bench: the machine's limits, and the kernels against them.
#include <algorithm>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "base/count_text.h"
#include "base/cpu.h"
#include "base/json.h"
#include "base/timer.h"
#include "cli/bench.h"
#include "cli/bench_model.h"
#include "cli/commands.h"
#include "kernels/cases/op_case.h"
#include "kernels/peaks.h"

namespace looplm::cli {
namespace {

struct BenchOptions {
  int threads = 0;
  double seconds = 1;
  std::string filter;
  bool json = false;
};

struct KernelResult {
  std::string op;
  std::string shape;
  std::string direction;
  int runs = 0;
  double median_seconds = 0;
  double flops = 0;       // per second
  double bytes = 0;       // per second
  double peak_flops = 0;  // measured around this case
  double peak_bytes = 0;

  // The time the machine's limits allow over the time taken.
  double share() const {
    const double least = std::max(flops / peak_flops, bytes / peak_bytes);
    return least;
  }
  const char* bound() const { return flops / peak_flops > bytes / peak_bytes ? "dot" : "read"; }
};

// Times one direction of a case. Rounds of the case alternate with rounds of the limit that bounds
// it, so that a noisy neighbour slows both; the reported limit is the median of its rounds.
KernelResult time_case(OpCase& op, OpDirection direction, const Floats& in, double seconds,
                       Device& device, PeakMeter& meter) {
  Floats out, dout, din;
  for (int64_t count : op.output_counts()) out.emplace_back(static_cast<size_t>(count));
  dout = out;
  for (auto& tensor : dout) std::fill(tensor.begin(), tensor.end(), 0.5f);
  for (const OpInput& input : op.inputs()) din.emplace_back(static_cast<size_t>(input.count));
  const auto call = [&] {
    if (direction == OpDirection::kForward) {
      op.forward(in, out, device);
    } else {
      op.backward(in, dout, din, device);
    }
  };
  op.forward(in, out, device);  // a backward pass needs the forward's results
  call();

  const Timer calibrate;
  call();
  const double once = calibrate.seconds();
  const int per_round = std::max(1, static_cast<int>(0.02 / once));
  std::vector<double> times, reads, dots;
  const Timer total;
  while (times.size() < 5 || total.seconds() < seconds) {
    const Timer timer;
    for (int i = 0; i < per_round; ++i) call();
    times.push_back(timer.seconds() / per_round);
    reads.push_back(meter.measure_read(0));
    dots.push_back(meter.measure_dots(op.arithmetic(), 0));
    if (times.size() >= 200) break;
  }
  KernelResult result;
  result.op = op.op();
  result.shape = op.shape();
  result.direction = direction == OpDirection::kForward ? "forward" : "backward";
  result.runs = static_cast<int>(times.size()) * per_round;
  result.median_seconds = median_of(times);
  result.flops = op.work(direction).flops / result.median_seconds;
  result.bytes = op.work(direction).bytes / result.median_seconds;
  result.peak_flops = median_of(dots);
  result.peak_bytes = median_of(reads);
  return result;
}

std::string machine_text(const Device& device, int threads) {
  return fmt::format("{}, {}, {}", processor_name(), count_text(threads, "thread"),
                     device.kernels().name);
}

void print_peaks(const Peaks& peaks) {
  fmt::print("memory read   {:8.1f} GB/s\n", peaks.read_bytes_per_second / 1e9);
  fmt::print("fp32 dot      {:8.1f} GFLOP/s\n", peaks.f32_flops / 1e9);
  fmt::print("bf16 dot      {:8.1f} GFLOP/s  ({})\n", peaks.bf16_flops / 1e9, peaks.bf16_unit);
  if (peaks.int8_ops > 0) {
    fmt::print("int8 dot      {:8.1f} GOP/s  ({})\n", peaks.int8_ops / 1e9, peaks.int8_unit);
  } else {
    fmt::print("int8 dot           n/a  (no instruction for it)\n");
  }
}

Status bench_peaks(const BenchOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(auto device, Device::create(options.threads));
  PeakMeter meter(*device);
  const Peaks peaks = meter.measure(options.seconds);
  if (options.json) {
    OrderedJson json;
    json["processor"] = processor_name();
    json["threads"] = device->pool().size();
    json["isa"] = device->kernels().name;
    json["read_bytes_per_second"] = peaks.read_bytes_per_second;
    json["f32_flops"] = peaks.f32_flops;
    json["bf16_flops"] = peaks.bf16_flops;
    json["bf16_unit"] = peaks.bf16_unit;
    json["int8_ops"] = peaks.int8_ops;
    json["int8_unit"] = peaks.int8_unit;
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  fmt::print("{}\n", machine_text(*device, device->pool().size()));
  print_peaks(peaks);
  return {};
}

Status bench_kernels(const BenchOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(auto device, Device::create(options.threads));
  PeakMeter meter(*device, size_t{256} << 20);
  if (!options.json) {
    fmt::print("{}\n", machine_text(*device, device->pool().size()));
    fmt::print("{:<21} {:<44} {:<9} {:>10} {:>9} {:>8} {:>6}\n", "kernel", "shape", "direction",
               "median ms", "GFLOP/s", "GB/s", "share");
  }
  bool any = false;
  for (const auto& op : perf_op_cases()) {
    const std::string name = op->op() + " " + op->shape();
    if (name.find(options.filter) == std::string::npos) continue;
    any = true;
    const Floats in = make_inputs(*op, 1);
    op->prepare(in, *device);
    std::vector<OpDirection> directions = {OpDirection::kForward};
    if (op->has_backward()) directions.push_back(OpDirection::kBackward);
    for (OpDirection direction : directions) {
      const KernelResult r = time_case(*op, direction, in, options.seconds, *device, meter);
      if (options.json) {
        OrderedJson json;
        json["kernel"] = r.op;
        json["shape"] = r.shape;
        json["direction"] = r.direction;
        json["runs"] = r.runs;
        json["median_seconds"] = r.median_seconds;
        json["flops"] = r.flops;
        json["bytes_per_second"] = r.bytes;
        json["peak_flops"] = r.peak_flops;
        json["peak_read"] = r.peak_bytes;
        json["share"] = r.share();
        json["bound"] = r.bound();
        fmt::print("{}\n", dump_json(json));
      } else {
        fmt::print("{:<21} {:<44} {:<9} {:>10.3f} {:>9.1f} {:>8.1f} {:>4.0f}% of {}\n", r.op,
                   r.shape, r.direction, r.median_seconds * 1e3, r.flops / 1e9, r.bytes / 1e9,
                   r.share() * 100, r.bound());
      }
      std::fflush(stdout);
    }
  }
  if (!any) return not_found(fmt::format("no kernel case's name contains '{}'", options.filter));
  return {};
}

}  // namespace

void add_bench_command(Program& program) {
  Command* bench = program.app().add_subcommand("bench", "Measure this machine and looplm on it");
  bench->require_subcommand();
  auto options = std::make_shared<BenchOptions>();
  const auto common = [options](Command* command) {
    command->add_threads(options->threads);
    command->add_option("--seconds", options->seconds, "Time to spend on each measurement")
        ->check(range(0.0, 3600.0))
        ->capture_default_str();
    command->add_flag("--json", options->json, "One JSON object per line");
  };
  Command* peaks = bench->add_subcommand("peaks", "Memory bandwidth and arithmetic rates");
  common(peaks);
  program.on(peaks, [options] { return bench_peaks(*options); });
  Command* kernels =
      bench->add_subcommand("kernels", "Speed of every kernel, as a share of the machine's peaks");
  common(kernels);
  kernels->add_option("--filter", options->filter, "Only cases whose name contains this text");
  program.on(kernels, [options] { return bench_kernels(*options); });
  add_bench_decode(program, *bench);
  add_bench_speculate(program, *bench);
  add_bench_support(program, *bench);
  add_bench_tokenizer(program, *bench);
}

}  // namespace looplm::cli
