// The machine's measured limits, so that every speed can be given as a share of them.
#ifndef LOOPLM_KERNELS_PEAKS_H_
#define LOOPLM_KERNELS_PEAKS_H_

#include "kernels/device.h"
#include "tensor/dtype.h"

namespace looplm {

// All threads of the device together.
struct Peaks {
  double read_bytes_per_second = 0;  // reading memory far larger than the caches
  double f32_flops = 0;              // fused multiply-adds, counted twice
  double bf16_flops =
      0;  // bf16 dot products; the fp32 rate where the processor has no such instruction
  double int8_ops = 0;  // int8 dot products; 0 where the processor has no such instruction
  bool bf16_instruction = false;

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
  // kU8: products of small integers. The fp32 rate where the processor has no such instruction.
  double measure_dots(DType dtype, double seconds);

 private:
  double measure_loop(double (*loop)(int64_t), double seconds);

  Device& device_;
  Buffer<std::byte> memory_;
};

}  // namespace looplm

#endif  // LOOPLM_KERNELS_PEAKS_H_
