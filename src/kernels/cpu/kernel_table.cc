#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu {

const KernelTable* kernel_table(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return &portable::table();
#if defined(LOOPLM_X86_KERNELS)
    case Isa::kAvx2:
      return &avx2::table();
    case Isa::kAvx512:
      return &avx512::table();
    case Isa::kAvx512Bf16:
      return &avx512_bf16::table();
#else
    default:
      break;
#endif
  }
  return nullptr;
}

}  // namespace looplm::cpu
