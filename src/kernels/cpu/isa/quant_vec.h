// What products of small integers with few rows (quant_tile.cc) and with many (quant_block.cc)
// share.
#ifndef LOOPLM_KERNELS_CPU_ISA_QUANT_VEC_H_
#define LOOPLM_KERNELS_CPU_ISA_QUANT_VEC_H_

#include "kernels/cpu/isa/isa_kernels.h"
#include "kernels/cpu/isa/vec.h"

namespace looplm::cpu::LOOPLM_ISA_NAMESPACE {
namespace {

constexpr int kVectorsPerPanel = static_cast<int>(kPanel) / kLanes;

LOOPLM_INLINE VI broadcast(int32_t x) { return x - VI{}; }
LOOPLM_INLINE VI broadcast_four(const int8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return broadcast(four);
}

}  // namespace
}  // namespace looplm::cpu::LOOPLM_ISA_NAMESPACE

#endif  // LOOPLM_KERNELS_CPU_ISA_QUANT_VEC_H_
