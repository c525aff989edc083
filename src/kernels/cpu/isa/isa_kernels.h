// Each file of this folder adds its kernels to the table of the instruction set it is compiled for.
#ifndef LOOPLM_KERNELS_CPU_ISA_ISA_KERNELS_H_
#define LOOPLM_KERNELS_CPU_ISA_ISA_KERNELS_H_

#include "kernels/cpu/kernel_table.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {

void add_tile_kernels(KernelTable& table);
void add_prepare_kernels(KernelTable& table);
void add_layout_kernels(KernelTable& table);
void add_row_kernels(KernelTable& table);
void add_softmax_kernels(KernelTable& table);
void add_segment_kernels(KernelTable& table);
void add_sampling_kernels(KernelTable& table);
void add_quant_kernels(KernelTable& table);
void add_quant_blocks(KernelTable& table);
void add_fit_kernels(KernelTable& table);
void add_optimizer_kernels(KernelTable& table);
void add_peak_loops(KernelTable& table);

}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_ISA_KERNELS_H_
