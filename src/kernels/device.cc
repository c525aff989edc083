#include "kernels/device.h"

#include "base/check.h"
#include "base/cpu.h"

namespace looplm {

Result<std::unique_ptr<Device>> Device::create(int threads) {
  LOOPLM_ASSIGN_OR_RETURN(const Isa isa, choose_isa());
  LOOPLM_ASSIGN_OR_RETURN(const int count, choose_thread_count(threads));
  const cpu::KernelTable* kernels = cpu::kernel_table(isa);
  LOOPLM_CHECK(kernels != nullptr, "no kernels for {}", isa_name(isa));
  return std::make_unique<Device>(count, *kernels);
}

Device::Device(int threads, const cpu::KernelTable& kernels)
    : Device(threads, kernels, is_intel()) {}

Device::Device(int threads, const cpu::KernelTable& kernels, bool two_panels)
    : pool_(threads),
      kernels_(kernels),
      two_panels_(two_panels),
      thread_scratch_(threads),
      alone_(threads) {}

float* Device::grown(Buffer<float>& buffer, size_t floats) {
  if (buffer.size() < floats) {
    buffer = Buffer<float>();  // free before allocating: contents need not survive
    buffer = Buffer<float>(floats + floats / 4);
  }
  return buffer.data();
}

}  // namespace looplm
