// Each file of this folder adds its kernels.
#ifndef LOOPLM_KERNELS_CPU_AMX_AMX_KERNELS_H_
#define LOOPLM_KERNELS_CPU_AMX_AMX_KERNELS_H_

#include "kernels/cpu/amx_args.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {

void add_bf16_kernels(KernelTable& table);
void add_quant_kernels(KernelTable& table);
void add_attention_kernels(KernelTable& table);
void add_peak_loops(KernelTable& table);

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_AMX_AMX_KERNELS_H_
