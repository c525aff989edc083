// Products on a matrix unit: where the work is cut for cpu/amx.
#ifndef LOOPLM_KERNELS_AMX_MATMUL_H_
#define LOOPLM_KERNELS_AMX_MATMUL_H_

#include "kernels/kernels.h"

namespace looplm {

// matmul() for a bf16 and for a quantised B, on a device that has amx_ kernels.
void matmul_amx_bf16(const MatmulParams& params, Device& device);
// A quantised B takes two rows or more: one has a kernel of its own.
void matmul_amx_quantized(const MatmulParams& params, Device& device);

}  // namespace looplm

#endif  // LOOPLM_KERNELS_AMX_MATMUL_H_
