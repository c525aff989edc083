#include "kernels/peaks.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/timer.h"

namespace looplm {

PeakMeter::PeakMeter(Device& device, size_t bytes)
    : device_(device), memory_(bytes == 0 ? size_t{512} << 20 : bytes) {
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
      sink.fetch_xor(device_.kernels().read_bytes(memory_.data() + begin, end - begin),
                     std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(bytes) / timer.seconds());
  } while (total.seconds() < seconds);
  return best;
}

double PeakMeter::measure_loop(double (*loop)(int64_t), double seconds) {
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

double PeakMeter::measure_dots(DType dtype, double seconds) {
  const cpu::KernelTable& k = device_.kernels();
  double (*loop)(int64_t) = nullptr;
  if (dtype == DType::kBf16) loop = k.bf16_dots;
  if (dtype == DType::kU8) loop = k.int8_dots;
  return measure_loop(loop != nullptr ? loop : k.multiply_adds, seconds);
}

Peaks PeakMeter::measure(double seconds) {
  const cpu::KernelTable& k = device_.kernels();
  const double each = std::max(0.05, seconds) / 4;
  Peaks peaks;
  peaks.read_bytes_per_second = measure_read(each);
  peaks.f32_flops = measure_dots(DType::kF32, each);
  peaks.bf16_instruction = k.bf16_dots != nullptr;
  peaks.bf16_flops = peaks.bf16_instruction ? measure_dots(DType::kBf16, each) : peaks.f32_flops;
  if (k.int8_dots != nullptr) peaks.int8_ops = measure_dots(DType::kU8, each);
  return peaks;
}

}  // namespace looplm
