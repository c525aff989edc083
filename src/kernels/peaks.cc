#include "kernels/peaks.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/cpu.h"
#include "base/timer.h"

namespace looplm {

PeakMeter::PeakMeter(Device& device, size_t bytes)
    : device_(device),
      machine_(*cpu::kernel_table(native_isas().back())),
      memory_(bytes == 0 ? size_t{512} << 20 : bytes) {
  // Touch every page: untouched ones all map to the same zeros.
  device_.for_pieces(static_cast<int64_t>(memory_.size()), int64_t{1} << 22,
                     [&](int64_t begin, int64_t end, int) {
                       std::memset(memory_.data() + begin, 1, static_cast<size_t>(end - begin));
                     });
}

double PeakMeter::measure_read(double seconds) {
  const auto bytes = static_cast<int64_t>(memory_.size());
  std::atomic<uint64_t> sink{0};
  double best = 0;
  const Timer total;
  do {
    const Timer timer;
    device_.for_pieces(bytes, int64_t{1} << 21, [&](int64_t begin, int64_t end, int) {
      sink.fetch_xor(machine_.read_bytes(memory_.data() + begin, end - begin),
                     std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(bytes) / timer.seconds());
  } while (total.seconds() < seconds);
  return best;
}

double PeakMeter::measure_loop(Loop loop, double seconds) {
  constexpr int64_t kRounds = 100'000;
  const int threads = device_.pool().size();
  double best = 0;
  const Timer total;
  do {
    std::atomic<int64_t> operations{0};
    const Timer timer;
    device_.pool().parallel_for(int64_t{4} * threads, [&](int64_t, int) {
      operations.fetch_add(static_cast<int64_t>(loop(kRounds)), std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(operations.load()) / timer.seconds());
  } while (total.seconds() < seconds);
  return best;
}

PeakMeter::Bf16Rate PeakMeter::measure_bf16(double seconds) {
  if (machine_.bf16_dots == nullptr) return {measure_loop(machine_.multiply_adds, seconds), false};
  const double own = measure_loop(machine_.bf16_dots, seconds / 2);
  const double f32 = measure_loop(machine_.multiply_adds, seconds / 2);
  return {std::max(own, f32), own > f32};
}

double PeakMeter::measure_dots(DType dtype, double seconds) {
  if (dtype == DType::kBf16) return measure_bf16(seconds).flops;
  const bool int8 = dtype == DType::kU8 && machine_.int8_dots != nullptr;
  return measure_loop(int8 ? machine_.int8_dots : machine_.multiply_adds, seconds);
}

Peaks PeakMeter::measure(double seconds) {
  const double each = std::max(0.05, seconds) / 4;
  const char* products = machine_.isa == Isa::kAmx ? "tiles" : "dot products";
  Peaks peaks;
  peaks.read_bytes_per_second = measure_read(each);
  peaks.f32_flops = measure_dots(DType::kF32, each);
  const Bf16Rate bf16 = measure_bf16(each);
  peaks.bf16_flops = bf16.flops;
  peaks.bf16_unit = bf16.own_unit ? products : "fp32";
  if (machine_.int8_dots != nullptr) {
    peaks.int8_ops = measure_dots(DType::kU8, each);
    peaks.int8_unit = products;
  }
  return peaks;
}

}  // namespace looplm
