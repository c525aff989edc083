// The machine's measured limits, so that every speed can be given as a share of them.
#ifndef LOOPLM_KERNELS_PEAKS_H_
#define LOOPLM_KERNELS_PEAKS_H_

#include "kernels/device.h"
#include "tensor/dtype.h"

namespace looplm {

// All threads of the device together. What the machine can do, by whichever unit of it is fastest,
// also when the device's own kernels are of a lesser instruction set.
struct Peaks {
  double read_bytes_per_second = 0;  // reading memory far larger than the caches
  double f32_flops = 0;              // fused multiply-adds, counted twice
  double bf16_flops = 0;
  double int8_ops = 0;         // 0 where no unit multiplies small integers
  const char* bf16_unit = "";  // "tiles", "dot products", or "fp32" where that is faster or all
  const char* int8_unit = "";  // "tiles" or "dot products"

  double flops(DType dtype) const { return dtype == DType::kF32 ? f32_flops : bf16_flops; }
};

// Measures for roughly `seconds` (at least 0.05) and takes the best of several rounds: other
// programs can only slow a round down.
class PeakMeter {
 public:
  // `bytes` of memory to read; 0 takes 512 MiB.
  explicit PeakMeter(Device& device, size_t bytes = 0);
  Peaks measure(double seconds);
  // The limits for a short piece of work, measured right now.
  double measure_read(double seconds);
  // kU8: products of small integers; the fp32 rate where no unit has them.
  double measure_dots(DType dtype, double seconds);

 private:
  using Loop = double (*)(int64_t);
  double measure_loop(Loop loop, double seconds);
  // By the unit made for it, or in fp32: Intel's bf16 dot products are slower than that.
  struct Bf16Rate {
    double flops = 0;
    bool own_unit = false;
  };
  Bf16Rate measure_bf16(double seconds);

  Device& device_;
  const cpu::KernelTable& machine_;  // the best that the processor has
  Buffer<std::byte> memory_;
};

}  // namespace looplm

#endif  // LOOPLM_KERNELS_PEAKS_H_
