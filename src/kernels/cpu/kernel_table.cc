#include "kernels/cpu/kernel_table.h"

#include "base/cpu.h"

namespace looplm::cpu {
#if defined(LOOPLM_X86_KERNELS)
namespace {

const KernelTable& amx_table() {
  static const KernelTable kTable = [] {
    const bool native = native_isas().back() == Isa::kAmx;
    // All but the products of bf16 and of small integers is the best other set's.
    KernelTable table = native_isas().back() >= Isa::kAvx512 ? avx512::table() : avx2::table();
    table.isa = Isa::kAmx;
    table.name = native ? "amx" : "amx_emulated";
    (native ? amx::add_kernels : amx_emulated::add_kernels)(table);
    return table;
  }();
  return kTable;
}

}  // namespace
#endif

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
    case Isa::kAmx:
      return &amx_table();
#else
    default:
      break;
#endif
  }
  return nullptr;
}

}  // namespace looplm::cpu
